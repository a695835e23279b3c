"""Rollouts that are started at run time: one release after the other from the client verbs alone, and what keeps of them."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, case, expect, run, wait_for  # noqa: E402
from shop import DONE, FAILED, HEALTH, QUICK, REFUSED, SLOWLY, TIMED_OUT, USAGE, Shop  # noqa: E402


@case(starts_proxy=False)
def releases_follow_each_other_from_the_client_verbs_alone(stage):
    with Shop(stage, health=HEALTH) as shop:
        expect(shop.versions(), (None, "v1"), "before")
        code, out, _ = shop.start("v2", "--wait", "--timeout", f"{int(90 * SLOW)}s")
        expect((code, "succeeded" in out), (DONE, True), out)
        expect(shop.versions(), ("v2", "v1"), "the canary has won")
        expect(shop.state()["current"]["url"], shop.url("v2"), "where it is")
        shop.all_go_to("v2")
        expect(dict(shop.load.tally.errors), {}, "errors at the clients")
        code, out, _ = shop.start("v3")
        expect((code, "progressing" in out), (DONE, True), out)
        expect(shop.versions(), ("v3", "v2"), "the winner is the stable version")
        shop.wait_weight(30)
        shop.origins["v3"].order(status=500)
        code, out, _ = shop.say("status")
        expect((code, "v3" in out, "v2" in out), (DONE, True, True), out)
        code, out, _ = shop.say("wait", "--timeout", f"{int(90 * SLOW)}s")
        expect((code, "rolled_back" in out), (FAILED, True), out)
        shop.all_go_to("v2")
        code, _, err = shop.start("v3")
        expect((code, "quarantined" in err), (REFUSED, True), err)
        expect(shop.versions(), ("v3", "v2"), "a refusal changes nothing")
        expect(shop.say("release", "v3", "--reason", "mended")[0], DONE, "release")
        shop.origins["v3"].order(status=200)
        code, out, _ = shop.start("v3", "--wait", "--timeout", f"{int(90 * SLOW)}s")
        expect((code, "succeeded" in out), (DONE, True), out)
        expect(shop.versions(), ("v3", "v2"), "after the second try")
        shop.all_go_to("v3")
        wanted = [("rollout.start", "local"), ("rollout.success", "judge")]
        wait_for(lambda: shop.events().count(wanted[1]) == 2, "both successes are on record")
        told = [row for row in shop.events() if row in wanted]
        expect(told, [wanted[0], wanted[1], wanted[0], wanted[0], wanted[1]], "starts and successes on record")


@case(starts_proxy=False)
def only_one_at_a_time(stage):
    with Shop(stage, SLOWLY) as shop:
        expect(shop.start("v2", "--steps", "20%,pause,100%")[0], DONE, "start")
        shop.wait_weight(20)
        expect(shop.state()["steps"], 2, "its own steps")
        code, _, err = shop.start("v3")
        expect((code, "runs already" in err), (REFUSED, True), err)
        expect(shop.ask({"deployment": "v3", "url": shop.url("v3")}).status, 409, "by the API")
        expect(shop.versions(), ("v2", "v1"), "versions")
        expect(shop.say("abort")[0], DONE, "abort")
        shop.wait_phase("idle")
        expect(shop.start("v3")[0], DONE, "after the end")
        expect(shop.versions(), ("v3", "v1"), "the stable version stays")


@case(starts_proxy=False)
def bad_input_names_its_field(stage):
    with Shop(stage, SLOWLY) as shop:
        sound = {"deployment": "v2", "url": shop.url("v2")}
        for change, field in [({"url": "ftp://v2.example.com"}, "url"), ({"url": "v2"}, "url"), ({"url": "http://a/b"}, "url"),
                              ({"url": None}, "url"), ({"deployment": "a b"}, "deployment"), ({"deployment": "v1"}, "deployment"),
                              ({"url": f"http://127.0.0.1:{shop.serin.port}"}, "url"), ({"steps": []}, "steps"),
                              ({"url": f"http://127.0.0.1:{shop.serin.admin_port}"}, "url"),
                              ({"steps": ["50%", "20%", "100%"]}, "steps"), ({"steps": ["50%"]}, "steps"),
                              ({"steps": ["pause", "100%"]}, "steps"), ({"steps": [True]}, "steps"), ({"steps": "5%"}, "steps"),
                              ({"endpoints": [shop.url("v3")]}, "url"), ({"more": 1}, "more")]:
            body = {key: value for key, value in {**sound, **change}.items() if value is not None}
            answer = shop.ask(body)
            expect((answer.status, answer.json.get("field")), (422, field), f"{change}")
        expect(shop.ask({**sound, "deployment": "v1"}).status, 422, "the stable version itself")
        expect(shop.serin.admin("POST", "/api/v1/services/nobody/rollout", sound).status, 404, "unknown service")
        expect(shop.ask(sound, {"If-Match": '"0"'}).status, 412, "stale")
        expect((shop.versions(), shop.state()["phase"]), ((None, "v1"), "idle"), "nothing was started")
        code, _, err = shop.say("start", "ftp://v2.example.com")
        expect((code, "ftp" in err), (REFUSED, True), err)
        expect(shop.say("start", shop.url("v2"), "--steps", "5%,,100%")[0], USAGE, "an empty step")
        expect(shop.say("start")[0], USAGE, "no URL")


@case(starts_proxy=False)
def the_same_request_again_starts_nothing_again(stage):
    with Shop(stage, SLOWLY) as shop:
        key = {"Idempotency-Key": "deploy-17"}
        body = {"endpoints": [shop.url("v2"), shop.url("v3")], "steps": [20, "pause", "100%"]}
        first = shop.ask(body, key)
        expect((first.status, first.json["phase"], first.fields["ETag"] is not None), (202, "progressing", True), "first")
        expect(first.json["current"]["deployment"].startswith("ep-"), True, "a name made of the endpoints")
        expect(first.json["current"]["endpoints"]["all"], 2, "endpoints")
        again = shop.ask(body, key)
        expect((again.status, again.json["current"]["deployment"]), (200, first.json["current"]["deployment"]), "again")
        expect(shop.ask({"url": shop.url("v3")}, key).status, 422, "another request with the key")
        shop.wait_event("rollout.start")
        shop.crash()
        wait_for(lambda: shop.ask(body, key).status == 200, "the key is known after a crash")
        expect([row[0] for row in shop.events()].count("rollout.start"), 1, "starts")


@case(starts_proxy=False)
def crash_keeps_what_was_started(stage):
    with Shop(stage, {**QUICK, "steps": ["30%", "pause", "100%"]}) as shop:
        expect(shop.start("v2", "--wait", "--steps", "100%", "--timeout", f"{int(90 * SLOW)}s")[0], DONE, "the first release")
        expect(shop.start("v3")[0], DONE, "start")
        shop.crash()
        expect((shop.versions(), shop.state()["steps"]), (("v3", "v2"), 2), "right after a crash")
        expect(shop.state()["phase"] in ("progressing", "paused"), True, "phase")
        shop.wait_phase("paused")
        shop.wait_event("rollout.gate")  # what is not on record is judged anew
        shop.crash()
        state = shop.state()
        expect((shop.versions(), state["phase"], state["step"], state["weight"]["set"]), (("v3", "v2"), "paused", 1, 30),
               "after a crash at the gate")
        expect((state["current"]["url"], state["previous"]["url"]), (shop.url("v3"), shop.url("v2")), "where they are")
        expect(shop.say("resume")[0], DONE, "resume")
        expect(shop.say("wait", "--timeout", f"{int(90 * SLOW)}s")[0], DONE, "the end")
        shop.all_go_to("v3")
        shop.wait_event("rollout.success")
        shop.end_load()
        shop.serin.stop()
        shop.serin.start()
        shop.begin_load()
        expect((shop.versions(), shop.state()["phase"], shop.state()["weight"]["set"]), (("v3", "v2"), "succeeded", 100), "after a restart")
        shop.all_go_to("v3")


def reload(shop, **changes):
    shop.service = {key: value for key, value in {**shop.service, **changes}.items() if value is not None}
    shop.serin.change({"services": [shop.service]})
    answer = shop.serin.admin("POST", "/api/v1/reload")
    expect(answer.status, 200, f"{answer}")


@case(starts_proxy=False)
def file_that_names_the_same_versions_keeps_what_was_started(stage):
    with Shop(stage, SLOWLY) as shop:
        expect(shop.start("v2")[0], DONE, "start")
        shop.wait_weight(30)
        reload(shop, rescue={"when": ["connect"], "budget": "10%"})
        state = shop.state()
        expect((shop.versions(), state["phase"], state["weight"]["set"], state["step"]), (("v2", "v1"), "progressing", 30, 1), "after a reload")
        expect(dict(shop.load.tally.errors), {}, "errors at the clients")


@case(starts_proxy=False)
def file_that_names_other_versions_wins(stage):
    with Shop(stage, SLOWLY, current="v2") as shop:
        shop.wait_weight(30)
        expect(shop.say("promote", "--full")[0], DONE, "promote")
        expect(shop.say("promote")[0], DONE, "to the end")
        expect(shop.start("v3")[0], DONE, "start")
        expect(shop.versions(), ("v3", "v2"), "started")
        reload(shop, previous={"deployment": "v2", "endpoints": [shop.url("v2")]}, current=None)
        expect((shop.versions(), shop.state()["weight"]["set"]), ((None, "v2"), 0), "the file's")
        shop.all_go_to("v2")
        shop.wait_event("deployment.overrule")
        expect([row for row in shop.events() if row[0] == "deployment.overrule"], [("deployment.overrule", "config")], "told once")
        shop.crash()
        expect(shop.versions(), (None, "v2"), "after a crash")
        expect(dict(shop.load.tally.errors), {}, "errors at the clients")


@case(starts_proxy=False)
def rollback_of_what_was_started_survives_a_crash(stage):
    with Shop(stage, SLOWLY, rollback={"every": f"{int(20 * SLOW)}s", "instant_above": "100%"}) as shop:
        expect(shop.start("v2")[0], DONE, "start")
        shop.wait_weight(30)
        expect(shop.say("rollback", "--reason", "by hand")[0], DONE, "rollback")
        shop.wait_weight(15)
        shop.wait_event("rollback.start")
        shop.crash()
        state = shop.state()
        expect((shop.versions(), state["weight"]["set"]), (("v2", "v1"), 0), "after the crash")
        shop.wait_phase("rolled_back")
        shop.all_go_to("v1")
        code, _, err = shop.start("v2")
        expect((code, "quarantined" in err), (REFUSED, True), err)


@case(starts_proxy=False)
def no_request_is_dropped_when_versions_move(stage):
    with Shop(stage, {**QUICK, "steps": ["100%"], "min_time": "0s", "bake": "0s"}) as shop:
        slow = []

        def ask():
            link = stage.connect()
            link.send(stage.request(target="/slow"))
            slow.append(link.read_response("GET").status)

        for tag, other in (("v2", "v1"), ("v3", "v2"), ("v1", "v3")):
            asking = threading.Thread(target=ask)
            asking.start()
            expect(shop.start(tag, "--wait", "--timeout", f"{int(90 * SLOW)}s")[0], DONE, f"start {tag}")
            expect(shop.versions(), (tag, other), f"after {tag}")
            asking.join(20 * SLOW)
        expect(slow, [200, 200, 200], "requests that were under way")
        expect(dict(shop.load.stop().errors), {}, "errors at the clients")


@case(starts_proxy=False)
def who_waits_for_a_rollout_waits_for_a_restart_too(stage):
    with Shop(stage, health=HEALTH, rollout=SLOWLY) as shop:
        expect(shop.start("v2")[0], DONE, "start")
        shop.wait_weight(30)
        told = []
        waiter = threading.Thread(target=lambda: told.append(shop.say("wait", "--timeout", f"{int(90 * SLOW)}s")))
        waiter.start()
        shop.crash()
        shop.wait_weight(30)
        expect(shop.say("abort")[0], DONE, "abort")
        waiter.join()
        expect((told[0][0], "idle" in told[0][1]), (FAILED, True), f"{told}")

@case(starts_proxy=False)
def who_begins_to_wait_while_serin_is_away_waits_for_it(stage):
    with Shop(stage, health=HEALTH, rollout=SLOWLY) as shop:
        expect(shop.start("v2")[0], DONE, "start")
        shop.wait_weight(30)
        shop.end_load()
        shop.serin.kill()
        with shop.begin("wait", "--timeout", f"{int(90 * SLOW)}s") as waiter:  # which service there is has to be asked first
            expect(f":{shop.serin.admin_port}" in waiter.stderr.readline(), True, "it says that nobody answers")
            shop.serin.start()
            shop.wait_weight(30)
            expect(shop.say("abort")[0], DONE, "abort")
            out, err = waiter.communicate(timeout=150 * SLOW)
        expect((waiter.returncode, "idle" in out), (FAILED, True), out + err)


if __name__ == "__main__":
    run(__file__, parallel=2)

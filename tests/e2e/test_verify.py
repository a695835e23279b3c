"""A rollback is confirmed: the stable version's own URLs are asked, and what it answers to others counts too. Until it
is so, the rollback has failed, somebody is told, and the looks go on."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import pages_api  # noqa: E402
from play import SLOW, answer, case, expect, run, wait_for  # noqa: E402
from receiver import Receiver  # noqa: E402
from release import Release  # noqa: E402

SOON = {"within": f"{int(3 * SLOW)}s", "timeout": f"{int(2 * SLOW)}s", "interval": "200ms", "path": "/up"}


class Stable:
    """What the stable origin answers at /up: to others it is well."""

    def __init__(self, stage, status=200, body=b"all is well"):
        self.status, self.body, self.asked = status, body, 0
        stage.origin.reply = self.reply

    def reply(self, request):
        if request.target != "/up":
            return answer()
        self.asked += 1
        return answer(status=self.status, body=self.body)


def start(stage, hook=None, verify=None, **service):
    settings = {"services": [stage.service(weight="50%", rollback={"verify": {**SOON, **(verify or {})}}, **service)]}
    if hook:
        settings["alerts"] = [{"webhook": {"url": hook.url}}]
    stage.settings = settings
    return stage.start_serin(settings)


def roll_back(stage):
    reply = stage.serin.admin("POST", f"/api/v1/services/{stage.name}/rollback", {"reason": "it hurts", "mode": "instant"})
    expect(reply.status, 202, f"rollback: {reply}")
    return reply.json["id"]


def record(stage, identity):
    return stage.serin.admin("GET", f"/api/v1/rollbacks/{identity}").json


def wait_phase(stage, phase):
    wait_for(lambda: stage.serin.service(stage.name)["phase"] == phase, f"the phase is {phase}", 60)


def wait_status(stage, identity, status):
    wait_for(lambda: record(stage, identity)["status"] == status, f"the record is {status}", 60)


def events(stage, action):
    rows = stage.serin.admin("GET", "/api/v1/audit?limit=200").json
    rows = rows if isinstance(rows, list) else rows["audit"]
    return [row for row in rows if row["action"] == action]


@case(starts_proxy=False)
def own_urls_are_asked_so_many_times_in_a_row(stage):
    stable = Stable(stage)
    start(stage, verify={"checks": 5, "contains": "is well"})
    identity = roll_back(stage)
    wait_phase(stage, "rolled_back")
    wait_status(stage, identity, "success")
    expect(stable.asked >= 5, True, f"{stable.asked} questions")
    asked = [request for request in stage.origin.requests if request.target == "/up"]
    expect({(request.method, request.get("Host"), request.get("User-Agent")) for request in asked},
           {("GET", stage.origin.authority, "serin-health")}, "what was asked")
    expect([request.target for request in stage.canary.requests], [], "the canary is not asked")
    expect(stage.serin.service(stage.name)["verification"], None, "nothing is to be confirmed any more")
    expect(stage.serin.metrics().sum("serin_requests_total", service=stage.name), 0, "questions are no requests")


@case(starts_proxy=False)
def stable_version_that_is_not_well_fails_it_until_it_is(stage):
    stable = Stable(stage, status=503)
    with Receiver() as hook:
        start(stage, hook)
        identity = roll_back(stage)
        wait_phase(stage, "rollback_failed")
        wait_status(stage, identity, "failed")
        state = stage.serin.service(stage.name)
        expect((state["weight"]["set"], state["verification"]["needed"]), (0, 3), "weight and looks")
        expect("/up answered with status 503" in state["verification"]["trouble"], True, f"{state['verification']}")
        wait_for(lambda: ("SerinRollbackFailed", "firing") in hook.told(), "the alert", 60)
        told = next(one for one in hook.events() if one["labels"]["alertname"] == "SerinRollbackFailed")
        expect("answered with status 503" in told["annotations"]["summary"], True, f"sentence {told['annotations']}")
        expect(told["labels"]["severity"], "critical", "severity")
        expect(stage.ask().status, 200, "users are served")
        wait_for(lambda: events(stage, "rollback.failed"), "it is in the trail")
        asked = stable.asked
        wait_for(lambda: stable.asked > asked + 3, "it is asked again and again", 60)
        stable.status = 200
        wait_phase(stage, "rolled_back")
        wait_status(stage, identity, "success")
        wait_for(lambda: ("SerinRollbackFailed", "resolved") in hook.told(), "its end", 60)
        wait_for(lambda: ("SerinRollback", "resolved") in hook.told(), "the end of the rollback's", 60)
        wait_for(lambda: events(stage, "rollback.success"), "it is in the trail")
        row = record(stage, identity)
        expect(row["phases"]["verify_s"] >= 3, True, f"phases {row['phases']}")
        expect(stage.serin.metrics().by("serin_rollbacks_total", "status", service=stage.name, trigger="manual"),
               {"failed": 1, "success": 1}, "counted as both")


@case(starts_proxy=False)
def body_tells_the_wrong_version(stage):
    stable = Stable(stage, body=b"a page of somebody else")
    start(stage, verify={"contains": "serin-stable"})
    identity = roll_back(stage)
    wait_phase(stage, "rollback_failed")
    trouble = stage.serin.service(stage.name)["verification"]["trouble"]
    expect("body without what it is to contain" in trouble, True, f"trouble {trouble}")
    stable.body = b"<html>serin-stable 1</html>"
    wait_status(stage, identity, "success")


@case(starts_proxy=False)
def only_the_statuses_that_are_listed_will_do(stage):
    stable = Stable(stage, status=404)
    start(stage, verify={"status": ["200-299"]})
    identity = roll_back(stage)
    wait_phase(stage, "rollback_failed")
    stable.status = 204
    stable.body = b""
    wait_status(stage, identity, "success")


@case(starts_proxy=False)
def live_traffic_must_be_well_too(stage):
    broken = threading.Event()

    def reply(request):
        return answer(status=500 if broken.is_set() and request.target != "/up" else 200)

    stage.origin.reply = reply
    with Receiver() as hook:
        # a second of silence on a slow machine is a good look; ten in a row are not
        start(stage, hook, verify={"interval": "500ms", "checks": 10})
        broken.set()
        ended = threading.Event()

        def ask_on():
            while not ended.is_set():
                stage.ask()

        clients = [threading.Thread(target=ask_on, daemon=True) for _ in range(2)]
        identity = roll_back(stage)
        for client in clients:
            client.start()
        try:
            wait_phase(stage, "rollback_failed")
            wait_for(lambda: "requests it failed" in (stage.serin.service(stage.name)["verification"]["trouble"] or ""),
                     "the reason is live traffic", 60)
            broken.clear()
            wait_status(stage, identity, "success")
        finally:
            ended.set()
            for client in clients:
                client.join(30)


@case(starts_proxy=False)
def failed_one_goes_on_after_a_crash_and_a_reload(stage):
    stable = Stable(stage, status=500)
    with Receiver() as hook:
        proxy = start(stage, hook)
        identity = roll_back(stage)
        wait_phase(stage, "rollback_failed")
        wait_for(lambda: events(stage, "rollback.failed"), "it is on disk")
        proxy.kill()
        proxy.start()
        asked = stable.asked
        expect((proxy.service(stage.name)["phase"], proxy.service(stage.name)["weight"]["set"]), ("rollback_failed", 0), "after")
        wait_for(lambda: stable.asked > asked, "it is asked on", 60)
        expect(proxy.admin("POST", "/api/v1/reload").status, 200, "reload")
        asked = stable.asked
        wait_for(lambda: stable.asked > asked + 1, "it is asked on after a reload", 60)
        expect(record(stage, identity)["status"], "failed", "the record")
        stable.status = 200
        wait_phase(stage, "rolled_back")
        wait_status(stage, identity, "success")
        wait_for(lambda: ("SerinRollbackFailed", "resolved") in hook.told(), "its end", 60)


@case(starts_proxy=False)
def killed_while_it_verifies_it_verifies_again(stage):
    stable = Stable(stage, status=500)
    proxy = start(stage, verify={"within": "1h"})
    identity = roll_back(stage)
    wait_for(lambda: stable.asked > 0, "it verifies", 60)
    wait_for(lambda: events(stage, "rollback.shifted"), "it is on disk")
    proxy.kill()
    asked = stable.asked
    proxy.start()
    wait_for(lambda: stable.asked > asked, "it verifies again", 60)
    expect(proxy.service(stage.name)["weight"]["set"], 0, "weight")
    stable.status = 200
    wait_status(stage, identity, "success")
    expect(proxy.service(stage.name)["phase"], "rolled_back", "phase")


@case(starts_proxy=False)
def health_says_what_is_asked_where_nothing_else_does(stage):
    seen = []

    def reply(request):
        seen.append(request.target)
        return answer(body=b"fine")

    stage.origin.reply = stage.canary.reply = reply
    health = {"path": "/alive", "interval": "1h", "timeout": "30s", "healthy": 1, "contains": "fine"}
    proxy = stage.start_serin({"services": [stage.service(weight="50%", health=health)]})
    wait_for(lambda: seen.count("/alive") >= 2, "the health checks of both are done", 60)
    identity = roll_back(stage)
    wait_status(stage, identity, "success")
    expect((set(seen), seen.count("/alive") >= 5), ({"/alive"}, True), "what was asked")
    expect(proxy.service(stage.name)["phase"], "rolled_back", "phase")


@case(starts_proxy=False)
def nothing_is_asked_where_that_is_off(stage):
    stable = Stable(stage, status=503)
    proxy = stage.start_serin({"services": [stage.service(weight="50%", rollback={"verify": "off"})]})
    identity = roll_back(stage)
    wait_status(stage, identity, "success")
    expect((stable.asked, stage.origin.requests), (0, []), "questions")
    expect(proxy.service(stage.name)["phase"], "rolled_back", "phase")


@case(starts_proxy=False)
def breach_under_traffic_is_rolled_back_and_confirmed(stage):
    with Release(stage) as release:
        release.canary.order(status=500)
        release.wait_phase("rolled_back", 60)
        row = release.record()
        expect((row["trigger"], row["status"]), ("error_rate", "success"), "record")
        expect(row["phases"]["verify_s"] >= row["phases"]["shift_s"], True, f"phases {row['phases']}")


@case(starts_proxy=False)
def dead_platform_alerts_and_holds_up_nothing(stage):
    api = pages_api.PagesApi()
    try:
        project = api.project("demo")
        good, bad = project.deploy("a" * 40)["id"], project.deploy("b" * 40)["id"]
        api.fault(pages_api.status(503), times=10 ** 6)
        Stable(stage)
        with Receiver() as hook:
            proxy = stage.start_serin(
                {"alerts": [{"webhook": {"url": hook.url}}],
                 "services": [stage.service(
                     weight="50%", rollback={"verify": SOON},
                     previous={"deployment": good[:8], "endpoints": [stage.origin.url]},
                     current={"deployment": bad[:8], "endpoints": [stage.canary.url]},
                     platform={"pages": {"project": "demo", "account": api.account, "api_base": api.base}})]},
                environment={"CLOUDFLARE_API_TOKEN": api.token})

            def told(state):
                return [one for one in hook.events()
                        if one["labels"]["alertname"] == "SerinPlatformFailing" and one["state"] == state]

            identity = roll_back(stage)
            wait_phase(stage, "rolled_back")
            expect(record(stage, identity)["phases"]["platform_ack_s"], None, "the platform has said nothing")
            wait_for(lambda: told("firing"), "the alert", 60)
            asked = len(api.told("GET"))
            wait_for(lambda: len(api.told("GET")) > asked, "it is asked again", 60)
            proxy.kill()
            proxy.start()
            asked = len(api.told("GET"))
            wait_for(lambda: len(api.told("GET")) > asked, "it is asked again after a crash", 60)
            expect(told("resolved"), [], "nothing is well yet")
            api._faults.clear()
            wait_for(lambda: record(stage, identity)["evidence"].get("platform") == "acknowledged", "it confirms", 60)
            wait_for(lambda: told("resolved"), "the alert's end", 60)
            expect((project.canonical, record(stage, identity)["status"]), (good, "success"), "in the end")
            expect(len([one for one in api.told("POST") if one.path.endswith("/rollback")]), 1, "told once")
    finally:
        api.stop()


if __name__ == "__main__":
    run(__file__, parallel=3)

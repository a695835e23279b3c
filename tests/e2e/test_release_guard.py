"""What must not shift a canary's traffic, what must wait, and what must not hold a shift up."""

import os
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Closed, answer, case, expect, health, run, wait_for  # noqa: E402
from release import Release  # noqa: E402

ANY_ANSWER = {**health(), "status": ["200-599"]}  # only who does not answer at all is dead


@case(starts_proxy=False)
def sticky_clients_go_back_with_a_rollback(stage):
    with Release(stage, weight="50%", sticky={"by": "cookie"}) as release:
        cookies = []
        while len(cookies) < 10:
            response = stage.ask()
            if response.body[:6] == b"canary":
                cookies.append(response.get("Set-Cookie").split(";")[0])
        release.canary.order(status=500)
        release.wait_weight(0)
        for cookie in cookies:
            expect(stage.ask(fields=[f"Cookie: {cookie}"]).body[:6], b"stable", "who had the canary")
        release.stays_quiet()


@case(starts_proxy=False)
def no_shift_to_a_stable_version_that_is_dead(stage):
    """Stable without a live endpoint: suspicious(shared_outage), and looked at again when it lives."""
    with Release(stage, weight="50%", health=ANY_ANSWER) as release:
        release.stable.order(listen=False)
        wait_for(lambda: release.serin.metrics().sum("serin_endpoint_up", service=stage.name, role="previous") == 0, "dead")
        release.canary.order(status=500)
        wait_for(lambda: release.state()["reason"] == "shared_outage", "the reason", 30)
        expect((release.state()["weight"]["set"], release.records()), (50, []), "weight and records")
        release.stable.order(listen=True)
        release.wait_weight(0, 30)


@case(starts_proxy=False)
def steps_wait_for_a_stable_version_that_suffers_but_not_for_ever(stage):
    wait_s = 1.5 * SLOW
    rollback = {"max_wait": f"{int(wait_s * 1000)}ms", "every": f"{int(300 * SLOW)}ms", "on_breach": "alert"}
    with Release(stage, weight="40%", rollback=rollback) as release:
        release.stable.order(status=500, every=2)
        path = f"/api/v1/services/{stage.name}/rollback"
        expect(release.serin.admin("POST", path, {"reason": "odd", "mode": "gradual"}).status, 202, "order")
        release.wait_weight(0, 60)
        release.stable.order(status=200)
        record = release.record()
        expect(record["status"], "success", "status")
        expect(record["phases"]["shift_s"] >= wait_s, True, f"steps waited: {record['phases']}")


@case(starts_proxy=False)
def clients_that_break_off_are_not_the_canarys_failures(stage):
    with Release(stage, weight="50%", rollback={"latency": "off"}) as release:
        release.canary.order(delay_ms=100)
        for number in range(120):
            link = stage.connect(f"c{number}")
            link.send(stage.request())
            link.reset()
        seen = release.load.tally.total
        wait_for(lambda: release.load.tally.total > seen + 300 / SLOW, "traffic flows", 30)
        service = release.state()
        expect((service["weight"]["set"], service["verdict"] in ("ok", "healthy", "insufficient_data")), (50, True),
               f"weight and verdict {service['verdict']}")
        expect(release.serin.metrics().by("serin_upstream_failures_total", "kind", service=stage.name), {}, "failures")


@case(starts_proxy=False)
def refusals_of_ours_are_not_the_canarys_failures(stage):
    with Release(stage, weight="100%", starts=False) as release:
        for number in range(60):
            link = stage.connect(f"c{number}")
            link.send(f"GET / HTTP/1.1\r\nHost: {stage.host}\r\nBad : field\r\n\r\n")
            expect(link.read_response().status, 400, "status")
        link = stage.connect()
        for _ in range(60):
            link.send(stage.request(host="nobody.test"))
            expect(link.read_response().status, 404, "status")
        expect(release.state()["weight"]["set"], 100, "weight")
        expect(release.serin.metrics().sum("serin_client_bad_responses_total", service=stage.name), 0, "bad answers")


@case(starts_proxy=False)
def access_log_that_nobody_reads_holds_up_nothing(stage):
    folder = os.path.join(stage.folder, stage.name)
    os.makedirs(folder, exist_ok=True)
    pipe = os.path.join(folder, "pipe")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with Release(stage, settings={"access_log": {"path": pipe, "format": "json"}}) as release:
            wait_for(lambda: release.load.tally.total > 1500 / SLOW, "traffic flows while the pipe is full", 60)
            release.canary.order(status=500)
            release.wait_weight(0)
            release.stays_quiet()
            expect(dict(release.load.stop().errors), {}, "errors at the clients")
    finally:
        os.close(reader)


@case(starts_proxy=False)
def reload_during_a_shift_does_not_disturb_it(stage):
    with Release(stage, weight="40%", rollback={"every": f"{int(600 * SLOW)}ms"}) as release:
        path = f"/api/v1/services/{stage.name}/rollback"
        answer_202 = release.serin.admin("POST", path, {"reason": "looks odd", "mode": "gradual"})
        expect(answer_202.status, 202, f"{answer_202}")
        for number in range(4):
            release.serin.change({"services": [{**release.service, "paths": ["/", f"/{number}"]}]})
            release.serin.signal(signal.SIGHUP)
            seen = release.load.tally.total
            wait_for(lambda: release.load.tally.total > seen + 50 / SLOW, "traffic flows", 30)
        release.wait_weight(0, 60)
        expect(release.weights, sorted(release.weights, reverse=True), "weights only fall")
        expect(release.record()["status"], "success", "status")
        expect(dict(release.load.stop().errors), {}, "errors at the clients")


@case(starts_proxy=False)
def two_services_are_judged_apart(stage):
    with Release(stage, weight="30%") as release:
        stage.canary.reply = answer(body=b"canary")
        other = {**stage.service(weight="30%"), "name": "other", "hosts": ["other.test"]}
        release.serin.change({"services": [release.service, other]})
        release.serin.signal(signal.SIGHUP)
        wait_for(lambda: release.serin.admin("GET", "/api/v1/services/other").status == 200, "the other one is there")
        ended = threading.Event()

        def ask_other():
            while not ended.is_set():
                try:
                    stage.ask(host="other.test")
                except Closed:
                    return

        thread = threading.Thread(target=ask_other, daemon=True)
        thread.start()
        release.canary.order(status=500)
        release.wait_weight(0)
        ended.set()
        thread.join(10)
        state = release.serin.service("other")
        expect((state["weight"]["set"], state["phase"]), (30, "idle"), "the other service")


if __name__ == "__main__":
    run(__file__, parallel=2)

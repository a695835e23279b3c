"""The situations that a shift back has to look at, over real sockets; tests/sim/shift_back_sim.c numbers and names
them, and plays each under a turned clock. Canary bad, both bad, a stable version overloaded by the return and a canary
that recovers (1 to 4) are in test_rollback.py and test_release_guard.py. Here: flapping, one bad endpoint among many,
a burst of failures, no traffic, hardly any traffic, counters that begin anew, a process that was suspended (5 to 11)."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import LoadOrigin  # noqa: E402
from play import SLOW, case, expect, run, wait_for  # noqa: E402
from release import Release, is_whole  # noqa: E402

CALM = ("insufficient_data", "ok", "suspicious", "healthy")


def pass_by(release, count, tag="canary"):
    """Lets so many further answers of the version come."""
    seen = release.load.tally.of(tag)
    wait_for(lambda: release.load.tally.of(tag) >= seen + count, f"{count} answers of {tag}", 60)


def was_left_alone(release, weight=20):
    state = release.state()
    expect((state["weight"]["set"], release.records()), (weight, []), "weight and records")
    expect(state["verdict"] in CALM, True, f"verdict {state['verdict']}")


@case(starts_proxy=False)
def flapping_canary_is_found_and_stays_away(stage):
    """Bad and well in turn, some dozen answers each: it averages far above the limit."""
    with Release(stage) as release:
        def flap():
            status = 500 if int(time.monotonic() / (0.4 * SLOW)) % 2 else 200
            release.canary.order(status=status, every=2)
            return release.state()["weight"]["set"] == 0

        wait_for(flap, "the canary is found", 90)
        release.canary.order(status=200)
        record = release.record()
        is_whole(record)
        expect(record["status"], "success", "status")
        release.stays_quiet()
        expect((release.state()["phase"], release.weights[-1]), ("rolled_back", 0), "phase and weight")


@case(starts_proxy=False)
def one_bad_endpoint_among_many_is_ejected_and_the_canary_stays(stage):
    others = [LoadOrigin("canary") for _ in range(7)]
    try:
        outlier = {"consecutive": 2, "eject": "600s", "max_ejected": "50%"}
        with Release(stage, weight="50%", outlier=outlier, starts=False) as release:
            service = {**release.service, "current": {"deployment": "bad-2", "endpoints": [release.canary.url, *(o.url for o in others)]}}
            release.serin.change({"services": [service]})
            expect(release.serin.admin("POST", "/api/v1/reload").status, 200, "reload")
            pass_by(release, 400)
            others[0].order(status=500)
            wait_for(lambda: release.serin.metrics().sum("serin_outlier_ejections_total", service=stage.name) >= 1, "ejected", 30)
            pass_by(release, 400)
            was_left_alone(release, 50)
            expect(others[0].counts().get("500", 0) <= 16, True, f"failures {others[0].counts()}")
    finally:
        for origin in others:
            origin.stop()


@case(starts_proxy=False)
def burst_of_failures_is_forgiven_also_again(stage):
    with Release(stage, weight="50%") as release:
        for number in range(1, 4):
            pass_by(release, 400)
            release.canary.order(status=500, left=3)
            wait_for(lambda: release.canary.counts().get("500", 0) == 3 * number, "the burst is over")
        pass_by(release, 300)
        expect(release.canary.counts()["500"], 9, "failures")
        was_left_alone(release, 50)


@case(starts_proxy=False)
def no_traffic_decides_nothing_and_a_shift_ends_all_the_same(stage):
    with Release(stage, weight="40%", starts=False, rate=0.001) as release:
        release.load.stop()
        count = release.serin.metrics().sum("serin_requests_total", service=stage.name)
        expect(count <= 1, True, f"{count} requests came at all")
        was_left_alone(release, 40)
        path = f"/api/v1/services/{stage.name}/rollback"
        expect(release.serin.admin("POST", path, {"reason": "by hand", "mode": "gradual"}).status, 202, "order")
        release.wait_weight(0, 60)
        record = release.record()
        expect((record["mode"], record["status"]), ("gradual", "success"), "record")
        expect(record["bad_responses"], {"origin": 0, "client": 0}, "bad answers")


@case(starts_proxy=False)
def hardly_any_traffic_is_enough(stage):
    """Two requests a second, half of them the canary's, and all of those fail."""
    with Release(stage, weight="50%", starts=False, rate=2) as release:
        release.canary.order(status=500)
        release.wait_weight(0, 60)
        record = release.record()
        is_whole(record)
        expect(release.canary.counts()["500"] <= 20, True, f"answers that it took: {release.canary.counts()}")


@case(starts_proxy=False)
def counters_that_begin_anew_change_nothing(stage):
    """Endpoints are replaced under the same deployment: theirs begin at zero, the verdict goes on."""
    fresh = LoadOrigin("canary")
    try:
        with Release(stage, weight="50%") as release:
            pass_by(release, 200)
            service = {**release.service, "current": {"deployment": "bad-2", "endpoints": [fresh.url]}}
            release.serin.change({"services": [service]})
            expect(release.serin.admin("POST", "/api/v1/reload").status, 200, "reload")
            wait_for(lambda: fresh.counts().get("200", 0) > 50, "the new endpoint is used", 30)
            was_left_alone(release, 50)
            fresh.order(status=500)
            release.wait_weight(0, 30)
            is_whole(release.record())
    finally:
        fresh.stop()


@case(starts_proxy=False)
def suspended_process_goes_on_as_if_nothing_had_been(stage):
    with Release(stage, weight="50%") as release:
        pass_by(release, 200)
        release.serin.signal(signal.SIGSTOP)
        time.sleep(2)  # the stimulus: a machine that was suspended
        release.serin.signal(signal.SIGCONT)
        pass_by(release, 300)
        was_left_alone(release, 50)
        release.canary.order(status=500)
        release.wait_weight(0, 30)
        expect(release.record()["status"], "success", "status")


if __name__ == "__main__":
    run(__file__)

"""A canary breaks under traffic and its traffic goes back: by steps, at once, by hand, or not at all when told so."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, case, expect, health, run, wait_for  # noqa: E402
from release import Release, is_whole  # noqa: E402


@case(starts_proxy=False)
def canary_that_fails_every_request_is_gone_at_once(stage):
    with Release(stage) as release:
        release.canary.order(status=500)
        release.wait_weight(0)
        release.stays_quiet()
        record = release.record()
        is_whole(record)
        expect((record["trigger"], record["status"], record["mode"]), ("error_rate", "success", "instant"), "record")
        expect(record["bad_responses"]["client"], release.canary.counts()["500"], "bad answers that clients saw")
        release.saw(20, 0)
        expect(record["bad_responses"]["client"] <= 200, True, f"it took {record['bad_responses']}")
        expect(release.state()["phase"], "rolled_back", "phase")
        tally = release.load.stop()
        expect(dict(tally.errors), {}, "errors at the clients")
        metrics = release.serin.metrics()
        expect(metrics.sum("serin_rollbacks_total", service=stage.name, trigger="error_rate", status="success"), 1, "counted")
        expect(metrics.sum("serin_rollback_duration_seconds_count", service=stage.name), 1, "histogram")
        expect(metrics.sum("serin_last_rollback_timestamp_seconds", service=stage.name) > 1e9, True, "timestamp")


@case(starts_proxy=False)
def canary_that_recovers_is_shifted_back_by_steps(stage):
    """The trouble ends when the shift begins. An answer that failed meanwhile may still shorten the steps."""
    with Release(stage, weight="40%") as release:
        release.canary.order(status=500, every=3)
        wait_for(lambda: release.state()["phase"] == "shifting_back", "the shift begins", 60, 0.002)
        release.canary.order(status=200, every=1)
        release.wait_weight(0, 60)
        record = release.record()
        is_whole(record)
        expect((record["mode"], record["status"]), ("gradual", "success"), "record")
        # a canary answer may still fail before it has recovered: then the rest of the plan happens at once
        plan = [40, 20, 10, 4, 0]
        wait_for(lambda: release.weights[-1] == 0, "the weight 0 is seen")
        expect([weight for weight in plan if weight in release.weights], release.weights, "weights of the plan")
        expect(release.weights[:2], [40, 20], "weights")
        release.stays_quiet()


@case(starts_proxy=False)
def trouble_that_persists_ends_the_steps(stage):
    with Release(stage, weight="40%") as release:
        release.canary.order(status=500, every=3)
        release.wait_weight(0, 60)
        wait_for(lambda: release.weights[-1] == 0, "the weight 0 is seen")
        expect(release.weights[:2] == [40, 20] and len(release.weights) <= 4, True, f"weights {release.weights}")
        expect(release.record()["status"], "success", "status")


@case(starts_proxy=False)
def canary_that_refuses_connections_is_gone_at_once(stage):
    # connections alone decide: the other tests would be about as quick
    with Release(stage, rollback={"relative": "off", "error_rate": "60%"}) as release:
        release.canary.order(listen=False)
        release.wait_weight(0)
        record = release.record()
        expect((record["trigger"], record["status"], record["mode"]), ("connect", "success", "instant"), "record")
        release.saw(20, 0)


@case(starts_proxy=False)
def canary_that_is_slow_is_rolled_back(stage):
    with Release(stage, weight="50%", rollback={"latency": "on"}) as release:
        wait_for(lambda: release.load.tally.of("stable") > 400, "the usual latency is known", 60)
        release.canary.order(delay_ms=60 * SLOW)
        release.wait_weight(0, 60)
        expect(release.record()["trigger"], "latency", "trigger")


@case(starts_proxy=False)
def ten_requests_a_second_are_enough(stage):
    """Every request of the canary fails at 10 requests a second and half of the weight: under 3 s, which is 15 of them,
    and as many again for a machine that is slow."""
    with Release(stage, weight="50%", rate=10, starts=False) as release:
        wait_for(lambda: release.load.tally.of("canary") >= 10, "traffic flows", 30)
        release.canary.order(status=500)
        release.wait_weight(0, 60)
        expect(release.canary.counts()["500"] <= 30, True, f"answers that it took: {release.canary.counts()}")


@case(starts_proxy=False)
def freeze_holds_the_weight(stage):
    with Release(stage, rollback={"on_breach": "freeze"}) as release:
        release.canary.order(status=500)
        release.wait_phase("frozen")
        expect((release.state()["verdict"], release.state()["weight"]["set"]), ("breach", 20), "verdict and weight")
        expect(release.records(), [], "records")


@case(starts_proxy=False)
def alert_changes_nothing(stage):
    with Release(stage, rollback={"on_breach": "alert"}) as release:
        release.canary.order(status=500)
        wait_for(lambda: release.state()["verdict"] == "breach", "the verdict", 30)
        expect((release.state()["phase"], release.state()["weight"]["set"]), ("idle", 20), "phase and weight")
        expect(release.records(), [], "records")


@case(starts_proxy=False)
def both_versions_failing_is_a_shared_outage(stage):
    with Release(stage) as release:
        release.canary.order(status=500)
        release.stable.order(status=500)
        wait_for(lambda: release.state()["reason"] == "shared_outage", "the reason", 60)
        expect((release.state()["verdict"], release.state()["weight"]["set"]), ("suspicious", 20), "verdict and weight")
        expect(release.records(), [], "records")


@case(starts_proxy=False)
def canary_whose_health_checks_all_fail_is_gone_at_once(stage):
    with Release(stage, weight="20%", health=health(), rate=5, starts=False) as release:
        wait_for(lambda: release.serin.metrics().sum("serin_endpoint_up", service=stage.name) == 2, "both are healthy")
        release.canary.order(listen=False)
        release.wait_weight(0)
        record = release.record()
        expect((record["trigger"], record["status"]), ("health", "success"), "record")


@case(starts_proxy=False)
def rolled_back_deployment_is_quarantined_until_released(stage):
    with Release(stage) as release:
        release.canary.order(status=500)
        release.wait_phase("rolled_back")
        release.canary.order(status=200)
        expect(release.serin.set_weight(stage.name, 5).status, 422, "more weight")
        expect(release.serin.set_weight(stage.name, 0).status, 200, "no weight")
        expect(stage.ask(fields=["Serin-Version: current"]).body[:6], b"stable", "an opt-in")
        path = f"/api/v1/services/{stage.name}/quarantine/bad-2/release"
        expect(release.serin.admin("POST", path, {}).status in (400, 422), True, "release without a reason")
        answer = release.serin.admin("POST", path, {"reason": "fixed upstream"})
        expect(answer.status in (200, 204), True, f"release: {answer}")
        expect(release.serin.set_weight(stage.name, 5).status, 200, "more weight after the release")
        seen = release.canary.counts().get("200", 0)
        wait_for(lambda: release.canary.counts().get("200", 0) > seen + 5, "the canary gets traffic again", 30)


@case(starts_proxy=False)
def rollback_by_hand(stage):
    with Release(stage) as release:
        path = f"/api/v1/services/{stage.name}/rollback"
        before = release.state()["revision"]
        dry = release.serin.admin("POST", path, {"reason": "just looking", "dry_run": True})
        expect((dry.status // 100, release.state()["revision"], release.state()["weight"]["set"]), (2, before, 20), "dry run")
        expect(release.serin.admin("POST", path, {}).status in (400, 422), True, "no reason")
        order = {"reason": "looks odd", "mode": "instant"}
        first = release.serin.admin("POST", path, order, {"Idempotency-Key": "k1"})
        expect((first.status, first.json["trigger"], first.json["reason"]), (202, "manual", "looks odd"), "answer")
        again = release.serin.admin("POST", path, order, {"Idempotency-Key": "k1"})
        expect((again.status, again.json.get("id")), (200, first.json["id"]), f"the same order at once: {again}")
        release.wait_weight(0)
        again = release.serin.admin("POST", path, order, {"Idempotency-Key": "k1"})
        expect((again.status, again.json.get("id")), (200, first.json["id"]), f"the same order again: {again}")
        other = release.serin.admin("POST", path, {**order, "reason": "another"}, {"Idempotency-Key": "k1"})
        expect(other.status, 422, "another order with the same key")
        wait_for(lambda: release.state()["phase"] == "rolled_back", "the phase", 30)
        rows = [row for row in release.records() if row["status"] != "dry_run"]
        expect([row["id"] for row in rows], [first.json["id"]], "records")
        release.stays_quiet()


@case(starts_proxy=False)
def gradual_rollback_by_hand_takes_its_steps(stage):
    with Release(stage, weight="40%") as release:
        path = f"/api/v1/services/{stage.name}/rollback"
        answer = release.serin.admin("POST", path, {"reason": "looks odd", "mode": "gradual"})
        expect(answer.status, 202, f"{answer}")
        expect(release.serin.set_weight(stage.name, 30).status, 409, "a weight during the shift")
        release.wait_weight(0, 60)
        release.saw(40, 20, 10, 4, 0)
        expect(dict(release.load.stop().errors), {}, "errors at the clients")


@case(starts_proxy=False)
def healthy_canary_is_left_alone(stage):
    with Release(stage, weight="50%") as release:
        release.canary.order(status=500, every=200)
        release.stable.order(status=500, every=200)
        seen = release.load.tally.total
        wait_for(lambda: release.load.tally.total > seen + 1500 / SLOW, "traffic flows", 60)
        expect((release.state()["weight"]["set"], release.records()), (50, []), "weight and records")


if __name__ == "__main__":
    run(__file__, parallel=2)

"""What a service calls a failure: other statuses than 5xx, and paths that are no evidence."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, case, expect, run, wait_for  # noqa: E402


class Pair:
    """A stable and a canary origin process with half of the traffic each, behind a proxy that only tells."""

    def __init__(self, stage, failures, on_breach="alert", workers=2, **service):
        self.stage = stage
        self.stable, self.canary = LoadOrigin("stable"), LoadOrigin("canary")
        rollback = {"on_breach": on_breach, **service.pop("rollback", {})}
        self.serin = stage.start_serin({"services": [stage.service(
            weight="50%", cache="off", failures=failures, rollback=rollback, **service,
            previous={"deployment": "s", "endpoints": [self.stable.url]},
            current={"deployment": "c", "endpoints": [self.canary.url]})]}, workers=workers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stable.stop()
        self.canary.stop()

    def load(self, requests, **more):
        load = Load(self.serin.port, self.stage.host, connections=8, requests=requests, **more)
        load.start()
        tally = load.wait()
        expect((tally.total, dict(tally.errors)), (requests, {}), "answers and errors")
        return tally

    def state(self):
        return self.serin.service(self.stage.name)

    def ledger(self):
        """Requests and failures of the canary as the judge counts them, and bad answers that clients saw."""
        canary = self.state()["current"]
        return canary["requests"], canary["failures"], canary["client_bad"]

    def sum(self, name, **labels):
        return self.serin.metrics().sum(name, service=self.stage.name, **labels)


@case(starts_proxy=False)
def listed_status_rolls_back_like_a_5xx(stage):
    with Pair(stage, {"status": ["5xx", 429]}, on_breach="rollback") as pair:
        load = Load(pair.serin.port, stage.host, connections=8, rate=400 / SLOW)
        load.start()
        wait_for(lambda: load.tally.of("canary") > 100 / SLOW, "traffic flows", 30)
        pair.canary.order(status=429)
        wait_for(lambda: pair.state()["phase"] == "rolled_back", "it is rolled back", 60)
        tally = load.stop()
        row = pair.serin.rollback_of(stage.name)
        bad = sum(count for (status, _), count in tally.answers.items() if status == 429)
        expect((row["reason_code"], row["bad_responses"]["client"] > 0), ("absolute", True), f"record {row}")
        expect(pair.sum("serin_upstream_failures_total", kind="status", role="current"), bad, "failures of this kind")
        expect(pair.sum("serin_client_bad_responses_total", role="current"), bad, "bad answers")


@case(starts_proxy=False)
def listed_status_counts_in_the_ledger_and_not_as_5xx(stage):
    with Pair(stage, {"status": [404, "5xx"]}) as pair:
        pair.canary.order(status=404)
        pair.load(400)
        expect(pair.ledger(), (200, 200, 200), "requests, failures, bad answers of the canary")
        kinds = pair.serin.metrics().by("serin_upstream_failures_total", "kind", service=stage.name, role="current")
        expect(kinds, {"status": 200.0}, "failures by kind: none of them is a 5xx")


@case(starts_proxy=False)
def listed_status_fills_the_containment(stage):
    with Pair(stage, {"status": [429]}, workers=1, rollback={"max_bad_responses": 20}) as pair:
        pair.canary.order(status=429)
        load = Load(pair.serin.port, stage.host, connections=4, rate=400 / SLOW)
        load.start()
        wait_for(lambda: pair.sum("serin_contained") == 1, "the worker holds it back", 30)
        load.stop()


@case(starts_proxy=False)
def listed_status_ejects_nobody(stage):
    with Pair(stage, {"status": [404]}, outlier={"consecutive": 5}) as pair:
        pair.stable.order(status=404)
        pair.load(200)
        expect(pair.sum("serin_outlier_ejections_total"), 0, "ejections")


@case(starts_proxy=False)
def unlisted_5xx_is_no_failure_and_still_a_5xx(stage):
    with Pair(stage, {"status": [500, 502, 503]}) as pair:
        pair.canary.order(status=501)
        pair.load(400)
        expect(pair.ledger(), (200, 0, 0), "requests, failures, bad answers of the canary")
        kinds = pair.serin.metrics().by("serin_upstream_failures_total", "kind", service=stage.name, role="current")
        expect(kinds, {"origin_5xx": 200.0}, "the metric that is named 5xx")
        expect(pair.state()["verdict"] in ("ok", "insufficient_data", "healthy"), True, f"verdict {pair.state()['verdict']}")


@case(starts_proxy=False)
def what_no_list_takes_away(stage):
    """A connection that fails and an edge that says so are failures whatever is listed."""
    with Pair(stage, {"status": [500]}) as pair:
        pair.canary.order(status=522)
        pair.load(40)
        expect(pair.ledger(), (20, 20, 20), "of an edge's 522")
        pair.canary.order(status=200, listen=False)
        pair.load(40)
        expect(pair.ledger(), (40, 40, 40), "of connections that fail")


@case(starts_proxy=False)
def excluded_paths_are_no_evidence_and_are_counted_all_the_same(stage):
    with Pair(stage, {"exclude_paths": ["/healthz", "/internal/*"]}, workers=1, rollback={"max_bad_responses": 20}) as pair:
        pair.canary.order(status=500)
        for number in range(40):
            for path in ("/healthz", "/internal/a?b", "/healthz?x=/y"):
                expect(stage.ask(target=path).status in (200, 500), True, path)
        expect(pair.ledger(), (0, 0, 0), "the judge's ledger")
        expect(pair.state()["verdict"], "insufficient_data", "verdict")
        expect(pair.sum("serin_contained"), 0, "contained")
        expect((pair.sum("serin_requests_total"), pair.sum("serin_upstream_failures_total", role="current"),
                pair.sum("serin_client_bad_responses_total", role="current")), (120, 60, 60), "the metrics")
        for _ in range(4):
            stage.ask(target="/healthz/")
        expect(pair.ledger(), (2, 2, 2), "another path")


@case(starts_proxy=False)
def excluded_path_is_rescued_all_the_same(stage):
    with Pair(stage, {"exclude_paths": ["/healthz"]}, workers=1, rescue={}) as pair:
        pair.canary.order(status=500)
        expect({stage.ask(target="/healthz").status for _ in range(10)}, {200}, "statuses")
        expect((pair.ledger(), pair.sum("serin_rescues_total", result="success")), ((0, 0, 0), 5), "ledger, rescues")


@case(starts_proxy=False)
def canary_without_its_files_is_rolled_back_for_its_404s(stage):
    """Both versions have some 404s; a static site that lost its files answers nothing else, and never a 5xx."""
    with Pair(stage, {"not_found": "10%"}, on_breach="rollback") as pair:
        pair.stable.order(status=404, every=25)
        pair.canary.order(status=404, every=25)
        load = Load(pair.serin.port, stage.host, connections=8, rate=400 / SLOW)
        load.start()
        wait_for(lambda: load.tally.of("canary") > 200 / SLOW, "traffic flows", 30)
        expect(pair.state()["phase"], "idle", "phase while both answer some")
        pair.canary.order(status=404, every=1)
        wait_for(lambda: pair.state()["phase"] == "rolled_back", "it is rolled back", 60)
        load.stop()
        row = pair.serin.rollback_of(stage.name)
        expect((row["reason_code"], row["reason"].startswith("canary answered 404 to ")), ("relative", True), f"record {row}")
        expect((row["mode"], row["evidence"]["canary_not_found"] > 0), ("instant", True), f"record {row}")
        expect((pair.ledger()[1:], pair.sum("serin_upstream_failures_total")), ((0, 0), 0), "no failure is counted")
        expect(any(labels["test"] == "not_found" for _, labels, _ in pair.serin.metrics().samples("serin_evidence_log_e")),
               True, "its evidence is shown")


@case(starts_proxy=False)
def as_many_404s_as_stable_roll_nothing_back(stage):
    with Pair(stage, {"not_found": "10%"}, on_breach="rollback") as pair:
        pair.stable.order(status=404, every=2)
        pair.canary.order(status=404, every=2)
        load = Load(pair.serin.port, stage.host, connections=8, rate=400 / SLOW)
        load.start()
        wait_for(lambda: load.tally.total > 2000 / SLOW, "traffic flows", 60)
        load.stop()
        expect((pair.state()["phase"], pair.state()["verdict"] != "breach"), ("idle", True), "phase, verdict")


@case(starts_proxy=False)
def reload_changes_what_counts(stage):
    with Pair(stage, {"status": ["5xx"]}) as pair:
        pair.canary.order(status=429)
        pair.load(100)
        expect(pair.ledger(), (50, 0, 0), "before")
        service = {**pair.serin.settings["services"][0], "failures": {"status": ["5xx", 429]}}
        stamp = "serin_config_last_reload_success_timestamp_seconds"
        before = pair.serin.metrics().sum(stamp)
        pair.serin.change({"services": [service]})
        pair.serin.signal(signal.SIGHUP)
        wait_for(lambda: pair.serin.metrics().sum(stamp) != before, "the reload is done")
        pair.load(100)
        expect(pair.ledger(), (100, 50, 50), "after")


if __name__ == "__main__":
    run(__file__, parallel=3)

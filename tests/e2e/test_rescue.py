"""What the canary fails of safe requests, the stable version answers: the client sees nothing, the judge sees all."""

import os
import sys
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, case, expect, run, wait_for  # noqa: E402

REQUESTS = 10000
WORKERS = 2
RESULTS = ("success", "failure", "no_budget", "stable_suffers", "stable_down")


class Pair:
    """A stable and a canary origin process behind a proxy that rescues."""

    def __init__(self, stage, weight="50%", rescue=None, on_breach="alert", settings=None, workers=WORKERS, **service):
        self.stage = stage
        self.stable, self.canary = LoadOrigin("stable"), LoadOrigin("canary")
        self.serin = stage.start_serin({**(settings or {}), "services": [stage.service(
            weight=weight, rescue=rescue or {}, rollback={"on_breach": on_breach}, **service,
            previous={"deployment": "s", "endpoints": [self.stable.url]},
            current={"deployment": "c", "endpoints": [self.canary.url]})]}, workers=workers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stable.stop()
        self.canary.stop()

    def load(self, requests, **more):
        load = Load(self.serin.port, self.stage.host, connections=16, requests=requests, **more)
        load.start()
        return load.wait()

    def rescues(self):
        found = self.serin.metrics().by("serin_rescues_total", "result", service=self.stage.name)
        return {result: int(found.get(result, 0)) for result in RESULTS if found.get(result, 0)}

    def client_bad(self):
        return self.serin.metrics().sum("serin_client_bad_responses_total", service=self.stage.name)


@case(starts_proxy=False)
def canary_that_fails_everything_costs_safe_requests_nothing(stage):
    with Pair(stage) as pair:
        pair.canary.order(status=500)
        tally = pair.load(REQUESTS)
        # A machine may be so busy that the stable version becomes slow; then some are not rescued, and say so.
        refused = pair.rescues().pop("stable_suffers", 0)
        seen = {(200, "stable"): REQUESTS - refused, (500, "canary"): refused}
        expect((tally.answers, dict(tally.errors)), (Counter(seen), {}), "what clients saw")
        failed = pair.canary.counts()["500"]
        expect(abs(failed - REQUESTS / 2) <= WORKERS, True, f"the canary got its share: {failed}")
        expect((pair.rescues()["success"], pair.client_bad()), (failed - refused, refused), "rescues, bad answers")
        metrics = pair.serin.metrics()
        expect(metrics.by("serin_upstream_requests_total", "code", service=stage.name, role="current"),
               {"500": float(failed)}, "attempts at the canary")
        expect(metrics.by("serin_upstream_requests_total", "code", service=stage.name, role="previous"),
               {"200": float(REQUESTS - refused)}, "attempts at stable")
        expect(metrics.sum("serin_requests_total", service=stage.name), REQUESTS, "requests")
        canary, stable = (pair.serin.service(stage.name)[role] for role in ("current", "previous"))
        expect((canary["requests"], canary["failures"], canary["client_bad"]), (failed, failed, refused), "the canary's ledger")
        expect(stable["requests"], REQUESTS - failed, "the judge's requests of stable: no rescues")
        wait_for(lambda: pair.serin.service(stage.name)["verdict"] == "breach", "the verdict", 30)
        expect(pair.canary.order()["links"] <= 16 * WORKERS, True, "connections to the canary are kept")


@case(starts_proxy=False)
def rollback_of_a_rescued_canary_was_seen_by_nobody(stage):
    with Pair(stage, weight="20%", on_breach="rollback") as pair:
        load = Load(pair.serin.port, stage.host, connections=8, rate=300 / SLOW)
        load.start()
        wait_for(lambda: load.tally.of("canary") > 40, "traffic flows", 30)
        pair.canary.order(status=503)
        wait_for(lambda: pair.serin.service(stage.name)["phase"] == "rolled_back", "it is rolled back", 60)
        tally = load.stop()
        expect((dict(tally.statuses).keys(), dict(tally.errors)), ({200: 0}.keys(), {}), "what clients saw")
        row = pair.serin.rollback_of(stage.name)
        expect((row["bad_responses"]["client"], row["bad_responses"]["origin"] > 0), (0, True), f"{row['bad_responses']}")


@case(starts_proxy=False)
def every_way_of_failing_is_rescued(stage):
    settings = {"timeouts": {"response_header": f"{int(1000 * SLOW)}ms"}}
    with Pair(stage, settings=settings) as pair:
        for order in ({"end": True}, {"end": None, "status": 502}, {"status": 504}, {"status": 200, "delay_ms": 3000 * SLOW},
                      {"delay_ms": 0, "listen": False}):
            pair.canary.order(**order)
            tally = pair.load(40)
            expect((dict(tally.answers), dict(tally.errors)), ({(200, "stable"): 40}, {}), f"with {order}")
        expect(set(pair.rescues()), {"success"}, "results")
        kinds = pair.serin.metrics().by("serin_upstream_failures_total", "kind", service=stage.name, role="current")
        expect(set(kinds), {"reset", "origin_5xx", "timeout", "connect"}, "the canary's failures")


@case(starts_proxy=False)
def what_is_not_listed_is_the_clients(stage):
    with Pair(stage, rescue={"when": ["connect", 503]}) as pair:
        pair.canary.order(status=500)
        tally = pair.load(40)
        expect((tally.answers[(500, "canary")], pair.rescues()), (20, {}), "answers of the canary, rescues")


@case(starts_proxy=False)
def unsafe_requests_are_sent_once(stage):
    with Pair(stage) as pair:
        pair.canary.order(status=500)
        tally = pair.load(40, method_of=lambda number: "POST")
        expect(dict(tally.answers), {(200, "stable"): 20, (500, "canary"): 20}, "answers")
        expect((pair.rescues(), pair.client_bad()), ({}, 20), "rescues, bad answers")


@case(starts_proxy=False)
def safe_methods_without_a_body_are_rescued(stage):
    with Pair(stage, weight="100%") as pair:
        pair.canary.order(status=500)
        for method in ("GET", "OPTIONS"):
            expect(stage.ask(method).body[:6], b"stable", method)
        expect(stage.ask("GET", body=b"what for").status, 500, "GET with a body")
        expect(stage.ask("DELETE").status, 500, "DELETE")
        wait_for(lambda: len(stage.serin.access_log()) == 4, "the access log")
        lines = sorted((line["method"], line["status"], line["rescued"], line["role"], line["failure"], line["attempts"])
                       for line in stage.serin.access_log())
        rescued, not_rescued = (200, True, "current", "origin_5xx", 2), (500, False, "current", "origin_5xx", 1)
        expect(lines, [("DELETE", *not_rescued), ("GET", *rescued), ("GET", *not_rescued), ("OPTIONS", *rescued)], "the log")


@case(starts_proxy=False)
def own_wish_is_answered_by_the_canary(stage):
    with Pair(stage, weight="0%") as pair:
        pair.canary.order(status=500)
        expect(stage.ask(fields=["Serin-Version: current"]).status, 500, "opted in")
        expect(pair.rescues(), {}, "rescues")


@case(starts_proxy=False)
def rescued_client_stays_with_its_version(stage):
    with Pair(stage, sticky={"by": "cookie"}) as pair:
        pair.canary.order(status=500)
        answers = [stage.ask() for _ in range(2 * WORKERS + 2)]
        expect({answer.body[:6] for answer in answers}, {b"stable"}, "answers")
        buckets = [answer.get("set-cookie").split(";")[0] for answer in answers]
        canary = [cookie for cookie in buckets if int(cookie.rpartition(".")[2]) < 500000]
        expect(len(canary) >= 2, True, f"clients of the canary: {buckets}")
        before = pair.canary.counts()["500"]
        for cookie in canary:
            expect(stage.ask(fields=[f"Cookie: {cookie}"]).body[:6], b"stable", "again")
        expect(pair.canary.counts()["500"], before + len(canary), "they are sent to the canary again")


@case(starts_proxy=False)
def budget_bounds_what_stable_is_asked_for(stage):
    """One user in a crowd of one: all requests go to a canary that has a tenth of the weight."""
    sticky = {"by": "header", "name": "X-User"}
    with Pair(stage, weight="10%", rescue={"budget": "10%"}, sticky=sticky, workers=1) as pair:
        user = next(name for name in map(str, range(1000))
                    if stage.ask(fields=[f"X-User: {name}"]).body.startswith(b"canary"))
        pair.canary.order(status=500)
        tally = pair.load(300, fields_of=lambda number: f"X-User: {user}\r\n")
        rescued, refused = tally.answers[(200, "stable")], tally.answers[(500, "canary")]
        expect((rescued + refused, 118 <= rescued <= 132), (300, True), f"{rescued} rescued, {refused} not")
        expect(pair.rescues(), {"success": rescued, "no_budget": refused}, "counted")


@case(starts_proxy=False)
def stable_that_suffers_is_not_asked_for_more(stage):
    with Pair(stage) as pair:
        pair.canary.order(status=500)
        pair.stable.order(status=500)
        load = Load(pair.serin.port, stage.host, connections=4, rate=200 / SLOW)
        load.start()
        wait_for(lambda: pair.rescues().get("stable_suffers", 0) > 20, "nothing is rescued any more", 30)
        before = pair.rescues()
        wait_for(lambda: pair.rescues()["stable_suffers"] > before["stable_suffers"] + 50, "traffic flows", 60)
        # When a busy machine hardly lets anything fail for seconds, it is tried again.
        more = {result: pair.rescues()[result] - before[result] for result in before}
        expect(5 * more["failure"] <= more["stable_suffers"], True, f"rescues that failed: {more}")
        pair.stable.order(status=200)
        wait_for(lambda: pair.rescues().get("success", 0) > 20, "it is asked again when it is well", 30)
        expect(dict(load.stop().errors), {}, "errors")


@case(starts_proxy=False)
def stable_that_is_gone_rescues_nobody(stage):
    with Pair(stage) as pair:
        pair.canary.order(status=500)
        pair.stable.order(listen=False)
        tally = pair.load(20)
        expect(set(tally.statuses) <= {500, 502, 503}, True, f"answers {tally.statuses}")
        expect(tally.total, 20, "every request is answered once")


if __name__ == "__main__":
    run(__file__, parallel=2)

"""The harm that a canary may do before the verdict: bounded by the workers themselves, shown, counted, and ended."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, case, expect, run, wait_for  # noqa: E402

WORKERS = 2
CONNECTIONS = 32
BUDGET = 20
UNSAFE_PER_S = 5  # of the trickle, in each worker


class Held:
    """A canary with half of the traffic, and nothing but requests that cannot be repeated unless told otherwise."""

    def __init__(self, stage, on_breach="rollback", workers=WORKERS, rate=2000 / SLOW, method="POST", rescue="off", **rollback):
        self.stage = stage
        self.stable, self.canary = LoadOrigin("stable"), LoadOrigin("canary")
        rollback = {"max_bad_responses": BUDGET, "on_breach": on_breach, **rollback}
        self.serin = stage.start_serin({"services": [stage.service(
            weight="50%", rescue=rescue, rollback=rollback,
            previous={"deployment": "s", "endpoints": [self.stable.url]},
            current={"deployment": "c", "endpoints": [self.canary.url]})]}, workers=workers)
        self.serin.set_weight(stage.name, 49)  # the first event, so that the stream can be asked for all after it
        self.serin.set_weight(stage.name, 50)
        self.load = Load(self.serin.port, stage.host, connections=CONNECTIONS, rate=rate,
                         method_of=lambda number: method)
        self.load.start()
        wait_for(lambda: self.load.tally.of("canary") > 200 / SLOW, "traffic flows", 30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.load._ended.set()
        self.load.join(20)
        self.stable.stop()
        self.canary.stop()

    def rate_over(self, requests):
        """How many requests a second are really made, over so many of them."""
        seen, since = self.load.tally.total, time.monotonic()
        wait_for(lambda: self.load.tally.total >= seen + requests, "traffic flows", 60)
        return (self.load.tally.total - seen) / (time.monotonic() - since)

    def state(self):
        return self.serin.service(self.stage.name)

    def is_told_once(self, why):
        """A line and an event when it begins, and when it ends."""
        end = "no longer held at a trickle, after "
        wait_for(lambda: end in self.serin.log(), "its end is in the log")
        lines = [line for line in self.serin.log().splitlines() if "at a trickle" in line and "by judge" not in line]
        expect([end in line for line in lines], [False, True], f"lines {lines}")
        expect(lines[1].endswith(why), True, lines[1])
        events = self.serin.events(self.stage.name, "contained")
        expect([(event["contained"], event["workers"] > 0) for event in events][-1], (False, False), f"events {events}")
        expect([event["contained"] for event in events], [True, False], "events")

    def contained(self):
        return self.serin.metrics().sum("serin_contained", service=self.stage.name)

    def containments(self):
        return self.serin.metrics().sum("serin_containments_total", service=self.stage.name)


@case(starts_proxy=False)
def canary_that_fails_everything_costs_no_more_than_the_bound(stage):
    with Held(stage) as held:
        rate = held.rate_over(2000 / SLOW)
        held.canary.order(status=500)
        wait_for(lambda: held.state()["phase"] == "rolled_back", "it is rolled back", 60)
        tally = held.load.stop()
        record = held.serin.rollback_of(stage.name)
        trickle = WORKERS * (UNSAFE_PER_S * record["phases"]["shift_s"] + 1)
        bound = WORKERS * max(5, BUDGET // WORKERS) + CONNECTIONS + trickle
        bad = sum(count for status, count in tally.statuses.items() if status >= 500)
        stage.transcript.note("load", f"{rate:.0f} unsafe requests a second, {bad} bad answers, {bound:.1f} allowed")
        expect((0 < bad <= bound, dict(tally.errors)), (True, {}), f"{bad} bad answers, {bound} allowed")
        expect(held.state()["contained"], False, "contained without weight")
        held.is_told_once("it has no weight")


@case(starts_proxy=False)
def contained_canary_gets_a_trickle_of_unsafe_requests(stage):
    """Nobody rolls back here; a second of it shows what the workers do by themselves."""
    with Held(stage, on_breach="alert") as held:
        held.canary.order(status=500)
        wait_for(lambda: held.contained() == WORKERS, "all workers hold it back")
        wait_for(lambda: held.state()["contained"] and held.state()["verdict"] in ("suspicious", "breach"), "it is shown")
        expect(held.containments(), WORKERS, "containments")
        since_s, before, seen = time.monotonic(), sum(held.canary.counts().values()), held.load.tally.total
        wait_for(lambda: held.load.tally.total >= seen + 4000 / SLOW, "two seconds of traffic", 60)
        wait_for(lambda: sum(held.canary.counts().values()) > before, "the trickle goes on")
        sent = sum(held.canary.counts().values()) - before
        # What was on its way when the workers began comes on top of the trickle.
        allowed = WORKERS * (UNSAFE_PER_S * (time.monotonic() - since_s) + 1) + CONNECTIONS
        expect(sent <= allowed, True, f"{sent} requests to the canary, {allowed:.0f} allowed")
        # A wish is no way around it. It may happen to be one of the trickle itself.
        wait_for(lambda: stage.ask(fields=["Serin-Version: current"]).body.startswith(b"stable"), "a wish goes unheard", 30)
        expect(held.contained(), WORKERS, "workers that hold it back")


@case(starts_proxy=False)
def held_canary_that_is_well_again_gets_its_share_back(stage):
    with Held(stage, on_breach="alert", workers=1, rate=1000 / SLOW, method="GET", error_rate="20%",
              rescue={"when": ["connect"]}) as held:
        held.canary.order(status=500)
        wait_for(lambda: held.contained() == 1, "it is held back")
        held.canary.order(status=200)
        wait_for(lambda: held.contained() == 0, "fifty good answers end it", 60)
        seen = held.load.tally.of("canary")
        wait_for(lambda: held.load.tally.of("canary") > seen + 300 / SLOW, "its share is back", 30)
        expect((held.state()["contained"], held.containments()), (False, 1), "contained, containments")
        held.is_told_once("it answers well again")


@case(starts_proxy=False)
def rescued_canary_is_not_contained(stage):
    with Held(stage, on_breach="alert", method="GET", rescue={}) as held:
        held.canary.order(status=500)
        seen = held.load.tally.total
        wait_for(lambda: held.load.tally.total > seen + 2000 / SLOW, "traffic flows", 60)
        expect((held.contained(), dict(held.load.stop().statuses).keys()), (0, {200: 0}.keys()), "contained, statuses")


if __name__ == "__main__":
    run(__file__, parallel=2)

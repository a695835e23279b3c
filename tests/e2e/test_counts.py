"""What /metrics says is exactly what clients and origins counted, under load from several workers."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, case, expect, run, wait_for  # noqa: E402

WORKERS = 4
REQUESTS = int(24000 / SLOW)


def by_code(counts):
    return {str(code): float(count) for code, count in counts.items()}


class Origins:
    """A stable and a canary origin process, and a proxy in front of them."""

    def __init__(self, stage, weight, **service):
        self.stage = stage
        self.stable, self.canary = LoadOrigin("stable"), LoadOrigin("canary")
        stage.start_serin({"services": [stage.service(
            weight=weight, rollback={"on_breach": "alert"}, **service,
            previous={"deployment": "s", "endpoints": [self.stable.url]},
            current={"deployment": "c", "endpoints": [self.canary.url]})]}, workers=WORKERS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stable.stop()
        self.canary.stop()


def counts_agree(stage, metrics, tally, stable, canary):
    name = stage.name
    expect(metrics.by("serin_requests_total", "code", service=name), by_code(tally.statuses), "codes at the clients")
    expect(metrics.by("serin_upstream_requests_total", "code", service=name, role="previous"), by_code(stable), "stable")
    expect(metrics.by("serin_upstream_requests_total", "code", service=name, role="current"), by_code(canary), "canary")
    for role, tag in (("previous", "stable"), ("current", "canary")):
        bad = sum(count for (status, who), count in tally.answers.items() if who == tag and status >= 500)
        expect(metrics.sum("serin_client_bad_responses_total", service=name, role=role), bad, f"bad answers of {tag}")
        kinds = metrics.by("serin_upstream_failures_total", "kind", service=name, role=role)
        expect(kinds, {"origin_5xx": float(bad)} if bad else {}, f"failures of {tag}")
        expect(metrics.sum("serin_upstream_duration_seconds_count", service=name, role=role), tally.of(tag), "durations")
    expect(metrics.sum("serin_request_duration_seconds_count", service=name), tally.total, "durations at the clients")


@case(starts_proxy=False)
def every_answer_is_counted_once_where_it_belongs(stage):
    with Origins(stage, "20%") as origins:
        origins.canary.order(status=503, every=7)
        origins.stable.order(status=500, every=101)
        load = Load(stage.serin.port, stage.host, connections=64, requests=REQUESTS, per_connection=50)
        load.start()
        tally = load.wait()
        metrics = stage.serin.metrics()
        expect((dict(tally.errors), tally.total), ({}, REQUESTS), "errors and answers")
        counts_agree(stage, metrics, tally, origins.stable.counts(), origins.canary.counts())
        off = tally.of("canary") - REQUESTS * 0.2
        expect(abs(off) <= WORKERS, True, f"the canary's share is off by {off}")
        expect(metrics.sum("serin_requests_in_flight", service=stage.name), 0, "in flight")


@case(starts_proxy=False)
def counters_only_grow_and_no_scrape_disturbs(stage):
    with Origins(stage, "50%") as origins:
        load = Load(stage.serin.port, stage.host, connections=16, requests=REQUESTS // 2)
        load.start()
        seen, ended = {}, threading.Event()
        while not ended.is_set():
            if not load.is_alive():
                ended.set()
            metrics = stage.serin.metrics()
            for name, labels, value in metrics.samples():
                if name.endswith(("_total", "_count", "_bucket")):
                    key = (name, *sorted(labels.items()))
                    if value < seen.get(key, 0):
                        raise AssertionError(f"{key} fell from {seen[key]} to {value}")
                    seen[key] = value
        tally = load.wait()
        counts_agree(stage, stage.serin.metrics(), tally, origins.stable.counts(), origins.canary.counts())


@case(starts_proxy=False)
def every_request_is_in_the_access_log(stage):
    with Origins(stage, "10%"):
        load = Load(stage.serin.port, stage.host, connections=8, requests=REQUESTS // 8)
        load.start()
        tally = load.wait()

        def line_count():
            return len(stage.serin.access_log()) + stage.serin.metrics().sum("serin_access_log_dropped_total")

        wait_for(lambda: line_count() == tally.total, "a line for every request")
        targets = {line.get("path") or line.get("target") for line in stage.serin.access_log()}
        expect(len(targets), tally.total, "different targets in the log")


@case(starts_proxy=False)
def broken_connections_are_counted_as_what_they_are(stage):
    with Origins(stage, "50%") as origins:
        origins.canary.order(end=True)
        load = Load(stage.serin.port, stage.host, connections=8, requests=1000)
        load.start()
        tally = load.wait()
        bad = tally.statuses[502]
        expect((tally.statuses[200] + bad, dict(tally.errors)), (1000, {}), "answers")
        expect(abs(bad - 500) <= WORKERS, True, f"{bad} of 1000 at 50 %")
        metrics = stage.serin.metrics()
        kinds = metrics.by("serin_upstream_failures_total", "kind", service=stage.name, role="current")
        expect(kinds, {"reset": float(bad)}, "failures")
        expect(metrics.sum("serin_client_bad_responses_total", service=stage.name, role="current"), bad, "bad answers")
        codes = metrics.by("serin_upstream_requests_total", "code", service=stage.name, role="current")
        expect(codes, {"none": float(bad)}, "attempts")


if __name__ == "__main__":
    run(__file__)

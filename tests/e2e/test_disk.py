"""A disk that is full or a database that is broken stops neither traffic nor a rollback, and is shown."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, case, expect, run, wait_for  # noqa: E402

QUICK = {"every": "200ms"}
CONNECTIONS = 8


def rolls_back(stage, serin, canary):
    """The canary breaks under traffic, and its weight goes to 0."""
    load = Load(serin.port, stage.host, connections=CONNECTIONS, rate=300 / SLOW)
    load.start()
    wait_for(lambda: load.tally.total > 150 / SLOW, "traffic flows")
    canary.order(status=500)
    wait_for(lambda: serin.service(stage.name)["weight"]["set"] == 0, "the weight is 0", 30)
    before = canary.counts()
    seen = load.tally.total
    wait_for(lambda: load.tally.total > seen + 200 / SLOW, "traffic flows on")
    tally = load.stop()
    expect(dict(tally.errors), {}, "errors at the clients")
    after = canary.counts()
    late = sum(after.values()) - sum(before.values())
    expect(late <= CONNECTIONS, True, f"{late} requests at the canary afterwards, more than can have been under way")


class Two:
    """A stable and a canary origin at equal weight, quick to shift back."""

    def __init__(self, stage):
        self.stable, self.canary = LoadOrigin("stable"), LoadOrigin("canary")
        self.service = stage.service(weight="50%", rollback=QUICK,
                                     previous={"deployment": "s", "endpoints": [self.stable.url]},
                                     current={"deployment": "c", "endpoints": [self.canary.url]})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stable.stop()
        self.canary.stop()


@case(starts_proxy=False)
def rollback_happens_while_the_database_is_broken(stage):
    """The file is overwritten under the running process: every later transaction fails."""
    with Two(stage) as two:
        serin = stage.start_serin({"services": [two.service]})
        expect(serin.conditions(), [], "conditions at first")
        for end in ("", "-wal", "-shm"):
            path = serin.settings["state"] + end
            if os.path.exists(path):
                with open(path, "r+b") as file:
                    file.truncate(0)
                    file.write(b"this is not a database" * 1000)
        rolls_back(stage, serin, two.canary)
        wait_for(lambda: serin.conditions(), "the condition is in the status")
        metrics = serin.metrics()
        expect(sum(value for labels, value in metrics.all("serin_condition") if labels["condition"] != "late_ticks") >= 1, True, "the condition is in the metrics")


@case(starts_proxy=False)
def rollback_happens_on_a_full_disk(stage):
    """/dev/full as access log, and a state folder that may not be written."""
    with Two(stage) as two:
        settings = {"services": [two.service], "access_log": {"path": "/dev/full", "format": "json"}}
        serin = stage.start_serin(settings)
        rolls_back(stage, serin, two.canary)
        wait_for(lambda: serin.metrics().sum("serin_access_log_dropped_total") > 0, "lost records are counted")
        wait_for(lambda: serin.conditions(), "the condition is in the status")


@case(starts_proxy=False)
def start_with_a_broken_database_serves(stage):
    with Two(stage) as two:
        serin = stage.start_serin({"services": [two.service]})
        serin.stop()
        with open(serin.settings["state"], "wb") as file:
            file.write(b"this is not a database" * 1000)
        for end in ("-wal", "-shm"):
            if os.path.exists(serin.settings["state"] + end):
                os.remove(serin.settings["state"] + end)
        serin.start()
        expect(stage.ask().status, 200, "status")
        wait_for(lambda: serin.conditions(), "the condition is in the status")


if __name__ == "__main__":
    run(__file__)

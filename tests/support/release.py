"""release.py - a canary that starts well, with traffic on it, and an eye on what happens to its weight."""

import re

from load import Load, LoadOrigin
from play import SLOW, expect, wait_for

RATE = int(300 / SLOW)
QUICK = {"every": f"{int(600 * SLOW)}ms"}
RECORD_KEYS = {"id", "service", "timestamp", "deployment", "target", "reason", "trigger", "actor", "mode", "duration_s",
               "status", "phases", "bad_responses", "evidence"}
PHASE_KEYS = {"detect_s", "decide_s", "shift_s", "drain_s"}


class Release:
    """A canary that starts well, with traffic; what happens to its weight can be asked for."""

    def __init__(self, stage, weight="20%", rate=RATE, rollback=None, starts=True, settings=None, others=(), process=None,
                 **service):
        self.stage, self.name = stage, stage.name
        self.stable, self.canary = LoadOrigin("stable"), LoadOrigin("canary")
        self.service = stage.service(weight=weight, rollback={**QUICK, **(rollback or {})}, **service,
                                     previous={"deployment": "good-1", "endpoints": [self.stable.url]},
                                     current={"deployment": "bad-2", "endpoints": [self.canary.url]})
        self.serin = stage.start_serin({**(settings or {}), "services": [self.service, *others]}, **(process or {}))
        self.first_weight = self.state()["weight"]["set"]
        self.load = Load(self.serin.port, stage.host, connections=8, rate=rate)
        self.load.start()
        if starts:
            wait_for(lambda: self.load.tally.of("canary") >= 40, "traffic flows", 30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.load._ended.set()
        self.load.join(20)
        self.stable.stop()
        self.canary.stop()

    @property
    def weights(self):
        """All that were in effect so far, however short, as the log has them."""
        told = re.findall(rf" {re.escape(self.name)}: weight of the canary (?:set from .* to )?([\d.]+) %", self.serin.log())
        return [self.first_weight, *map(float, told)]

    def state(self):
        return self.serin.service(self.name)

    def wait_weight(self, percent, patience_s=30):
        wait_for(lambda: self.state()["weight"]["set"] == percent, f"the weight is {percent}", patience_s)

    def wait_phase(self, phase, patience_s=30):
        wait_for(lambda: self.state()["phase"] == phase, f"the phase is {phase}", patience_s)

    def records(self):
        rows = self.serin.admin("GET", "/api/v1/rollbacks").json
        return rows if isinstance(rows, list) else rows["rollbacks"]

    def record(self):
        """The only rollback record, once it has ended."""
        wait_for(lambda: [row for row in self.records() if row["status"] not in ("in_progress",)], "a record", 30)
        expect(len(self.records()), 1, "records")
        return self.serin.admin("GET", f"/api/v1/rollbacks/{self.records()[0]['id']}").json

    def saw(self, *weights):
        """These weights were in effect, in this order."""
        wait_for(lambda: self.weights[-1] == weights[-1], f"the weight {weights[-1]} is seen")
        expect(self.weights, list(weights), "weights")

    def stays_quiet(self):
        """From some moment on, when what was under way has ended, nobody gets the canary."""
        def is_quiet():
            before, seen = self.canary.counts(), self.load.tally.total
            wait_for(lambda: self.load.tally.total > seen + 100 / SLOW, "traffic flows on", 30)
            return self.canary.counts() == before

        wait_for(is_quiet, "nothing is under way", 30)
        expect(is_quiet(), True, "the canary is left alone")


def is_whole(record):
    missing = RECORD_KEYS - set(record)
    expect((missing, PHASE_KEYS - set(record["phases"])), (set(), set()), "keys that the record lacks")
    expect((record["deployment"], record["target"]), ("bad-2", "good-1"), "deployments")
    phases = [record["phases"][key] for key in ("detect_s", "decide_s", "shift_s")]
    expect(phases == sorted(phases) and phases[0] >= 0, True, f"phases in order {record['phases']}")
    known = [value for value in record["phases"].values() if value is not None]
    expect(abs(record["duration_s"] - max(known)) < 0.01, True, f"duration {record['duration_s']} of {known}")

"""kill -9 at any moment of a rollback: the next start resumes where safety asks.

A rollback on disk means weight 0 before the first request, and the rollback goes on to its end. Killed before it
was written: the last written weight, and the canary is judged anew. Half of the rounds kill at a random moment
after the canary broke, half at one of the steps of the shift."""

import os
import random
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, add_case, expect, run, wait_for  # noqa: E402

ROUNDS = 20
QUICK = {"every": f"{int(150 * SLOW)}ms"}
SEED = int(os.environ.get("SERIN_TEST_SEED", time.time()))


def rollbacks_on_disk(path):
    """How many rollback records survived, read as SQLite itself recovers them."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM rollback").fetchone()[0]
    finally:
        connection.close()


def survives(number):
    def function(stage):
        is_early = number % 2 == 0
        delay_s = random.Random(SEED + number).uniform(0, (0.8 if is_early else 0.7) * SLOW)
        stable, canary = LoadOrigin("stable"), LoadOrigin("canary")
        load = None
        try:
            service = stage.service(weight="50%", rollback=QUICK,
                                    previous={"deployment": "s", "endpoints": [stable.url]},
                                    current={"deployment": "c", "endpoints": [canary.url]})
            serin = stage.start_serin({"services": [service]})
            load = Load(serin.port, stage.host, connections=8, rate=400 / SLOW)
            load.start()
            wait_for(lambda: load.tally.of("canary") > 40, "traffic flows", 30)
            canary.order(status=500, every=3)
            if not is_early:
                wait_for(lambda: serin.service(stage.name)["phase"] != "idle", "the shift begins", 60, 0.005)
                canary.order(status=200)
            time.sleep(delay_s)  # the stimulus: when the power goes
            serin.kill()
            load._ended.set()
            load.join(10)
            recorded = rollbacks_on_disk(serin.settings["state"])
            canary.order(status=500, every=3)
            before = sum(canary.counts().values())
            serin.start()
            stage.transcript.note("test", f"killed after {delay_s:.3f} s, {recorded} records (seed {SEED})")
            if recorded:
                expect(serin.service(stage.name)["weight"]["set"], 0, "weight after the restart")
            load = Load(serin.port, stage.host, connections=8, rate=400 / SLOW)
            load.start()
            wait_for(lambda: serin.service(stage.name)["phase"] == "rolled_back", "it is rolled back in the end", 60)
            tally = load.stop()
            if recorded:
                expect((sum(canary.counts().values()), tally.of("canary")), (before, 0), "requests at the canary")
            serin.rollback_of(stage.name)
            rows = serin.admin("GET", "/api/v1/rollbacks").json["rollbacks"]
            expect([row["status"] for row in rows], ["success"], "records")
        finally:
            if load:
                load._ended.set()
                load.join(10)
            stable.stop()
            canary.stop()

    return function


for round_number in range(ROUNDS):
    add_case(survives(round_number), f"rollback_survives_a_kill_{round_number}", starts_proxy=False)

if __name__ == "__main__":
    run(__file__, parallel=3)

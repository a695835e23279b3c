"""A release climbs step by step on evidence: to promotion, to a rollback, and as its operator says, through the client verbs."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, bare_environment, case, expect, health, run, wait_for  # noqa: E402

RATE = int(300 / SLOW)
QUICK = {"steps": ["30%", "60%", "100%"], "min_time": "1s", "max_time": "10m", "bake": "2s"}
GATED = {**QUICK, "steps": ["30%", "pause", "100%"], "min_time": f"{int(3 * SLOW)}s", "bake": "10m"}
HEALTH = health(healthy=3, unhealthy=3, every_ms=200)
DONE, FAILED, USAGE, REFUSED, DENIED, TIMED_OUT = range(6)


class Rollout:
    """A canary without a weight of its own, under traffic."""

    def __init__(self, stage, rollout, rate=RATE, starts=True, **service):
        self.stage, self.name = stage, stage.name
        self.stable, self.canary = LoadOrigin("stable"), LoadOrigin("canary")
        if not starts:
            self.canary.order(listen=False)
        self.service = stage.service(rollout=rollout, rollback={"every": "200ms"}, **service,
                                     previous={"deployment": "good-1", "endpoints": [self.stable.url]},
                                     current={"deployment": "new-2", "endpoints": [self.canary.url]})
        del self.service["weight"]
        self.serin = stage.start_serin({"services": [self.service]})
        self.load = Load(self.serin.port, stage.host, connections=8, rate=rate)
        self.load.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.load._ended.set()
        self.load.join(20)
        self.stable.stop()
        self.canary.stop()

    def state(self):
        return self.serin.service(self.name)

    def wait_phase(self, phase, patience_s=90):
        wait_for(lambda: self.state()["phase"] == phase, f"the phase is {phase}", patience_s)

    def wait_weight(self, percent, patience_s=90):
        wait_for(lambda: self.state()["weight"]["set"] == percent, f"the weight is {percent}", patience_s)

    def say(self, *words):
        """A client verb: exit code, standard output and error."""
        environment = {**bare_environment(), "SERIN_ADMIN": f"http://127.0.0.1:{self.serin.admin_port}"}
        done = subprocess.run([self.stage.binary, *words, "--service", self.name], env=environment, capture_output=True,
                              text=True, check=False, timeout=150 * SLOW)
        self.stage.transcript.note("test", f"serin {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.returncode, done.stdout, done.stderr

    def events(self):
        """The audit trail's actions of this service, oldest first."""
        rows = self.serin.admin("GET", "/api/v1/audit?limit=200").json
        rows = rows if isinstance(rows, list) else rows["audit"]
        return [row["action"] for row in reversed(rows) if row["service"] == self.name]


@case(starts_proxy=False)
def good_release_climbs_to_promotion(stage):
    with Rollout(stage, QUICK) as rollout:
        wait_for(lambda: rollout.state()["step"] == 1, "the first step", every_s=0.005)
        wait_for(lambda: rollout.serin.metrics().sum("serin_rollout_step", service=stage.name) >= 1, "the step is exposed",
                 every_s=0.005)
        expect(rollout.state()["steps"], 3, "steps")
        code, out, _ = rollout.say("wait", "--timeout", f"{int(120 * SLOW)}s")
        expect((code, "succeeded" in out), (DONE, True), out)
        expect((rollout.state()["weight"]["set"], rollout.state()["step"]), (100, 0), "weight and step")
        seen = rollout.stable.counts()
        wait_for(lambda: rollout.canary.counts()["200"] > 500 / SLOW, "traffic flows on", 30)
        expect(rollout.stable.counts(), seen, "requests at the stable version after the promotion")
        wait_for(lambda: "rollout.success" in rollout.events(), "the end is on record")
        expect([event for event in rollout.events() if event.startswith("rollout.")],
               ["rollout.start"] + ["rollout.step"] * 3 + ["rollout.bake", "rollout.success"], "events")
        phase = rollout.serin.metrics().by("serin_rollout_phase", "phase", service=stage.name)
        expect(phase, {"succeeded": 1}, "the phase is exposed")
        expect(dict(rollout.load.stop().errors), {}, "errors at the clients")


@case(starts_proxy=False)
def bad_release_is_rolled_back_on_its_way(stage):
    with Rollout(stage, QUICK) as rollout:
        rollout.wait_weight(60)
        rollout.canary.order(status=500)
        code, out, _ = rollout.say("wait", "--timeout", f"{int(60 * SLOW)}s")
        expect((code, "rolled_back" in out), (FAILED, True), out)
        rollout.serin.rollback_of(stage.name)
        code, out, _ = rollout.say("history")
        expect((code, "new-2" in out and "Error rate" in out), (DONE, True), out)
        code, _, err = rollout.say("promote")
        expect((code, "409" in err or "rolled_back" in err), (REFUSED, True), err)
        expect(rollout.state()["weight"]["set"], 0, "weight")


@case(starts_proxy=False)
def operator_leads_through_gate_pause_and_promotion(stage):
    with Rollout(stage, GATED) as rollout:
        rollout.wait_phase("paused")
        expect((rollout.state()["weight"]["set"], rollout.state()["step"]), (30, 1), "at the gate")
        expect(rollout.say("wait", "--timeout", "1s")[0], TIMED_OUT, "waiting at a gate")
        expect(rollout.say("resume")[0], DONE, "resume")
        rollout.wait_weight(100)
        expect(rollout.say("pause")[0], DONE, "pause")
        expect(rollout.state()["phase"], "paused", "phase")
        expect(rollout.say("promote")[0], DONE, "promote")
        expect(rollout.state()["phase"], "baking", "phase")
        expect(rollout.say("promote")[0], DONE, "promote in the bake")
        expect(rollout.state()["phase"], "succeeded", "phase")
        expect(rollout.say("promote")[0], REFUSED, "nothing left to promote")


@case(starts_proxy=False)
def full_promotion_and_abort(stage):
    with Rollout(stage, {**QUICK, "min_time": "5m", "max_time": "1h", "bake": "5m"}) as rollout:
        wait_for(lambda: rollout.state()["step"] == 1, "the first step")
        code, out, _ = rollout.say("promote", "--full")
        expect((code, "baking" in out), (DONE, True), out)
        expect(rollout.state()["weight"]["set"], 100, "weight")
        expect(rollout.say("abort")[0], DONE, "abort")
        expect(rollout.say("wait", "--timeout", f"{int(60 * SLOW)}s")[0], FAILED, "an aborted rollout")
        expect((rollout.state()["phase"], rollout.state()["weight"]["set"]), ("idle", 0), "phase and weight")
        expect(rollout.state()["quarantine"], [], "an abort puts nothing in quarantine")


@case(starts_proxy=False)
def weight_by_hand_pauses_the_rollout(stage):
    with Rollout(stage, {**QUICK, "min_time": "5m", "max_time": "1h"}) as rollout:
        wait_for(lambda: rollout.state()["step"] == 1, "the first step")
        expect(rollout.say("weight", "70")[0], DONE, "weight")
        expect((rollout.state()["phase"], rollout.state()["step"]), ("paused", 2), "phase and step")


@case(starts_proxy=False)
def no_weight_before_health(stage):
    with Rollout(stage, QUICK, starts=False, health=HEALTH) as rollout:
        wait_for(lambda: rollout.load.tally.total > 300 / SLOW, "traffic flows", 30)
        expect((rollout.state()["phase"], rollout.state()["step"]), ("progressing", 0), "phase and step")
        code, _, err = rollout.say("promote")
        expect((code, "health" in err), (REFUSED, True), err)
        expect(rollout.load.tally.of("canary"), 0, "requests that met the dead canary")
        rollout.canary.order(listen=True)
        rollout.wait_weight(30)
        expect(dict(rollout.load.stop().errors), {}, "errors at the clients")


@case(starts_proxy=False)
def restart_keeps_the_step(stage):
    with Rollout(stage, {**QUICK, "steps": ["30%", "60%", "pause", "100%"]}) as rollout:
        rollout.wait_phase("paused")
        wait_for(lambda: "rollout.gate" in rollout.events(), "the pause is on record")  # what is not, is judged anew
        rollout.serin.kill()
        rollout.serin.start()
        state = rollout.state()
        expect((state["phase"], state["step"], state["steps"], state["weight"]["set"]), ("paused", 2, 3, 60), "after a crash")
        wait_for(lambda: "rollout.recover" in rollout.events(), "it says what became of the evidence")
        rollout.serin.stop()
        rollout.serin.start()
        expect(rollout.say("resume")[0], DONE, "resume")
        expect((rollout.state()["phase"], rollout.state()["step"]), ("progressing", 2), "after resume")


if __name__ == "__main__":
    run(__file__, parallel=2)

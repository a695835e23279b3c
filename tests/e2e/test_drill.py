"""A rollback is rehearsed: timed on the real parts, felt by nobody, in the history, and gone when there is a real one."""

import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from pages_api import PagesApi, hang  # noqa: E402
from play import SLOW, answer, bare_environment, case, expect, run, wait_for  # noqa: E402
from receiver import Receiver  # noqa: E402
from release import Release  # noqa: E402

DONE, FAILED, USAGE, REFUSED, DENIED, TIMED_OUT = range(6)
STILL = {"rollback": {"on_breach": "alert"}}
# what says how late it is, or is about drills by its name
OWN = re.compile(r'serin_(last_drill_|drill_|evidence_log_e|weight_ratio\{.*kind="realised"|client_connections|'
                 r'upstream_connections|condition\{condition="late_ticks")|trigger="drill"')


def verb(stage, proxy, *words):
    done = subprocess.run([stage.binary, *words], capture_output=True, text=True, check=False, timeout=60 * SLOW,
                          env={**bare_environment(), "SERIN_ADMIN": f"http://127.0.0.1:{proxy.admin_port}"})
    stage.transcript.note("test", f"serin {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.returncode, done.stdout, done.stderr


def drill(proxy, service, **fields):
    return proxy.admin("POST", f"/api/v1/services/{service}/drill", fields={key.replace("_", "-"): fields[key] for key in fields})


def record(proxy, identity):
    return proxy.admin("GET", f"/api/v1/rollbacks/{identity}").json


def ended(proxy, identity):
    return wait_for(lambda: record(proxy, identity)["status"] == "dry_run" and record(proxy, identity), "the drill ends", 60)


def samples(proxy):
    """Everything that /metrics says, but for drills and the time."""
    return [line for line in proxy.admin("GET", "/metrics").body.decode().split("\n") if line and not OWN.search(line)]


def audit(proxy, action):
    rows = proxy.admin("GET", "/api/v1/audit?limit=200").json
    rows = rows if isinstance(rows, list) else rows["audit"]
    return [row for row in rows if row["action"] == action]


class Silent:
    """A platform that takes every question and answers none, so that a drill which asks it is not over before its
    patience is: a minute, whatever the machine."""

    def __init__(self):
        self.api = PagesApi()
        self.api.fault(hang(), times=10 ** 6)
        self.environment = {"CLOUDFLARE_API_TOKEN": self.api.token}
        self.platform = {"pages": {"project": "demo", "account": self.api.account, "api_base": self.api.base}}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.api.stop()


@case(service=STILL)
def drill_moves_nothing_and_is_counted_nowhere_else(stage):
    for _ in range(40):
        expect(stage.ask().status, 200, "status")
    wait_for(lambda: stage.serin.metrics().sum("serin_requests_total", service=stage.name) == 40, "all are counted")
    before, state = samples(stage.serin), stage.serin.service(stage.name)
    answer = drill(stage.serin, stage.name)
    expect((answer.status, answer.json["status"], answer.json["trigger"]), (202, "in_progress", "drill"), "answer")
    row = ended(stage.serin, answer.json["id"])
    expect(samples(stage.serin), before, "metrics")
    after = stage.serin.service(stage.name)
    for key in ("phase", "revision", "step", "contained", "quarantined"):
        expect(after.get(key), state.get(key), key)
    expect(after["weight"]["set"], state["weight"]["set"], "weight")
    phases = row["phases"]
    order = [phases[key] for key in ("detect_s", "decide_s", "shift_s", "verify_s")]
    expect(order == sorted(order) and 0 <= order[0], True, f"phases {phases}")
    expect((phases["drain_s"], phases["platform_ack_s"]), (None, None), "phases without an end")
    expect(row["duration_s"], max(order), "duration")
    expect((row["evidence"]["platform"], row["evidence"]["in_time"], row["evidence"]["target_s"]), ("not_needed", True, 120),
           "evidence")
    expect(row["bad_responses"], {"origin": 0, "client": 0}, "bad responses")
    metrics = stage.serin.metrics()
    expect(metrics.by("serin_rollbacks_total", "trigger", service=stage.name), {"drill": 1}, "rollbacks")
    expect(metrics.sum("serin_rollback_duration_seconds_count", service=stage.name), 0, "durations of rollbacks")
    expect(abs(metrics.sum("serin_drill_duration_seconds") - row["duration_s"]) < 0.001, True, "duration")


@case(starts_proxy=False)
def users_keep_their_versions_while_one_runs(stage):
    with Release(stage) as release:
        start = {name: release.load.tally.of(name) for name in ("stable", "canary")}
        code, out, _ = verb(stage, release.serin, "drill", "--wait")
        expect((code, "in time" in out, "Dry run" in out), (DONE, True, True), f"answer {out}")
        expect(release.weights, [20], "weights that were seen")
        seen = {name: release.load.tally.of(name) - start[name] for name in start}
        # exact in each of two workers, but for what is on its way at either end
        expect(abs(seen["canary"] - 0.2 * sum(seen.values())) < 20, True, f"the canary's part of {seen}")
        tally = release.load.stop()
        expect((dict(tally.errors), release.canary.counts().get("500", 0)), ({}, 0), "errors")
        code, out, _ = verb(stage, release.serin, "history")
        expect((code, len(out.strip().split("\n"))), (DONE, 2), f"history {out}")
        expect(["bad-2" in out, "Drill: in time" in out, "Dry run" in out], [True] * 3, f"history {out}")


@case(starts_proxy=False)
def drill_by_the_command_line_says_how_it_went(stage):
    with Silent() as silent:
        proxy = stage.start_serin({"services": [stage.service(platform=silent.platform, **STILL)]},
                                  environment=silent.environment)
        code, out, _ = verb(stage, proxy, "drill", "--json")
        expect((code, json.loads(out)["status"]), (DONE, "in_progress"), "answer at once")
        code, _, err = verb(stage, proxy, "drill")
        expect((code, "a drill runs already" in err), (REFUSED, True), f"second {err}")
        proxy.change({"services": [stage.service(**STILL)]})
        expect(proxy.admin("POST", "/api/v1/reload").status, 200, "reload")
        row = ended(proxy, json.loads(out)["id"])
        expect(row["reason"], "dropped: the configuration was loaded again", "the first one's end")
        code, out, _ = verb(stage, proxy, "drill", "--wait", "--json")
        expect((code, json.loads(out)["status"], json.loads(out)["actor"]), (DONE, "dry_run", "local"), "one document")


@case(starts_proxy=False)
def waiting_for_a_drill_has_an_end(stage):
    with Silent() as silent:
        proxy = stage.start_serin({"services": [stage.service(platform=silent.platform, **STILL)]},
                                  environment=silent.environment)
        expect(verb(stage, proxy, "drill", "--wait", "--timeout", "1ms")[0], TIMED_OUT, "too little time")


@case(starts_proxy=False)
def key_makes_one_drill(stage):
    stage.start_serin({"services": [stage.service(**STILL)]})
    first = drill(stage.serin, stage.name, Idempotency_Key="d-1")
    again = drill(stage.serin, stage.name, Idempotency_Key="d-1")
    expect((first.status, again.status, again.json["id"]), (202, 200, first.json["id"]), "while it runs")
    ended(stage.serin, first.json["id"])
    again = drill(stage.serin, stage.name, Idempotency_Key="d-1")
    expect((again.status, again.json["id"], again.json["status"]), (200, first.json["id"], "dry_run"), "when it is over")
    other = stage.serin.admin("POST", f"/api/v1/services/{stage.name}/rollback", {"reason": "x"}, {"Idempotency-Key": "d-1"})
    expect(other.status, 422, "the key of another request")
    stage.serin.stop()
    stage.serin.start()
    again = drill(stage.serin, stage.name, Idempotency_Key="d-1")
    expect((again.status, again.json["id"]), (200, first.json["id"]), "after a restart")
    expect(drill(stage.serin, "nobody").status, 404, "no such service")


@case(starts_proxy=False)
def drill_is_refused_while_a_rollout_runs(stage):
    service = stage.service(rollout={"steps": ["10%", "100%"], "min_time": "1h"})
    del service["weight"]
    proxy = stage.start_serin({"services": [service]})
    wait_for(lambda: proxy.service(stage.name)["step"] == 1, "it climbs")
    answer = drill(proxy, stage.name)
    expect((answer.status, "while a rollout" in answer.json["detail"]), (409, True), f"answer {answer}")
    expect(verb(stage, proxy, "drill")[0], REFUSED, "exit code")
    proxy.admin("POST", f"/api/v1/services/{stage.name}/rollout/abort")
    wait_for(lambda: proxy.service(stage.name)["phase"] == "idle", "it is over", 60)
    expect(drill(proxy, stage.name).status, 202, "then it may")


@case(starts_proxy=False)
def real_breach_wins(stage):
    with Silent() as silent, Release(stage, process={"environment": silent.environment}, platform=silent.platform) as release:
        identity = drill(release.serin, release.name).json["id"]
        release.canary.order(status=500)
        release.wait_weight(0, 60)
        row = ended(release.serin, identity)
        expect(row["reason"].startswith("dropped:"), True, f"reason {row['reason']}")
        expect((row["duration_s"], "in_time" in row["evidence"]), (None, False), f"no times of {row}")
        release.wait_phase("rolled_back", 60)
        wait_for(lambda: [row for row in release.records() if row["status"] == "success"], "the record", 30)
        real = [row for row in release.records() if row["trigger"] != "drill"]
        expect([(row["trigger"], row["status"]) for row in real], [("error_rate", "success")], "the real one")
        wait_for(lambda: audit(release.serin, "drill.drop"), "it is in the trail")
        expect(len(audit(release.serin, "drill.drop")), 1, "dropped once")


@case(starts_proxy=False)
def drill_waits_for_a_stable_version_that_is_dead(stage):
    dead = [True]

    def reply(request):
        return answer(status=503 if dead[0] and request.target == "/alive" else 200)

    stage.origin.reply = reply
    health = {"path": "/alive", "interval": "3s", "timeout": "3s", "healthy": 1, "unhealthy": 1}
    proxy = stage.start_serin({"services": [stage.service(health=health, **STILL)]})
    wait_for(lambda: proxy.metrics().sum("serin_endpoint_up", role="previous") == 0 and
             proxy.metrics().sum("serin_endpoint_up", role="current") == 1, "one lives, one does not", 60)
    identity = drill(proxy, stage.name).json["id"]
    looks = len(stage.origin.requests)
    stage.origin.wait_requests(looks + 2, 60 * SLOW)  # the drill's canary has failed since before the second
    begun = time.monotonic()
    stage.origin.wait_requests(looks + 3, 60 * SLOW)
    expect(stage.ask().status, 200, "users are served by who is left")
    held = time.monotonic() - begun
    dead[0] = False
    row = ended(proxy, identity)
    expect(row["reason"].startswith("in time"), True, f"end {row['reason']}")
    expect(row["phases"]["shift_s"] >= held, True, f"phases {row['phases']}, held for {held:.1f} s")
    expect(proxy.service(stage.name)["weight"]["set"], 0, "weight")


@case(starts_proxy=False)
def schedule_begins_one_by_itself(stage):
    proxy = stage.start_serin({"services": [stage.service(drill={"every": "10s"}, **STILL)]})
    rows = wait_for(lambda: proxy.admin("GET", "/api/v1/rollbacks").json["rollbacks"], "a record", 60)
    expect((rows[-1]["trigger"], rows[-1]["actor"], rows[-1]["status"]), ("drill", "schedule", "dry_run"), "record")


@case(starts_proxy=False)
def missed_target_is_an_alert_and_a_met_one_its_end(stage):
    with Receiver() as hook:
        settings = {"alerts": [{"webhook": {"url": hook.url}}], "services": [stage.service(rto_target="1ms", **STILL)]}
        proxy = stage.start_serin(settings)
        code, out, _ = verb(stage, proxy, "drill", "--wait")
        expect((code, "too slow" in out), (FAILED, True), f"answer {out}")
        wait_for(lambda: hook.told(), "the alert")
        expect(hook.told(), [("SerinDrillMissed", "firing")], "what was told")
        event = next(one for one in hook.events() if one["labels"]["alertname"] == "SerinDrillMissed")
        expect((event["labels"]["severity"], event["labels"]["reason"], event["labels"].get("deployment", "")),
               ("warning", "drill", ""), "labels")
        expect("the target is 0.001 s" in event["annotations"]["summary"], True, f"sentence {event['annotations']}")
        expect(proxy.metrics().sum("serin_drill_in_time"), 0, "metric")
        proxy.kill()
        proxy.start()
        settings["services"][0]["rto_target"] = "10m"
        proxy.change(settings)
        expect(proxy.admin("POST", "/api/v1/reload").status, 200, "reload")
        expect(verb(stage, proxy, "drill", "--wait")[0], DONE, "in time")
        wait_for(lambda: ("SerinDrillMissed", "resolved") in hook.told(), "its end")
        wait_for(lambda: "drill.done" in [one["labels"].get("reason") for one in hook.events()], "the good news")
        expect(proxy.metrics().sum("serin_drill_in_time"), 1, "metric")


@case(starts_proxy=False)
def platform_is_looked_at_and_left_alone(stage):
    api = PagesApi()
    try:
        project = api.project("demo")
        good, bad = project.deploy("a" * 40)["id"], project.deploy("b" * 40)["id"]
        service = stage.service(previous={"deployment": good[:8], "endpoints": [stage.origin.url]},
                                current={"deployment": bad[:8], "endpoints": [stage.canary.url]},
                                platform={"pages": {"project": "demo", "account": api.account, "api_base": api.base}}, **STILL)
        proxy = stage.start_serin({"services": [service]}, environment={"CLOUDFLARE_API_TOKEN": api.token})
        row = ended(proxy, drill(proxy, stage.name).json["id"])
        expect((row["evidence"]["platform"], row["evidence"]["in_time"]), ("acknowledged", True), f"evidence {row['reason']}")
        expect(row["phases"]["platform_ack_s"] >= row["phases"]["shift_s"], True, f"phases {row['phases']}")
        expect((api.told("POST"), project.canonical), ([], bad), "what was changed")
        project.canonical = good
        row = ended(proxy, drill(proxy, stage.name).json["id"])
        expect((row["evidence"]["platform"], row["evidence"]["in_time"]), ("not_needed", True), "the canary is not live there")
        project.canonical = bad
        proxy.stop()
        proxy.environment = {"CLOUDFLARE_API_TOKEN": "wrong"}
        proxy.start()
        row = ended(proxy, drill(proxy, stage.name).json["id"])
        expect((row["evidence"]["platform"], row["evidence"]["in_time"]), ("given_up", False), "evidence with a wrong token")
        expect(row["reason"].startswith("failed: the platform would not go back"), True, f"reason {row['reason']}")
    finally:
        api.stop()


@case(starts_proxy=False)
def killed_process_forgets_its_drill(stage):
    with Silent() as silent:
        proxy = stage.start_serin({"services": [stage.service(platform=silent.platform, **STILL)]},
                                  environment=silent.environment)
        identity = drill(proxy, stage.name).json["id"]
        wait_for(lambda: audit(proxy, "drill.start"), "the beginning is written")
        proxy.kill()
        proxy.start()
        expect(proxy.admin("GET", f"/api/v1/rollbacks/{identity}").status, 404, "no record")
        expect((len(audit(proxy, "drill.start")), proxy.service(stage.name)["phase"]), (1, "idle"), "what is left")
        expect(drill(proxy, stage.name).status, 202, "another one")


if __name__ == "__main__":
    run(__file__, parallel=3)

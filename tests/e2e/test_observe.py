"""Policies that look on: what they find is told, and nothing is done about it."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, case, expect, run, wait_for  # noqa: E402
from release import Release  # noqa: E402

ACTS_LATE = {"error_rate": "60%", "relative": "off"}
POLICIES = [{"name": "lax", "error_rate": "50%"}, {"name": "strict", "error_rate": "2%"}]


def observed(release):
    return {policy["name"]: policy for policy in release.state()["observed"]}


def serin(stage, *words):
    admin = f"http://127.0.0.1:{stage.serin.admin_port}"
    return subprocess.run([stage.binary, *words, "--admin", admin], capture_output=True, text=True,
                          timeout=30 * SLOW)


@case(starts_proxy=False)
def strict_policy_is_told_as_a_breach_and_nothing_acts(stage):
    with Release(stage, rollback=ACTS_LATE, observe=POLICIES) as release:
        expect([policy["breach"] for policy in observed(release).values()], [None, None], "before")
        release.canary.order(status=500, every=5)
        wait_for(lambda: observed(release)["strict"]["breach"], "the strict policy's breach", 60)
        strict, lax = observed(release)["strict"], observed(release)["lax"]
        expect((strict["verdict"], strict["reason"]), ("breach", "absolute"), "strict")
        expect("limit 2 %" in strict["sentence"], True, strict["sentence"])
        expect(0 < strict["breach"]["failed"] < 400, True, f"{strict['breach']}")
        expect(strict["breach"]["client_bad"] <= strict["breach"]["failed"], True, f"{strict['breach']}")
        expect(lax["breach"], None, "lax")
        status = serin(stage, "status").stdout
        expect("observed strict: breach at " in status and "observed lax: " in status, True, status)
        seen = release.load.tally.of("canary")
        wait_for(lambda: release.load.tally.of("canary") > seen + 100 / SLOW, "the canary has traffic", 60)
        state = release.state()
        expect((state["phase"], state["weight"]["set"], release.weights), ("idle", 20, [20]), "what was done")
        expect(release.records(), [], "records")
        expect(observed(release)["strict"]["breach"], strict["breach"], "the breach stays as it was")
        expect(stage.serin.log().count("the observed policy strict would call this a breach"), 1, "log lines")
        expect(stage.serin.log().count("the observed policy lax"), 0, "log lines")


@case(starts_proxy=False)
def observed_breach_is_an_event(stage):
    with Release(stage, rollback=ACTS_LATE, observe=POLICIES) as release:
        with serin_events(stage) as events:
            release.canary.order(status=500, every=3)
            for line in events.stdout:
                if " observed " in line:
                    break
            expect('"policy":"strict"' in line and '"verdict":"breach"' in line, True, line)


def serin_events(stage):
    class Events:
        def __enter__(self):
            self.process = subprocess.Popen(
                [stage.binary, "events", "--admin", f"http://127.0.0.1:{stage.serin.admin_port}"],
                stdout=subprocess.PIPE, text=True)
            return self.process

        def __exit__(self, *_):
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    return Events()


@case(starts_proxy=False)
def policies_change_with_a_reload_and_start_with_a_new_weight(stage):
    with Release(stage, rollback=ACTS_LATE, observe=POLICIES) as release:
        release.canary.order(status=500, every=5)
        wait_for(lambda: observed(release)["strict"]["breach"], "the strict policy's breach", 60)
        service = {**release.service, "observe": [POLICIES[1], {"name": "new", "error_rate": "3%"}]}
        stage.serin.change({"services": [service]})
        expect(stage.serin.admin("POST", "/api/v1/reload").status, 200, "reload")
        expect(sorted(observed(release)), ["new", "strict"], "policies")
        expect(observed(release)["strict"]["breach"] is not None, True, "the same policy keeps its breach")
        release.canary.order(status=200, every=1)
        stage.serin.set_weight(stage.name, 0)
        release.wait_weight(0)
        stage.serin.set_weight(stage.name, 20)
        wait_for(lambda: observed(release)["strict"]["breach"] is None, "a start lets the breach go", 30)


def recording(text):
    """Header, rows and end of a recording that may have come in pages."""
    header, rows, end = None, [], None
    for line in text.splitlines():
        line = json.loads(line)
        if "serin_recording" in line:
            header = header or line
        elif "next" in line:
            end = line
        else:
            rows.append(line)
    return header, rows, end


@case(starts_proxy=False)
def recording_has_every_request_that_was_counted(stage):
    with Release(stage, rollback=ACTS_LATE, observe=POLICIES) as release:
        release.canary.order(status=500, every=5)
        wait_for(lambda: observed(release)["strict"]["breach"], "the strict policy's breach", 60)
        release.load.stop()
        state = release.state()
        canary = [state["current"][key] for key in ("requests", "failures", "client_bad")]

        def totals():
            header, rows, end = recording(serin(stage, "recording").stdout)
            counts = [sum(row["canary"][i] for row in rows) for i in (0, 1, 4)]
            return (header, rows, end) if counts == canary else None

        header, rows, end = wait_for(totals, f"the recording has {canary}", 10)
        expect((header["serin_recording"], header["service"], header["current"]), (1, stage.name, "bad-2"), "header")
        expect([policy["name"] for policy in header["policies"]], ["rollback", "lax", "strict"], "policies")
        expect(end["next"], None, "end")
        expect([row["row"] for row in rows], list(range(1, len(rows) + 1)), "row numbers")
        expect(all(a["ms"] <= b["ms"] for a, b in zip(rows, rows[1:])), True, "times")
        expect({row["weight_ppm"] for row in rows}, {200000}, "weights")
        path, after, pieces = f"/api/v1/services/{stage.name}/recording", 0, []
        while after is not None and after < rows[-1]["row"]:
            page = stage.serin.admin("GET", f"{path}?limit=3&after={after}")
            expect(page.status, 200, "page")
            _, some, end = recording(page.body.decode())
            pieces, after = pieces + some, end["next"]
        expect(pieces[:len(rows)], rows, "page by page")


@case(starts_proxy=False)
def recorder_may_be_off(stage):
    with Release(stage, settings={"recorder": "off"}) as release:
        path = f"/api/v1/services/{stage.name}/recording"
        expect(stage.serin.admin("GET", path).status, 409, "off")
        stage.serin.change({"recorder": {"keep": "1h", "size": "64KiB"}})
        expect(stage.serin.admin("POST", "/api/v1/reload").status, 200, "reload")
        wait_for(lambda: recording(stage.serin.admin("GET", path).body.decode())[1], "rows", 10)
        expect(release.state()["phase"], "idle", "phase")


def replay(stage, *words, text=None):
    admin = ("--admin", f"http://127.0.0.1:{stage.serin.admin_port}")
    return subprocess.run([stage.binary, "replay", *words, *(() if text else admin)], input=text, capture_output=True,
                          text=True, timeout=60 * SLOW)


@case(starts_proxy=False)
def replay_tells_what_happened_and_what_others_would_have_done(stage):
    """The acting policy is the strict one here: what it did is in the recording, and a lax one would not have."""
    with Release(stage, rollback={"error_rate": "5%", "instant_above": "10%"},
                 observe=[{"name": "lax", "error_rate": "60%", "relative": "off", "latency": "off"}]) as release:
        release.canary.order(status=500, every=8)
        release.wait_phase("rolled_back", 60)
        record = release.record()
        wait_for(lambda: '"rolled_back"' in serin(stage, "recording").stdout, "the end is recorded", 10)
        answer = replay(stage, "--json", "--policy", "hasty:error_rate=1%,false_alarm=20%", "--policy", "other:relative=off")
        expect((answer.returncode, answer.stderr), (0, ""), "replay")
        found = json.loads(answer.stdout)
        expect((found["service"], len(found["runs"])), (stage.name, 1), "what it is of")
        (run_,) = found["runs"]
        expect((run_["current"], run_["previous"]), ("bad-2", "good-1"), "versions")
        really = run_["really"]
        expect((really["reason"], really["phase"]), ("absolute", "rolled_back"), "what happened")
        expect(really["weight_0"]["client_bad"] <= record["bad_responses"]["client"], True, f"{really} {record}")
        policies = {policy["name"]: policy for policy in run_["policies"]}
        expect(list(policies), ["rollback", "lax", "hasty", "other"], "policies")
        expect(policies["hasty"]["verdict"], "breach", "hasty")
        expect((policies["lax"]["breach"], policies["lax"]["verdict"] != "breach"), (None, True), "lax")
        table = replay(stage)
        expect(table.returncode, 0, table.stderr)
        expect("really: breach (absolute)" in table.stdout and "\nlax " in table.stdout, True, table.stdout)

        saved = serin(stage, "recording").stdout
        path = os.path.join(stage.folder, "saved.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.write(saved)
        from_file, from_input = replay(stage, "--json", path), replay(stage, "--json", "-", text=saved)
        expect(from_file.stdout, from_input.stdout, "a file and standard input")
        strict = {**release.service, "observe": [{"name": "tight", "error_rate": "1%"}]}
        stage.serin.change({"services": [strict]})
        by_conf = replay(stage, "--json", "-c", stage.serin.config_path, path)
        expect(by_conf.returncode, 0, by_conf.stderr)
        names = [policy["name"] for policy in json.loads(by_conf.stdout)["runs"][0]["policies"]]
        expect(names, ["rollback", "tight"], "the configuration's policies")

        lines = saved.splitlines(keepends=True)
        refused = {
            "cut": ("".join(lines[:3]) + lines[3][:40], "line 4: "),
            "without its end": ("".join(lines[:-1]), f"line {len(lines) - 1}: the recording ends here"),
            "backwards": (lines[0] + lines[2] + lines[1], "line 3: row 1 comes after row 2"),
            "another version": (lines[0].replace('"serin_recording":1', '"serin_recording":9') + lines[-1], "line 1: "),
            "huge": (lines[0] + lines[1].replace('"row":1,', '"row":1e400,'), "line 2: "),
        }
        for what, (text, where) in refused.items():
            answer = replay(stage, "-", text=text)
            expect((answer.returncode, where in answer.stderr, answer.stdout), (1, True, ""), f"{what}: {answer.stderr}")
        expect(replay(stage, "--policy", "x:error_rate=5", path).returncode, 1, "a policy without a unit")
        expect(replay(stage, "--zebra").returncode, 2, "an option that is none")


@case(starts_proxy=False)
def replay_of_the_same_numbers_finds_the_breach_again(stage):
    """Nothing acts, so the traffic goes on and the coarser replay has all it needs."""
    with Release(stage, rollback={"on_breach": "alert"}, observe=[POLICIES[1]]) as release:
        release.canary.order(status=500, every=3)
        wait_for(lambda: release.state()["verdict"] == "breach", "the verdict", 60)
        seen = release.load.tally.of("canary")
        wait_for(lambda: release.load.tally.of("canary") > seen + 300 / SLOW, "the canary has traffic", 60)

        def both():
            (found,) = json.loads(replay(stage, "--json").stdout)["runs"]
            policies = {policy["name"]: policy for policy in found["policies"]}
            return (found, policies) if all(policy["breach"] for policy in policies.values()) else None

        found, policies = wait_for(both, "both breach in the replay", 30)
        expect(policies["strict"]["breach"]["at"] <= policies["rollback"]["breach"]["at"], True, f"{policies}")
        expect(found["really"]["breach"]["failed"] > 0 and found["really"]["shift"] is None, True, f"{found['really']}")


if __name__ == "__main__":
    run(__file__)

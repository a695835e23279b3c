"""The client verbs against a real Serin: what they print, what they change, how they end."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, bare_environment, case, expect, free_port, run, wait_for  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

TEN = {"weight": "10%", "rollback": {"on_breach": "alert", "every": "100ms"}}
DONE, FAILED, USAGE, REFUSED, DENIED, TIMED_OUT = range(6)


def serin(stage, *words, admin=None, **environment):
    """Runs a verb; gives exit code, standard output and standard error."""
    address = admin or f"http://127.0.0.1:{stage.serin.admin_port}"
    environment = {**bare_environment(), "SERIN_ADMIN": address, **environment}
    done = subprocess.run([stage.binary, *words], env=environment, capture_output=True, text=True, check=False,
                          timeout=30 * SLOW)
    stage.transcript.note("test", f"serin {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.returncode, done.stdout, done.stderr


@case(service=TEN)
def status_shows_the_service(stage):
    code, out, _ = serin(stage, "status", "--service", stage.name)
    expect(code, DONE, "exit code")
    expect(out.split("\n")[0].split(), ["SERVICE", "PHASE", "WEIGHT", "REALISED", "VERDICT", "STEP", "CURRENT",
                                        "PREVIOUS"], "headings")
    expect(out.split("\n")[1].split()[:4], [stage.name, "idle", "10", "%"], "row")


@case(service=TEN)
def json_is_what_the_api_says(stage):
    code, out, _ = serin(stage, "status", "--json", "--service", stage.name)
    expect((code, json.loads(out)["name"]), (DONE, stage.name), "answer")


@case(service=TEN)
def weight_is_set_and_shown(stage):
    code, out, _ = serin(stage, "weight", "12.5%", "--service", stage.name)
    expect((code, "12.5 %" in out), (DONE, True), f"answer {out}")
    expect(stage.serin.service(stage.name)["weight"]["set"], 12.5, "weight")
    code, out, _ = serin(stage, "weight")
    expect((code, f"{stage.name}: 12.5 % set" in out), (DONE, True), f"answer {out}")


@case(service=TEN)
def weight_out_of_range_is_a_usage_error(stage):
    for wrong in ("101", "ten", "", "1e2", "0.00001"):
        expect(serin(stage, "weight", wrong, "--service", stage.name)[0], USAGE, f"exit code for {wrong!r}")
    expect(stage.serin.service(stage.name)["weight"]["set"], 10, "weight")


@case(service=TEN)
def rollback_runs_and_is_in_the_history(stage):
    def told():
        return serin(stage, "history", "--service", stage.name)[1]

    code, out, _ = serin(stage, "rollback", "--reason", "it hurts", "--instant", "--service", stage.name)
    expect((code, "In progress" in out), (DONE, True), f"answer {out}")
    wait_for(lambda: stage.serin.service(stage.name)["weight"]["set"] == 0, "the weight is 0")
    out = wait_for(lambda: told() if "Manual: it hurts" in told() else None, "it is written, with its reason")
    expect([word for word in out.split("\n")[0].split("  ") if word],
           ["Timestamp", "Deployment ID", "Reason", "Duration", "Status"], "headings")
    wait_for(lambda: stage.serin.service(stage.name)["phase"] == "rolled_back", "it is rolled back", 30)
    code, _, err = serin(stage, "weight", "5", "--service", stage.name)
    expect((code, "quarantine" in err), (REFUSED, True), f"a quarantined deployment: {err}")
    expect(serin(stage, "release", "canary", "--reason", "mended", "--service", stage.name)[0], DONE, "release")
    expect(serin(stage, "weight", "5", "--service", stage.name)[0], DONE, "weight after the release")


@case(service=TEN)
def dry_run_changes_nothing(stage):
    code, out, _ = serin(stage, "rollback", "--reason", "what if", "--dry-run", "--service", stage.name)
    expect((code, "Dry run" in out), (DONE, True), f"answer {out}")
    expect(stage.serin.service(stage.name)["weight"]["set"], 10, "weight")


@case(service=TEN)
def audit_trail_names_who_and_what(stage):
    serin(stage, "weight", "20", "--service", stage.name)
    wait_for(lambda: "weight.set" in serin(stage, "history", "--audit", "--service", stage.name)[1], "the change is told")


@case(service=TEN)
def explain_says_why(stage):
    code, out, _ = serin(stage, "explain", f"http://{stage.host}/x", "-H", "Serin-Version: current")
    expect((code, "opt_in" in out, "canary" in out), (DONE, True, True), out)
    code, out, _ = serin(stage, "explain", f"http://{stage.host}/x", "-H", "Cookie: serin-version=current", "-H", "Cookie: a=b")
    expect((code, "opt_in" in out, "canary" in out), (DONE, True, True), out)


@case()
def what_cannot_be_is_refused_with_a_reason(stage):
    code, _, err = serin(stage, "pause", "--service", "nobody")
    expect((code, "404" in err), (REFUSED, True), err)
    code, _, err = serin(stage, "release", "never", "--reason", "x", "--service", stage.name)
    expect(code, REFUSED, err)


@case(service=TEN, starts_proxy=False)
def the_only_service_needs_no_name(stage):
    stage.serin = stage.start_serin({"services": [stage.service(**TEN)]})
    expect(serin(stage, "weight", "11")[0], DONE, "weight")
    expect(serin(stage, "reload")[0], DONE, "reload")
    stage.serin.change({"services": [stage.service(**TEN), {**stage.service(**TEN), "name": "two", "hosts": ["two.test"]}]})
    expect(serin(stage, "reload")[0], DONE, "reload")
    code, _, err = serin(stage, "weight", "12")
    expect((code, "two" in err), (USAGE, True), f"the names are told in {err}")
    stage.serin.write_text("services: 5\n")
    code, _, err = serin(stage, "reload")
    expect((code, "services" in err), (REFUSED, True), f"the errors are told in {err}")


@case(starts_proxy=False)
def tokens_come_from_the_environment_or_a_file(stage):
    path = os.path.join(stage.folder, f"{stage.name}.token")
    with open(path, "w", encoding="utf-8") as file:
        file.write("eye-secret\n")
    tokens = [{"name": "eye", "role": "viewer", "file": path}]
    stage.serin = stage.start_serin({"admin": {"tokens": tokens}, "services": [stage.service(**TEN)]})
    expect(serin(stage, "status")[0], DENIED, "without a token")
    expect(serin(stage, "status", SERIN_TOKEN="wrong")[0], DENIED, "with a wrong one")
    expect(serin(stage, "status", SERIN_TOKEN="eye-secret")[0], DONE, "from the environment")
    expect(serin(stage, "status", "--token-file", path)[0], DONE, "from a file")
    expect(serin(stage, "weight", "5", "--token-file", path)[0], DENIED, "a viewer changes nothing")


@case(service=TEN)
def library_for_calls_that_cannot_be_loaded_is_told(stage):
    folder = os.path.join(stage.folder, "libraries")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "libcurl.so.4"), "w", encoding="utf-8"):
        pass
    code, _, err = serin(stage, "status", LD_LIBRARY_PATH=folder)
    expect((code, "libcurl cannot be loaded" in err), (FAILED, True), err)
    code, out, _ = serin(stage, "version", LD_LIBRARY_PATH=folder)
    expect((code, "none that can be loaded" in out), (DONE, True), out)


@case(starts_proxy=False)
def health_check_of_the_container_needs_no_token(stage):
    path = os.path.join(stage.folder, f"{stage.name}.token")
    with open(path, "w", encoding="utf-8") as file:
        file.write("secret\n")
    stage.serin = stage.start_serin({"admin": {"tokens": [{"name": "eye", "file": path}]}})
    with open(os.path.join(ROOT, "Dockerfile"), encoding="utf-8") as file:
        line = next(line for line in file if line.startswith("HEALTHCHECK "))
    command = [word.replace("/usr/bin/serin", stage.binary) for word in json.loads(line.split(" CMD ")[1])]
    here, nowhere = (f"http://127.0.0.1:{port}" for port in (stage.serin.admin_port, free_port()))
    for address, wanted in ((here, 0), (nowhere, 1)):
        done = subprocess.run(command, env={**bare_environment(), "SERIN_ADMIN": address}, check=False,
                              capture_output=True, timeout=30 * SLOW)
        expect(done.returncode, wanted, f"{address}: {done.stderr}")


@case(starts_proxy=False)
def unix_socket_is_an_address_too(stage):
    folder = os.path.join(stage.folder, "cli")
    os.makedirs(folder, exist_ok=True)
    address = f"unix:{os.path.join(folder, 's')}"
    stage.serin = stage.start_serin({"admin": {"address": address}, "services": [stage.service(**TEN)]}, wait=False)
    wait_for(lambda: serin(stage, "status", admin=address)[0] == DONE, "it answers")
    expect(serin(stage, "weight", "7", "--admin", address)[0], DONE, "weight")


@case(service=TEN)
def events_come_as_they_happen(stage):
    watcher = subprocess.Popen([stage.binary, "events", "--admin", f"http://127.0.0.1:{stage.serin.admin_port}", "--json",
                                "--counters"], stdout=subprocess.PIPE, text=True)
    try:
        expect(any("services" in json.loads(line) for line in watcher.stdout), True, "counters come")
        expect(stage.serin.set_weight(stage.name, 21).status, 200, "weight")
        for line in watcher.stdout:
            event = json.loads(line)
            if event.get("service") == stage.name:
                expect("kind" in event, True, f"a change: {event}")
                break
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stdout.close()


@case(service=TEN)
def what_is_no_serin_has_done_nothing(stage):
    """A wrong address, say: an origin that answers everything with 200 has rolled nothing back."""
    traffic = stage.origin.url
    chosen = ("--service", stage.name)
    for words in (("rollback", *chosen, "--reason", "r"), ("rollback", *chosen, "--reason", "r", "--json"),
                  ("weight", "5", *chosen), ("abort", *chosen), ("status",), ("history",), ("reload",),
                  ("incident", "x", "--json")):
        code, out, err = serin(stage, *words, admin=traffic)
        expect((code, out, "not Serin's" in err), (FAILED, "", True), f"{words}: {out!r} {err!r}")
    expect(stage.serin.service(stage.name)["weight"]["set"], 10, "weight")


@case(starts_proxy=False)
def a_named_service_is_the_one_that_is_shown(stage):
    other = {**stage.service(), "name": "other", "hosts": ["other.test"]}
    stage.serin = stage.start_serin({"services": [stage.service(**TEN), other]})
    code, out, _ = serin(stage, "weight", "--service", stage.name)
    expect((code, out.splitlines()[0].split(":")[0], out.count("\n")), (DONE, stage.name, 1), f"answer {out}")
    code, out, _ = serin(stage, "weight")
    expect((code, sorted(line.split(":")[0] for line in out.splitlines())), (DONE, sorted([stage.name, "other"])), "all")
    expect(serin(stage, "weight", "--service", "none")[0], REFUSED, "there is none of this name")
    expect(serin(stage, "incident", "x" * 2000)[0], USAGE, "not the newest one instead")
    code, _, err = serin(stage, "drill")
    expect((code, stage.name in err, "other" in err), (USAGE, True, True), f"names in {err}")


if __name__ == "__main__":
    run(__file__, parallel=4)

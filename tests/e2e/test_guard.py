"""serin guard around a build or deploy command: what it passes on, and that only what the command put live is taken back.

A deploy is a real upload to the stand-in for Cloudflare's API, or a real `serin start`, made by the command itself."""

import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import pages_api  # noqa: E402
from pages_api import PagesApi  # noqa: E402
from play import SLOW, bare_environment, case, expect, run, wait_for  # noqa: E402

DONE, FAILED, USAGE, REFUSED, DENIED = range(5)
NEW = "e" * 40
HOSTILE = "fix | <b>\r\n::error title=x::owned\n`@all`"
DEPLOY = """curl -sSf -o /dev/null -H "Authorization: Bearer $CLOUDFLARE_API_TOKEN" -F branch=main -F commit_hash=%s \
    "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/pages/projects/demo/deployments" """ % NEW
DEPLOY_AND_FAIL = DEPLOY + "&& exit 3"


class Site:
    """An emulator with a project whose last good deployment is live."""

    def __init__(self, stage):
        self.stage = stage
        self.api = PagesApi()
        self.project = self.api.project("demo")
        self.old = self.project.deploy("a" * 40)["id"]
        self.good = self.project.deploy("b" * 40, HOSTILE)["id"]

    def guard(self, script, *words, environment=None, project="demo", patience_s=120):
        """Runs `serin guard ... -- sh -c SCRIPT`; guard itself never tells the token."""
        words = [*(["--project", project] if project else []), *words]
        command = script if isinstance(script, list) else ["sh", "-c", script]
        done = subprocess.run([self.stage.binary, "guard", *words, "--", *command], env=self.environment(environment),
                              capture_output=True, text=True, check=False, timeout=patience_s * SLOW)
        self.stage.transcript.note("test", f"serin guard {words}: {done.returncode}\n{done.stdout}{done.stderr}")
        expect(self.api.token in done.stdout + re.sub("::add-mask::.*", "", done.stderr), False, "the token is told")
        return done.returncode, done.stdout, done.stderr

    def environment(self, more=None):
        return {**bare_environment(), **self.api.environment, **(more or {})}

    def live(self):
        return self.project.canonical

    def rollbacks(self):
        """What the API was asked to go back to."""
        return [one.path.split("/")[-2] for one in self.api.told("POST", "/rollback")]


def play(function):
    """A case with a Site of its own."""
    def perform(stage):
        site = Site(stage)
        try:
            function(site)
        finally:
            site.api.stop()
    perform.__name__ = function.__name__
    return case(starts_proxy=False)(perform)


# --- the command is itself -------------------------------------------------------------------------------------------
@play
def output_and_exit_code_are_the_commands_own(site):
    code, out, err = site.guard("echo out; echo err >&2; exit 0")
    expect((code, out, err), (DONE, "out\n", "err\n"), "a command that is well")
    for wanted in (1, 2, 3, 4, 5, 42, 255):
        code, out, _ = site.guard(f"printf x; exit {wanted}")
        expect((code, out), (wanted, "x"), "a command that fails")
    expect(site.rollbacks(), [], "rollbacks")


@play
def command_killed_by_a_signal_is_128_and_more(site):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGPIPE):
        code, _, err = site.guard(f"kill -{int(number)} $$")
        expect((code, f"signal {int(number)}" in err), (128 + number, True), err)
    expect(site.rollbacks(), [], "rollbacks")


@play
def command_that_cannot_be_started_is_127_or_126(site):
    code, _, err = site.guard(["no-such-program-anywhere", "--with", site.api.token])
    expect((code, "no-such-program-anywhere could not be started" in err), (127, True), err)
    expect(site.guard(["/"])[0], 126, "a folder")
    expect((site.rollbacks(), site.live()), ([], site.good), "rollbacks")


@play
def words_after_the_dashes_belong_to_the_command(site):
    code, out, _ = site.guard(["printf", "%s|", "--help", "-n", "--", "a b", ""])
    expect((code, out), (DONE, "--help|-n|--|a b||"), "its words")
    done = subprocess.run([site.stage.binary, "guard", "--project", "demo"], env=site.environment(), capture_output=True, check=False)
    expect(done.returncode, USAGE, "without a command")
    expect(site.guard("exit 0", "--to", site.old, project=None)[0], USAGE, "--to of nothing")
    expect(site.guard("exit 0", "--expect-current", "")[0], USAGE, "a guard that is empty")


@play
def output_comes_while_the_command_runs_and_signals_reach_it(site):
    command = [site.stage.binary, "guard", "--project", "demo", "--", "sh", "-c",
               "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done"]
    with subprocess.Popen(command, env=site.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            expect(process.stdout.readline(), "ready\n", "its first line, before its end")
            process.send_signal(signal.SIGTERM)
            expect(process.stdout.readline(), "got it\n", "its answer to the signal")
            expect(process.wait(60 * SLOW), 7, "exit code")
        finally:
            process.kill()
    expect(site.rollbacks(), [], "rollbacks")


@play
def token_is_in_no_argument_and_a_file_of_it_not_in_the_environment(site):
    path = os.path.join(site.stage.folder, "token-of-guard")
    with open(path, "w", encoding="utf-8") as file:
        file.write(site.api.token + "\n")
    script = "tr '\\0' ' ' < /proc/$PPID/cmdline; tr '\\0' ' ' < /proc/$$/cmdline; env"
    code, out, _ = site.guard(script, "--token-file", path, environment={"CLOUDFLARE_API_TOKEN": "none"})
    expect((code, site.api.token in out, "CLOUDFLARE_API_TOKEN=none" in out), (DONE, False, True), out)
    code, out, err = site.guard("exit 0", "--token-file", path, "--github")
    expect((code, out, err.splitlines()[0]), (DONE, "", f"::add-mask::{site.api.token}"), "masked first")


# --- what is live at Pages -------------------------------------------------------------------------------------------
@play
def command_that_failed_before_it_was_live_rolls_nothing_back(site):
    code, _, err = site.guard("exit 3")
    expect((code, "nothing is rolled back" in err), (3, True), err)
    site.project.deploy("c" * 40, stage="build", state="failure")
    site.project.deploy("d" * 40, environment="preview")
    expect(site.guard("exit 3")[0], 3, "a failed build and a preview")
    expect((site.rollbacks(), site.live()), ([], site.good), "rollbacks")


@play
def command_that_failed_after_it_went_live_is_taken_back(site):
    site.api.moves_after = 2
    code, _, err = site.guard(DEPLOY_AND_FAIL)
    expect((code, site.rollbacks(), site.live()), (3, [site.good], site.good), err)
    expect("went live meanwhile" in err and "is live again" in err, True, err)


@play
def what_was_live_before_comes_back_even_if_it_was_not_the_newest(site):
    site.project.canonical = site.old
    expect(site.guard(DEPLOY_AND_FAIL)[0], 3, "exit code")
    expect((site.rollbacks(), site.live()), ([site.old], site.old), "live")


@play
def command_that_is_well_keeps_what_it_deployed(site):
    expect(site.guard(DEPLOY)[0], DONE, "exit code")
    expect((site.rollbacks(), site.project.find(site.live())["deployment_trigger"]["metadata"]["commit_hash"]), ([], NEW), "live")


@play
def deploy_killed_after_it_went_live_is_taken_back(site):
    expect(site.guard(DEPLOY + "; kill -9 $$")[0], 137, "exit code")
    expect((site.rollbacks(), site.live()), ([site.good], site.good), "live")


@play
def named_deployment_is_the_only_one_that_is_rolled_back(site):
    bad = site.project.deploy(NEW)["id"]
    expect(site.guard("exit 1", "--expect-current", "b" * 40)[0], 1, "another one is live")
    expect(site.guard(DEPLOY.replace(NEW, "f" * 40) + "&& exit 1", "--expect-current", NEW)[0], 1, "somebody else's went live")
    expect(site.rollbacks(), [], "rollbacks")
    site.project.canonical = bad
    expect(site.guard("exit 1", "--expect-current", NEW)[0], 1, "it is live")
    expect((site.rollbacks(), site.live()), ([site.good], site.good), "rolled back to the last good one")
    expect(site.guard("exit 1", "--expect-current", NEW)[0], 1, "the same job again")
    expect(len(site.rollbacks()), 1, "rollbacks")


@play
def dry_run_changes_nothing_and_to_is_obeyed(site):
    code, _, err = site.guard(DEPLOY_AND_FAIL, "--dry-run")
    expect((code, "dry run" in err, site.good in err, site.rollbacks()), (3, True, True, []), err)
    site.project.canonical = site.good
    expect(site.guard(DEPLOY_AND_FAIL, "--to", site.old[:8])[0], 3, "exit code")
    expect((site.rollbacks(), site.live()), ([site.old], site.old), "live")


@play
def first_deployment_of_all_has_nothing_to_go_back_to(site):
    site.project.deployments.clear()
    site.project.canonical = None
    code, _, err = site.guard(DEPLOY_AND_FAIL)
    expect((code, site.rollbacks(), "no good production deployment" in err), (3, [], True), err)


@play
def platform_that_cannot_be_reached_stops_no_command_and_no_good_deployment(site):
    dead = {"CLOUDFLARE_API_BASE_URL": "http://127.0.0.1:1/client/v4"}
    code, out, err = site.guard("echo built; exit 6", "--timeout", "1s", environment=dead)
    expect((code, out, "cannot be read" in err), (6, "built\n", True), err)
    expect(site.guard("exit 0", "--timeout", "1s", environment=dead)[0], DONE, "a command that is well")
    site.api.fault(pages_api.status(400, code=8000000), method="GET", times=1)
    site.api.fault(pages_api.rate_limited("300"), method="GET", times=1)
    code, _, err = site.guard(DEPLOY_AND_FAIL, "--timeout", "5s")
    expect((code, site.rollbacks()), (REFUSED, []), "a refusal before the start")
    code, _, err = site.guard(DEPLOY_AND_FAIL, "--timeout", "5s")
    expect((code, site.rollbacks(), "could not be read" in err), (3, [], True), err)
    expect(site.guard("exit 3", "--expect-current", NEW)[0], 3, "exit code")
    expect((site.rollbacks(), site.live()), ([site.good], site.good), "what is named is known to be bad")


@play
def what_cannot_be_seen_any_more_is_a_warning(site):
    count = len(site.project.deployments)

    def until_deployed(handler):
        answer = pages_api.status(500) if len(site.project.deployments) > count else lambda one: one.give(*one.route())
        answer(handler)

    site.api.fault(until_deployed, times=10 ** 6, method="GET")
    code, _, err = site.guard(DEPLOY_AND_FAIL, "--timeout", "3s", environment={"GITHUB_ACTIONS": "true"})
    expect((code, site.rollbacks(), "::warning title=serin::" in err, "::notice" in err), (3, [], True, False), err)


@play
def guard_that_could_never_act_does_not_start_the_command(site):
    path = os.path.join(site.stage.folder, "never-made")
    for wanted, words, environment in (
            (DENIED, (), {"CLOUDFLARE_API_TOKEN": ""}), (DENIED, (), {"CLOUDFLARE_API_TOKEN": "wrong"}),
            (USAGE, ("--account", "short"), None), (REFUSED, ("--project", "unknown"), None)):
        code, _, err = site.guard(f"touch {path}", *words, environment=environment)
        expect((code, os.path.exists(path)), (wanted, False), err)


@play
def rollback_that_fails_is_told_and_the_exit_code_stays(site):
    site.api.fault(pages_api.status(403, code=10000), method="POST", path="/rollback")
    code, _, err = site.guard(DEPLOY_AND_FAIL, "--github", environment={"GITHUB_ACTIONS": "true"})
    expect((code, site.live() != site.good, "::error title=serin::" in err), (3, True, True), err)
    site.project.canonical = site.good
    site.api.moves_after = 10 ** 6
    code, _, err = site.guard(DEPLOY_AND_FAIL, "--wait=1s")
    expect((code, "still live" in err), (3, True), err)


# --- a running Serin -------------------------------------------------------------------------------------------------
class Shop:
    """A service with a canary that has weight, or with its stable version alone."""

    def __init__(self, site, current="canary", weight="20%", **service):
        self.site, self.stage = site, site.stage
        configured = self.stage.service(weight=weight, rollback={"every": "100ms"}, **service)
        if current is None:
            del configured["current"], configured["weight"]
            configured["rollout"] = {"steps": ["20%", "100%"], "min_time": "10m", "max_time": "1h", "bake": "1s"}
        self.serin = self.stage.start_serin({"services": [configured]})
        self.admin = f"http://127.0.0.1:{self.serin.admin_port}"

    def guard(self, script, *words, **more):
        environment = {"SERIN_ADMIN": self.admin, "SERIN": self.stage.binary, "CANARY": self.stage.canary.url, **more.pop("environment", {})}
        return self.site.guard(script, *words, environment=environment, project=more.pop("project", None), **more)

    def state(self):
        return self.serin.service(self.stage.name)

    def records(self):
        return [row for row in self.serin.admin("GET", "/api/v1/rollbacks").json["rollbacks"] if row["trigger"] == "build"]

    def wait_records(self, count):
        return wait_for(lambda: len(self.records()) == count and self.records(), f"{count} records of builds", 30)

    def actions(self):
        return [row["action"] for row in self.serin.admin("GET", "/api/v1/audit?limit=200").json["audit"]]


@play
def failed_build_is_recorded_and_the_canary_stays(site):
    shop = Shop(site)
    code, _, err = shop.guard("exit 3", "--reason", "nightly", environment={"GITHUB_SHA": NEW})
    expect((code, "history of the running Serin" in err), (3, True), err)
    record = shop.wait_records(1)[0]
    expect((record["status"], record["deployment"], shop.state()["weight"]["set"]), ("dry_run", NEW, 20), "record and weight")
    expect(record["reason"].startswith("nightly: sh ended with exit code 3"), True, record["reason"])
    wait_for(lambda: "build.failure" in shop.actions(), "it is in the trail", 30)
    expect(shop.state()["phase"], "idle", "phase")
    done = subprocess.run([site.stage.binary, "history", "--admin", shop.admin], capture_output=True, text=True, check=False)
    expect("Build failure" in done.stdout, True, done.stdout)
    expect(shop.guard("exit 3", "--expect-current", "other")[0], 3, "another one")
    expect(shop.guard("exit 3", "--expect-current", "stable")[0], 3, "the stable one")
    shop.wait_records(3)
    expect(shop.state()["weight"]["set"], 20, "weight")


@play
def canary_that_is_named_is_rolled_back(site):
    shop = Shop(site)
    code, _, err = shop.guard("exit 3", "--expect-current", "canary", "--instant")
    expect((code, shop.state()["weight"]["set"], "rollback to stable" in err), (3, 0, True), err)
    wait_for(lambda: shop.state()["phase"] == "rolled_back", "it is over", 60)
    record = shop.wait_records(1)[0]
    expect((record["trigger"], record["deployment"], record["target"]), ("build", "canary", "stable"), "record")
    expect(shop.guard("exit 3", "--expect-current", "canary")[0], 3, "the same job again")
    expect(shop.wait_records(2)[0]["status"], "dry_run", "nothing more was done")


@play
def rollout_that_the_command_started_is_rolled_back(site):
    shop = Shop(site, current=None)
    code, _, err = shop.guard('"$SERIN" start "$CANARY" --deployment v2 && exit 4', "--wait=0")
    expect(code, 4, err)
    wait_for(lambda: shop.state()["phase"] == "rolled_back", "it is rolled back", 60)
    expect((shop.state()["weight"]["set"], shop.wait_records(1)[0]["deployment"]), (0, "v2"), "weight and record")


@play
def dry_run_tells_the_running_serin_nothing(site):
    shop = Shop(site)
    code, _, err = shop.guard("exit 3", "--expect-current", "canary", "--dry-run")
    expect((code, "it would be rolled back" in err, shop.state()["weight"]["set"]), (3, True, 20), err)
    expect("build.failure" in shop.actions(), False, "the trail")


@play
def serin_that_is_not_there_stops_no_command(site):
    nowhere = {"SERIN_ADMIN": "http://127.0.0.1:1"}
    code, out, err = site.guard("echo built; exit 5", project=None, environment=nowhere)
    expect((code, out, "cannot be read" in err), (5, "built\n", True), err)
    shop = Shop(site)
    path = os.path.join(site.stage.folder, "never-made-either")
    expect(shop.guard(f"touch {path}", "--service", "unknown")[0], REFUSED, "a service that is not there")
    expect(os.path.exists(path), False, "it was started")


@play
def failure_at_pages_is_kept_by_the_serin_that_is_named(site):
    shop = Shop(site)
    path = os.path.join(site.stage.folder, "token-of-pages")
    with open(path, "w", encoding="utf-8") as file:
        file.write(site.api.token)
    code, _, err = shop.guard("exit 3", "--token-file", path, "--service", site.stage.name, project="demo")
    expect(code, 3, err)
    expect(shop.wait_records(1)[0]["status"], "dry_run", "record")
    expect((site.rollbacks(), shop.state()["weight"]["set"], site.api.token in shop.serin.log()), ([], 20, False), "nothing changed")


if __name__ == "__main__":
    run(__file__, parallel=2)

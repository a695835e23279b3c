"""serin pages against a stand-in for Cloudflare's API: what a job in CI gets, whatever the API does."""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import pages_api  # noqa: E402
from pages_api import PagesApi  # noqa: E402
from play import SLOW, bare_environment, case, expect, run  # noqa: E402

DONE, FAILED, USAGE, REFUSED, DENIED, TIMED_OUT = range(6)
HOSTILE = "fix | <b>\r\n::error title=x::owned\n##[set-output name=url]owned\x1b[31m`@all`"


class Site:
    """An emulator with a project of a few deployments, the last of them live and bad."""

    def __init__(self, stage):
        self.stage = stage
        self.api = PagesApi()
        self.project = self.api.project("demo")
        self.old = self.project.deploy("a" * 40)["id"]
        self.good = self.project.deploy("b" * 40, "the good one")["id"]
        self.preview = self.project.deploy("c" * 40, environment="preview")["id"]
        self.failed = self.project.deploy("d" * 40, stage="build", state="failure")["id"]
        self.bad = self.project.deploy("e" * 40, HOSTILE)["id"]

    def serin(self, *words, environment=None, patience_s=60):
        """Runs `serin pages ...`; the token is never in what it prints."""
        process = {**bare_environment(), **self.api.environment, **(environment or {})}
        done = subprocess.run([self.stage.binary, "pages", *words, "--project", "demo"], env=process,
                              capture_output=True, text=True, check=False, timeout=patience_s * SLOW)
        self.stage.transcript.note("test", f"serin pages {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        if "--token-file" not in words:
            expect(self.api.token in done.stdout + done.stderr, False, "the token is told")
        return done.returncode, done.stdout, done.stderr

    def posts(self):
        return self.api.told("POST")


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


@play
def list_marks_what_is_live(site):
    site.project.canonical = site.good
    code, out, _ = site.serin("list")
    expect(code, DONE, "exit code")
    rows = [line.split() for line in out.splitlines()[1:]]
    expect([row[1] for row in rows if row[0] == "live"], [site.good], "the live one")
    expect(len(rows), 4, "production deployments")
    expect(re.findall(r"[\x00-\x09\x0b-\x1f\x7f]", out), [], "controls")


@play
def requests_have_only_environment_and_page(site):
    for _ in range(30):
        site.project.deploy("f" * 40, stage="build", state="failure")
    code, out, _ = site.serin("list", "--json", "--limit", "30")
    expect((code, len(json.loads(out)["deployments"])), (DONE, 30), "answer")
    queries = [one.query_text for one in site.api.told("GET", "/deployments")]
    expect(queries, ["env=production&page=1", "env=production&page=2"], "queries")


@play
def rollback_goes_to_the_last_good_one_and_is_seen(site):
    site.api.moves_after = 2
    code, out, _ = site.serin("rollback", "--json")
    answer = json.loads(out)
    expect((code, answer["result"], answer["rolled_back"], answer["verified"]), (DONE, "done", True, True), "answer")
    expect((answer["from"]["id"], answer["to"]["id"], site.project.canonical), (site.bad, site.good, site.good), "ids")
    posts = site.posts()
    expect([one.path.rsplit("/", 2)[1:] for one in posts], [[site.good, "rollback"]], "posts")
    expect((posts[0].body, posts[0].get("Content-Length"), posts[0].has("Content-Type")), (b"", "0", False), "its form")


@play
def dry_run_changes_nothing(site):
    code, out, _ = site.serin("rollback", "--dry-run")
    expect((code, site.good in out, site.posts()), (DONE, True, []), "plan")


@play
def another_live_deployment_than_expected_is_left_alone(site):
    expect(site.serin("rollback", "--expect-current", "d" * 40)[0], REFUSED, "exit code")
    expect(site.serin("rollback", "--expect-current", "d" * 40, "--to", site.old)[0], REFUSED, "exit code")
    expect(site.posts(), [], "posts")
    expect(site.serin("rollback", "--expect-current", "e" * 40)[0], DONE, "the expected one")
    expect(site.serin("rollback", "--expect-current", "e" * 40)[0], REFUSED, "the same job again")
    expect((len(site.posts()), site.project.canonical), (1, site.good), "posts")


@play
def targets_that_were_never_good_are_refused_without_asking(site):
    for target in (site.preview, site.failed, site.preview[:8], "c" * 40, "d" * 40, "0" * 40, "nothing-like-it",
                   "https://else.pages.dev", "00000000-0000-4000-8000-000000000000"):
        expect(site.serin("rollback", "--to", target)[0], REFUSED, f"exit code for {target}")
    expect(site.posts(), [], "posts")


@play
def target_is_named_by_id_url_or_commit(site):
    for target in (site.old, site.old[:8], f"https://{site.old[:8]}.demo.pages.dev", "a" * 40, "a" * 7):
        site.project.canonical = site.bad
        expect(site.serin("rollback", "--to", target)[0], DONE, f"exit code for {target}")
        expect(site.project.canonical, site.old, "live")
    expect(site.serin("rollback", "--to", site.old)[0], DONE, "there already")
    expect(len(site.posts()), 5, "posts")


@play
def project_without_an_older_one_has_no_target(site):
    site.project.canonical = site.old
    expect(site.serin("rollback")[0], REFUSED, "exit code")
    site.project.canonical = None
    expect(site.serin("rollback")[0], REFUSED, "exit code")
    expect(site.posts(), [], "posts")


@play
def race_to_the_same_target_is_a_success(site):
    site.api.fault(pages_api.status(400, code=8000039), method="POST")
    site.api.fault(pages_api.hang(), times=0)
    original = site.project.read

    def moved():
        if site.posts():
            site.project.canonical = site.good
        return original()

    site.project.read = moved
    code, out, _ = site.serin("rollback", "--json")
    expect((code, json.loads(out)["result"]), (DONE, "already"), "answer")


@play
def canonical_that_does_not_move_times_out(site):
    site.api.moves_after = 10 ** 6
    code, _, err = site.serin("rollback", "--wait=1s")
    expect((code, "accepted" in err), (TIMED_OUT, True), err)
    site.project.moving_to = None
    expect(site.serin("rollback", "--wait=0")[0], DONE, "without waiting")


@play
def reads_survive_what_passes(site):
    for fault in (pages_api.rate_limited("1"), pages_api.rate_limited(None), pages_api.status(500), pages_api.html(502),
                  pages_api.body(b'{"success":tru'), pages_api.truncated()):
        site.api.fault(fault, method="GET")
        expect(site.serin("rollback", "--dry-run")[0], DONE, "exit code")


@play
def lost_answer_is_not_followed_by_a_second_rollback(site):
    site.api.fault(pages_api.done_and_lost(), method="POST")
    code, out, _ = site.serin("rollback", "--json")
    expect((code, json.loads(out)["rolled_back"], len(site.posts())), (DONE, True, 1), "answer and posts")


@play
def rollback_that_failed_is_asked_for_again(site):
    for fault in (pages_api.rate_limited("1"), pages_api.status(500), pages_api.html(502), pages_api.truncated()):
        site.project.canonical = site.bad
        site.api.fault(fault, method="POST")
        before = len(site.posts())
        expect(site.serin("rollback")[0], DONE, "exit code")
        expect((len(site.posts()) - before, site.project.canonical), (2, site.good), "posts")


@play
def rate_limit_that_outlasts_us_says_so_at_once(site):
    site.api.fault(pages_api.rate_limited("300"), times=99)
    code, out, _ = site.serin("rollback", "--json")
    answer = json.loads(out)
    expect((code, answer["result"], answer["retry_after_s"]), (TIMED_OUT, "rate_limited", 300.0), "answer")
    expect(len(site.api.told()), 1, "requests")


@play
def redirect_gets_no_token(site):
    trap = PagesApi()
    try:
        site.api.fault(pages_api.redirect(f"{trap.base}/accounts"))
        code, _, err = site.serin("rollback")
        expect((code, "redirect" in err, trap.told()), (FAILED, True, []), err)
    finally:
        trap.stop()


@play
def silence_and_floods_end(site):
    site.api.fault(pages_api.hang(), method="GET")
    expect(site.serin("list", "--timeout", "1s")[0], TIMED_OUT, "silence")
    site.api.fault(pages_api.huge(), method="GET")
    code, _, err = site.serin("list")
    expect((code, "too large" in err), (FAILED, True), err)


@play
def answers_of_another_shape_are_failures(site):
    for text in (b'{"success":true,"result":[]}', b'{"success":true,"result":5}', b'{"success":true}'):
        site.api.fault(pages_api.body(text), method="GET")
        expect(site.serin("rollback")[0], FAILED, f"exit code for {text}")
    expect(site.posts(), [], "posts")


@play
def wrong_tokens_are_told_apart(site):
    expect(site.serin("list", environment={"CLOUDFLARE_API_TOKEN": "wrong"})[0], DENIED, "wrong")
    expect(site.serin("list", environment={"CLOUDFLARE_API_TOKEN": ""})[0], DENIED, "none")
    expect(site.serin("list", "--account", "f" * 32)[0], DENIED, "another account")
    expect(site.serin("list", "--account", "short")[0], USAGE, "no account")


@play
def nobody_there_is_a_failure(site):
    dead = {"CLOUDFLARE_API_BASE_URL": "http://127.0.0.1:1/client/v4"}
    expect(site.serin("list", "--timeout", "2s", environment=dead)[0], FAILED, "exit code")


def job(site):
    folder = os.path.join(site.stage.folder, site.stage.name)
    os.makedirs(folder, exist_ok=True)
    paths = {name: os.path.join(folder, name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in paths.values():
        with open(path, "w", encoding="utf-8") as file:
            file.write("before\n")
    return {"GITHUB_ACTIONS": "true", **paths}


def outputs_of(path):
    """As a runner reads the file."""
    with open(path, encoding="utf-8") as file:
        lines = iter(file.read().split("\n")[1:-1])
    found = {}
    for line in lines:
        name, delimiter = line.split("<<")
        value = []
        for part in lines:
            if part == delimiter:
                break
            value.append(part)
        found[name] = "\n".join(value)
    return found


@play
def job_gets_outputs_summary_and_annotation(site):
    environment = job(site)
    code, out, _ = site.serin("rollback", "--reason", "5xx | <up>", environment=environment)
    expect(code, DONE, "exit code")
    expect(outputs_of(environment["GITHUB_OUTPUT"]),
           {"rolled-back": "true", "result": "done", "from-deployment-id": site.bad, "to-deployment-id": site.good,
            "url": f"https://{site.good[:8]}.demo.pages.dev"}, "outputs")
    with open(environment["GITHUB_STEP_SUMMARY"], encoding="utf-8") as file:
        summary = file.read()
    expect([word for word in (site.bad, site.good, "5xx \\| &lt;up&gt;", "fix \\| &lt;b&gt;") if word not in summary], [],
           f"missing in {summary}")
    expect([line for line in out.splitlines() if line.startswith("::")][0].startswith("::notice title=serin::"), True, out)


@play
def commit_message_commands_nobody(site):
    environment = job(site)
    for words in (("list",), ("rollback",), ("rollback", "--to", site.bad, "--json")):
        _, out, err = site.serin(*words, environment=environment)
        for line in (out + err).splitlines():
            expect(re.match(r"\s*::(?!notice title=serin::)", line), None, f"a command in {line!r}")
        expect("\x1b" in out + err, False, "an escape sequence")
        expect("##[" in out + err, False, "a command in the middle of a line")


@play
def failure_in_a_job_is_an_error_annotation(site):
    environment = job(site)
    code, out, err = site.serin("rollback", "--to", site.preview, environment=environment)
    expect((code, "::error title=serin::" in out), (REFUSED, True), out + err)
    expect(outputs_of(environment["GITHUB_OUTPUT"])["rolled-back"], "false", "output")
    code, out, err = site.serin("rollback", "--json", environment=environment)
    expect((code, json.loads(out)["result"], "::notice" in err), (DONE, "done", True), "commands keep out of the JSON")
    environment["GITHUB_OUTPUT"] = "/nonexistent/output"
    code, out, _ = site.serin("rollback", "--dry-run", environment=environment)
    expect((code, "::warning" in out), (DONE, True), "outputs that cannot be written")


@play
def only_a_token_from_a_file_is_masked(site):
    environment = job(site)
    path = os.path.join(site.stage.folder, f"{site.stage.name}.token")
    with open(path, "w", encoding="utf-8") as file:
        file.write(site.api.token + "\n")
    expect("add-mask" in site.serin("list", environment=environment)[1], False, "the runner knows its secrets")
    environment["CLOUDFLARE_API_TOKEN"] = ""
    code, out, _ = site.serin("list", "--token-file", path, environment=environment)
    expect((code, out.splitlines()[0]), (DONE, f"::add-mask::{site.api.token}"), "first line")
    code, out, err = site.serin("list", "--token-file", path, environment={"GITHUB_ACTIONS": "false"})
    expect((code, site.api.token in out + err), (DONE, False), "outside of a job")


if __name__ == "__main__":
    run(__file__, parallel=2)

"""In a job of GitHub Actions: the verbs in a simulated runner, the composite action, and the documented workflow, none of which
may roll back a good deployment."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from pages_api import PagesApi  # noqa: E402
from play import case, expect, run  # noqa: E402
from runner import Runner, evaluate  # noqa: E402

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
USAGE, REFUSED, DENIED = 2, 3, 4
SHA = "e" * 40
HOSTILE = "fix | <b>\r\n::error title=x::owned\n\x1b[31m`@all`\noutput<<x"
# Stand-ins for what a deploy uses: wrangler's upload, npm's build and smoke test.
NPX = """#!/bin/sh
test -z "$BREAK_EARLY" || exit 1
curl -sSf -o /dev/null -H "Authorization: Bearer $CLOUDFLARE_API_TOKEN" -F branch=main -F "commit_hash=$GITHUB_SHA" \\
    "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/pages/projects/showcase/deployments" || exit 9
test -z "$BREAK_LATE" || exit 1
"""
NPM = """#!/bin/sh
test "$1 $2" = "run smoke" && test -n "$BREAK_SMOKE" && exit 1
exit 0
"""


class Release(BaseHTTPRequestHandler):
    """Archives, by path; every request is kept."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        content = self.server.archives.get(self.path)
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_):
        pass


class World:
    """The emulator with a good deployment live, a runner, and a release server on loopback."""

    def __init__(self, stage):
        self.stage = stage
        self.api = PagesApi(token="cf-secret-of-the-job")
        self.project = self.api.project("showcase")
        self.old = self.project.deploy("a" * 40)["id"]
        self.good = self.project.deploy("b" * 40, HOSTILE)["id"]
        self.releases = ThreadingHTTPServer(("127.0.0.1", 0), Release)
        self.releases.asked, self.releases.archives = [], {}
        threading.Thread(target=self.releases.serve_forever, args=(0.02,), daemon=True).start()
        self.folder = os.path.join(stage.folder, stage.name)
        self.programs = os.path.join(self.folder, "bin")
        os.makedirs(self.programs, exist_ok=True)
        for name, text in (("npx", NPX), ("npm", NPM)):
            with open(os.path.join(self.programs, name), "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(file.name, 0o755)
        self.tools = os.path.join(os.path.dirname(os.path.abspath(stage.binary)), "tests")
        self.action = self.yaml(os.path.join(ROOT, "action.yml"))

    def stop(self):
        self.api.stop()
        self.releases.shutdown()
        self.releases.server_close()

    def yaml(self, path):
        done = subprocess.run([os.path.join(self.tools, "yaml_json"), path], capture_output=True, text=True, check=False)
        expect(done.stderr, "", f"{path} as YAML")
        return json.loads(done.stdout)

    def runner(self, has_serin=True, **environment):
        if has_serin:
            link = os.path.join(self.programs, "serin")
            if not os.path.lexists(link):
                os.symlink(os.path.abspath(self.stage.binary), link)
        found = Runner(os.path.join(self.folder, "runner"), {**self.api.environment, **environment},
                       {"CLOUDFLARE_API_TOKEN": self.api.token}, {"CLOUDFLARE_ACCOUNT_ID": self.api.account}, {"sha": SHA})
        found.paths.append(self.programs)
        return found

    def rollbacks(self):
        return [one.path.split("/")[-2] for one in self.api.told("POST", "/rollback")]

    def live_commit(self):
        return self.project.find(self.project.canonical)["deployment_trigger"]["metadata"]["commit_hash"]

    def archive(self, path="/serin.tar.gz"):
        """Publishes the program itself as a release; its URL and its SHA-256."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
            archive.add(os.path.realpath(self.stage.binary), "serin")
        self.releases.archives[path] = packed.getvalue()
        url = f"http://127.0.0.1:{self.releases.server_address[1]}{path}"
        return url, hashlib.sha256(packed.getvalue()).hexdigest()

    def note(self, step):
        self.stage.transcript.note("step", f"{step.code}\n{step.log}\n{step.outputs}")
        return step


def play(function):
    """A case with a World of its own."""
    def perform(stage):
        world = World(stage)
        try:
            function(world)
        finally:
            world.stop()
    perform.__name__ = function.__name__
    return case(starts_proxy=False)(perform)


# --- the verbs in a step ---------------------------------------------------------------------------------------------
def deploy_then(code):
    return f"serin guard --project showcase -- sh -c 'npx wrangler pages deploy dist; exit {code}'"


@play
def step_that_failed_after_it_went_live_is_rolled_back(world):
    step = world.note(world.runner().script(deploy_then(3)))
    bad = next(one["id"] for one in world.project.deployments if one["deployment_trigger"]["metadata"]["commit_hash"] == SHA)
    expect((step.code, world.rollbacks(), world.project.canonical), (3, [world.good], world.good), "exit code and live")
    expect(step.outputs, {"exit-code": "3", "rolled-back": "true", "result": "done", "cause": "changed", "recorded": "false",
                          "from-deployment-id": bad, "to-deployment-id": world.good, "url": f"https://{world.good[:8]}.showcase.pages.dev"}, "outputs")
    expect([level for level, _ in step.annotations], ["warning"], f"{step.annotations}")
    expect(("### Build or deploy failed and rolled back" in step.summary, world.good in step.summary, SHA in step.summary), (True,) * 3, step.summary)


@play
def step_that_failed_before_it_went_live_rolls_nothing_back(world):
    step = world.note(world.runner(BREAK_EARLY="1").script("serin guard --project showcase -- npx wrangler pages deploy dist"))
    expect((step.code, world.rollbacks(), world.project.canonical), (1, [], world.good), "exit code and live")
    expect((step.outputs["rolled-back"], step.outputs["result"], step.outputs["cause"]), ("false", "left_alone", "unchanged"), "outputs")
    expect([level for level, _ in step.annotations], ["notice"], f"{step.annotations}")
    expect("nothing was rolled back" in step.summary, True, step.summary)
    lines = [line for line in step.summary.splitlines() if "owned" in line or "@all" in line or "<b>" in line]
    expect([line for line in lines if "<b>" in line or "@all" in line or not line.startswith("| live")], [], "what a commit message could do")


@play
def step_that_is_well_has_outputs_and_no_summary(world):
    step = world.note(world.runner().script(deploy_then(0)))
    expect((step.code, world.rollbacks(), world.live_commit()), (0, [], SHA), "exit code and live")
    expect((step.outputs["rolled-back"], step.outputs["result"], step.outputs["exit-code"], step.summary, step.annotations),
           ("false", "passed", "0", "", []), "outputs")


@play
def rollback_step_acts_on_the_deployment_it_expects_alone(world):
    runner = world.runner()
    text = 'serin pages rollback --project showcase --expect-current "$GITHUB_SHA"'
    step = world.note(runner.script(text))
    expect((step.code, step.outputs["rolled-back"], world.rollbacks()), (REFUSED, "false", []), "another one is live")
    expect([level for level, _ in step.annotations], ["error"], f"{step.annotations}")
    bad = world.project.deploy(SHA)["id"]
    step = world.note(runner.script(text))
    expect((step.code, step.outputs["rolled-back"], step.outputs["from-deployment-id"], world.rollbacks()), (0, "true", bad, [world.good]), "it is live")
    expect(world.note(runner.script(text)).code, REFUSED, "the same job again")
    expect(len(world.rollbacks()), 1, "rollbacks")


# --- the action ------------------------------------------------------------------------------------------------------
@play
def action_has_no_expression_in_a_script_and_says_what_its_inputs_are(world):
    action = world.action
    expect(action["runs"]["using"], "composite", "kind")
    with open(os.path.join(ROOT, "docs", "pages.md"), encoding="utf-8") as file:
        page = file.read()
    for name, one in {**action["inputs"], **action["outputs"]}.items():
        expect((len(one["description"]) > 10, f"`{name}`" in page), (True, True), f"{name} is explained, here and in docs/pages.md")
    for name in ("rolled-back", "from-deployment-id", "to-deployment-id", "url"):
        expect(name in action["outputs"], True, name)
    used = ""
    for step in action["runs"]["steps"]:
        expect(("${{" in step["run"], step["shell"]), (False, "bash"), f"the script of {step['name']}")
        wanted = set(re.findall(r"\bSERIN_[A-Z0-9_]+|\bCLOUDFLARE_[A-Z_]+", step["run"]))
        expect(wanted <= set(step["env"]), True, f"variables of {step['name']}")
        used += "".join(step["env"].values())
    expect(sorted(name for name in action["inputs"] if f"inputs.{name} " not in used), [], "inputs that lead nowhere")


@play
def action_installs_what_has_the_right_checksum(world):
    url, digest = world.archive()
    runner = world.runner(has_serin=False)
    step = world.note(runner.action(world.action, {"project-name": "showcase", "archive-url": url, "sha256": digest.upper(), "dry-run": "true",
                                                   "expect-current": "b" * 40}))
    expect((step.code, step.outputs["result"], step.outputs["rolled-back"], step.outputs["to-deployment-id"]), (0, "done", "false", world.old), step.log)
    expect(world.rollbacks(), [], "rollbacks")
    expect(runner.script("serin version").ok, True, "it is in PATH afterwards")
    expect([headers.get("Authorization") for _, headers in world.releases.asked], [None], "the download knows no token")


@play
def action_installs_nothing_else(world):
    url, digest = world.archive()
    wrong = ("0" if digest[0] != "0" else "1") + digest[1:]
    world.releases.archives["/cut.tar.gz"] = world.releases.archives["/serin.tar.gz"][:-7]
    for inputs in ({"archive-url": url, "sha256": wrong}, {"archive-url": url.replace("serin.tar", "cut.tar"), "sha256": digest},
                   {"archive-url": url}, {"archive-url": url, "sha256": "*"}, {"archive-url": url, "sha256": digest[:-1]},
                   {"archive-url": "http://example.com/serin.tar.gz", "sha256": digest}, {"archive-url": "file:///bin/sh", "sha256": digest},
                   {"archive-url": url.replace("127.0.0.1", "127.0.0.1:1@127.0.0.1"), "sha256": digest},
                   {"version": "v1/evil", "sha256": digest}, {"version": "$(id)", "sha256": digest}, {}):
        runner = world.runner(has_serin=False)
        step = world.note(runner.action(world.action, {"project-name": "showcase", **inputs}))
        expect((step.code, [level for level, _ in step.annotations]), (USAGE, ["error"]), f"{inputs}: {step.log}")
        expect((runner.paths, world.api.told()), ([world.programs], []), f"{inputs} leaves something behind")
    step = world.note(world.runner(has_serin=False).action(world.action, {"project-name": "showcase", "archive-url": url + ".gone", "sha256": digest}))
    expect((step.ok, world.api.told()), (False, []), "no such release")


@play
def action_takes_its_release_by_version(world):
    _, digest = world.archive(f"/owner/serin/releases/download/v1.2.3/serin-v1.2.3-linux-{os.uname().machine}.tar.gz")
    runner = world.runner(has_serin=False)
    runner.github.update(server_url=f"http://127.0.0.1:{world.releases.server_address[1]}", action_repository="owner/serin")
    step = world.note(runner.action(world.action, {"project-name": "showcase", "version": "v1.2.3", "sha256": digest}))
    expect((step.code, step.outputs["result"], world.rollbacks()), (REFUSED, "refused", []), "another commit is live")


@play
def action_guards_a_deploy_and_lets_nothing_become_code(world):
    evil = "$(touch pwned)`touch pwned`'; touch pwned; '\"; touch pwned"
    inputs = {"project-name": "showcase", "reason": evil, "run": "npx wrangler pages deploy dist\nfalse\necho unreached"}
    step = world.note(world.runner().action(world.action, inputs))
    expect((step.code, step.outputs["cause"], step.outputs["exit-code"], step.outputs["rolled-back"]), (1, "changed", "1", "true"), step.log)
    expect((world.rollbacks(), "unreached" in step.log), ([world.good], False), "rollbacks")
    for name in ("to", "expect-current", "project-name", "dry-run", "wait-seconds", "version", "archive-url", "sha256"):
        step = world.note(world.runner().action(world.action, {"project-name": "showcase", name: evil}))
        expect(step.ok, False, f"{name}: {step.log}")
    found = [name for _, _, names in os.walk(world.folder) for name in names if name == "pwned"]
    expect((found, len(world.rollbacks())), ([], 1), "what was run")


@play
def action_without_a_token_or_project_says_so(world):
    runner = world.runner(CLOUDFLARE_API_TOKEN="")
    expect(world.note(runner.action(world.action, {"project-name": "showcase", "run": "touch started"})).code, DENIED, "no token")
    expect(world.note(runner.action(world.action, {})).code, USAGE, "no project")
    step = world.note(runner.action(world.action, {"project-name": "showcase", "api-token": world.api.token, "expect-current": "b" * 40}))
    expect((step.code, world.rollbacks()), (0, [world.old]), "a token of its own")


# --- the documented workflow -----------------------------------------------------------------------------------------
def workflow_of(world):
    with open(os.path.join(ROOT, "docs", "pages.md"), encoding="utf-8") as file:
        block = next(one for one in re.findall(r"```yaml\n(.*?)```", file.read(), re.S) if one.startswith("name: deploy"))
    path = os.path.join(world.folder, "workflow.yml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(block)
    return world.yaml(path)


def results_of(world, cancel=None, **environment):
    workflow = workflow_of(world)
    _, digest = world.archive(f"/owner/serin/releases/download/v1.2.3/serin-v1.2.3-linux-{os.uname().machine}.tar.gz")
    runner = world.runner(has_serin=False, **environment)
    runner.environment = {name: value for name, value in runner.environment.items() if name not in ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID")}
    runner.contexts["vars"]["SERIN_SHA256"] = digest
    runner.github.update(server_url=f"http://127.0.0.1:{world.releases.server_address[1]}", action_repository="owner/serin")
    results = runner.workflow(workflow, {"serin": world.action}, cancel)
    for job in results.values():
        for step in job.steps:
            world.note(step)
    return {name: job.result for name, job in results.items()}


@play
def workflow_names_no_command_that_does_not_exist(world):
    text = json.dumps(workflow_of(world))
    expect(("wrangler pages rollback" in text, "failure()" in text), (False, False), text)
    for name, job in workflow_of(world)["jobs"].items():
        expect("timeout-minutes" in job, True, f"{name} ends")
        for step in job["steps"]:
            expect("${{" in step.get("run", ""), False, f"an expression in a script of {name}")


@play
def workflow_of_a_good_release_keeps_it(world):
    expect(results_of(world), {"deploy": "success", "smoke": "success", "rollback": "skipped"}, "jobs")
    expect((world.rollbacks(), world.live_commit()), ([], SHA), "live")


@play
def workflow_whose_smoke_test_fails_goes_back(world):
    expect(results_of(world, BREAK_SMOKE="1"), {"deploy": "success", "smoke": "failure", "rollback": "success"}, "jobs")
    expect((world.rollbacks(), world.project.canonical), ([world.good], world.good), "live")


@play
def workflow_whose_deploy_fails_early_leaves_the_good_one(world):
    expect(results_of(world, BREAK_EARLY="1"), {"deploy": "failure", "smoke": "skipped", "rollback": "skipped"}, "jobs")
    expect((world.rollbacks(), world.project.canonical), ([], world.good), "live")


@play
def workflow_whose_deploy_fails_late_goes_back_once(world):
    expect(results_of(world, BREAK_LATE="1"), {"deploy": "failure", "smoke": "skipped", "rollback": "skipped"}, "jobs")
    expect((world.rollbacks(), world.project.canonical), ([world.good], world.good), "live")


@play
def workflow_that_is_cancelled_rolls_nothing_back(world):
    expect(results_of(world, cancel={"deploy": 2}), {"deploy": "cancelled", "smoke": "skipped", "rollback": "skipped"}, "in the deploy")
    expect(results_of(world, cancel={"smoke": 1}, BREAK_SMOKE="1")["rollback"], "skipped", "in the smoke test")
    expect(world.rollbacks(), [], "rollbacks")


@play
def workflow_leaves_somebody_elses_deployment_alone(world):
    workflow = workflow_of(world)
    for number in (1, 2):
        world.project.deploy(str(number) * 40)
    job = workflow["jobs"]["rollback"]
    runner = world.runner()
    job["steps"][0]["with"].pop("version")
    done = runner.job(job, {"deploy": {"result": "success", "outputs": {}}, "smoke": {"result": "failure", "outputs": {}}}, {"serin": world.action})
    expect((done.result, done.steps[0].code, world.rollbacks(), world.live_commit()), ("failure", REFUSED, [], "2" * 40), done.steps[0].log)


@play
def runner_reads_expressions_as_they_are_meant(_):
    needs = {"needs": {"a": {"result": "failure"}, "b-c": {"result": "success"}}, "x": ""}
    status = {"always": True, "success": False, "failure": True, "cancelled": False}
    for text, wanted in (("needs.a.result == 'failure'", True), ("!(needs.a.result == 'failure')", False), ("x || 'y'", "y"),
                         ("needs.b-c.result != 'success' || always()", True), ("failure() && needs.none.result == ''", True),
                         ("needs.b-c.result == 'success' && cancelled()", False), ("'it''s'", "it's")):
        expect(evaluate(text, needs, status), wanted, text)


if __name__ == "__main__":
    run(__file__, parallel=2)

"""Cloudflare's own clients against our stand-in for its API: wrangler and the library `cloudflare`, as npm has them.

What they accept, our emulator may say; and what serin tells of a project is what they tell. Not played:
`wrangler pages deployment tail`, which wants a websocket, and `pages dev`."""

import base64
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import pages_api  # noqa: E402
from clients import MODULES, NODE, ROOT  # noqa: E402
from pages_api import PagesApi  # noqa: E402
from play import SLOW, case, expect, run  # noqa: E402

WRANGLER = os.path.join(MODULES, "wrangler", "bin", "wrangler.js")
PATIENCE_S = 180
SHA = "e" * 40
FILES = {"index.html": "<h1>hello</h1>", "about.html": "about", "_headers": "/*\n  X-From: test\n"}


class Site:
    def __init__(self, stage):
        self.stage = stage
        self.api = PagesApi()
        self.project = self.api.project("demo")
        self.old = self.project.deploy("a" * 40, "the first")["id"]
        self.good = self.project.deploy("b" * 40, "the good one")["id"]
        self.preview = self.project.deploy("c" * 40, environment="preview", branch="try")["id"]
        self.failed = self.project.deploy("d" * 40, stage="build", state="failure")["id"]
        self.folder = os.path.join(stage.folder, stage.name)
        os.makedirs(os.path.join(self.folder, "dist"), exist_ok=True)
        for name, text in FILES.items():
            with open(os.path.join(self.folder, "dist", name), "w", encoding="utf-8") as file:
                file.write(text)

    def environment(self):
        return {"PATH": os.environ["PATH"], "HOME": self.folder, "CI": "1", "NO_COLOR": "1", "WRANGLER_SEND_METRICS": "false",
                "WRANGLER_SEND_ERROR_REPORTS": "false", "WRANGLER_LOG_PATH": os.path.join(self.folder, "logs"), "NODE_PATH": MODULES,
                "WRANGLER_OUTPUT_FILE_PATH": os.path.join(self.folder, "out.ndjson"), "NODE": NODE, "WRANGLER": WRANGLER, **self.api.environment}

    def run(self, *words, text=None):
        done = subprocess.run(words, env=self.environment(), input=text or "", capture_output=True, text=True, check=False, cwd=self.folder,
                              timeout=PATIENCE_S * SLOW)
        self.stage.transcript.note("test", f"{words[1:]}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.returncode, done.stdout, done.stderr

    def wrangler(self, *words):
        return self.run(NODE, WRANGLER, *words)

    def library(self, *calls):
        """[(call, args...)]; a call that ends in * is read to its last page."""
        wish = [{"call": call.rstrip("*"), "args": args, "is_list": call.endswith("*")} for call, *args in calls]
        code, out, err = self.run(NODE, os.path.join(ROOT, "tests", "support", "cloudflare_client.cjs"), text=json.dumps(wish))
        expect((code, err), (0, ""), "the library")
        return json.loads(out)

    def serin(self, *words):
        return self.run(self.stage.binary, *words)

    def written(self, kind):
        """What wrangler wrote down for those who come after it."""
        with open(os.path.join(self.folder, "out.ndjson"), encoding="utf-8") as file:
            return [row for row in map(json.loads, file) if row["type"] == kind]


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
def wrangler_lists_what_serin_lists(site):
    code, out, err = site.wrangler("pages", "deployment", "list", "--project-name", "demo", "--json", "--environment", "production")
    expect(code, 0, err)
    seen = [(row["Id"], row["Environment"], row["Source"], row["Deployment"]) for row in json.loads(out)]
    _, ours, _ = site.serin("pages", "list", "--project", "demo", "--json")
    expect(seen, [(one["id"], "Production", one["commit"][:7], one["url"]) for one in json.loads(ours)["deployments"]], "deployments")
    expect([row["Status"] for row in json.loads(out)][0], "Failure", "the failed one")
    code, out, _ = site.wrangler("pages", "project", "list", "--json")
    expect((code, [row["Project Name"] for row in json.loads(out)]), (0, ["demo"]), "projects")


@play
def wrangler_understands_our_errors(site):
    code, out, err = site.wrangler("pages", "deployment", "list", "--project-name", "unknown", "--json")
    expect((code, "8000007" in out + err), (1, True), out + err)
    site.api.fault(pages_api.rate_limited("2"), times=9)
    code, out, err = site.wrangler("pages", "deployment", "list", "--project-name", "demo", "--json")
    expect((code, "971" in out + err), (1, True), out + err)


@play
def wrangler_has_no_rollback(site):
    code, out, err = site.wrangler("pages", "rollback", "--project-name", "demo")
    expect((code, "Unknown arguments" in out + err, site.api.told()), (1, True, []), "a command that many scripts call")


@play
def wrangler_deploys_and_serin_rolls_it_back(site):
    code, out, err = site.wrangler("pages", "deploy", "dist", "--project-name", "demo", "--branch", "main", "--commit-hash", SHA, "--commit-message", "hi")
    expect(code, 0, out + err)
    bad = site.project.canonical
    expect(site.project.find(bad)["deployment_trigger"]["metadata"]["commit_hash"], SHA, "what is live")
    expect([row["deployment_id"] for row in site.written("pages-deploy-detailed")], [bad], "what it wrote down")
    expect({path: site.api.assets[key].decode() for path, key in site.project.manifest.items()},
           {"/index.html": FILES["index.html"], "/about.html": FILES["about.html"]}, "what it uploaded")
    code, out, err = site.serin("pages", "rollback", "--project", "demo", "--expect-current", SHA, "--json")
    expect((code, json.loads(out)["from"]["id"], json.loads(out)["to"]["id"]), (0, bad, site.good), out + err)
    seen = site.library(("pages.projects.get", "demo", {"account_id": site.api.account}))[0]["result"]
    expect((seen["canonical_deployment"]["id"], seen["latest_deployment"]["id"]), (site.good, bad), "as the library sees it")


@play
def guard_around_wrangler_takes_back_what_it_deployed(site):
    script = '"$NODE" "$WRANGLER" pages deploy dist --project-name demo --branch main --commit-hash %s --commit-message hi && exit 7' % SHA
    code, out, err = site.serin("guard", "--project", "demo", "--", "sh", "-c", script)
    expect((code, site.project.canonical, "went live meanwhile" in err), (7, site.good, True), out + err)
    expect(len(site.api.told("POST", "/rollback")), 1, "rollbacks")
    code, out, err = site.serin("guard", "--project", "demo", "--", "sh", "-c", script.replace("--branch main", "--branch try"))
    expect((code, site.project.canonical, "nothing is rolled back" in err), (7, site.good, True), "a preview")
    expect(len(site.api.told("POST", "/rollback")), 1, "rollbacks")


@play
def wrangler_deletes_what_is_not_live(site):
    code, out, err = site.wrangler("pages", "deployment", "delete", site.old, "--project-name", "demo", "--force")
    expect((code, [one["id"] for one in site.project.deployments]), (0, [site.good, site.preview, site.failed]), out + err)
    expect(site.wrangler("pages", "deployment", "delete", site.good, "--project-name", "demo", "--force")[0], 1, "the live one")


@play
def library_lists_all_pages_and_rolls_back_as_serin_does(site):
    for number in range(30):
        site.project.deploy(f"{number:040x}", stage="build", state="failure")
    account = {"account_id": site.api.account}
    project = {**account, "project_name": "demo"}
    listed, one, log, back, again, after, preview, unknown, nothing = site.library(
        ("pages.projects.deployments.list*", "demo", {**account, "env": "production"}),
        ("pages.projects.deployments.get", site.old, project),
        ("pages.projects.deployments.history.logs.get", site.old, project),
        ("pages.projects.deployments.rollback", site.old, project),
        ("pages.projects.deployments.rollback", site.old, project),
        ("pages.projects.get", "demo", account),
        ("pages.projects.deployments.rollback", site.preview, project),
        ("pages.projects.get", "unknown", account),
        ("pages.projects.deployments.get", "00000000-0000-4000-8000-000000000000", project))
    ours = json.loads(site.serin("pages", "list", "--project", "demo", "--json", "--limit", "100")[1])
    expect([each["id"] for each in listed["result"]], [each["id"] for each in ours["deployments"]], "deployments")
    expect((one["result"]["id"], log["result"]["total"]), (site.old, 0), "one of them, and its log")
    expect((back["result"]["id"], after["result"]["canonical_deployment"]["id"], ours["live"]), (site.old,) * 3, "the rollback")
    expect(again["error"], {"status": 400, "codes": [8000039]}, "once more")
    expect((preview["error"]["status"], unknown["error"], nothing["error"]),
           (400, {"status": 404, "codes": [8000007]}, {"status": 404, "codes": [8000009]}), "errors")


@play
def library_sends_a_rollback_as_serin_does(site):
    project = {"account_id": site.api.account, "project_name": "demo"}
    site.library(("pages.projects.deployments.rollback", site.old, project))
    site.project.canonical, site.project.moving_to = site.good, None
    expect(site.serin("pages", "rollback", "--project", "demo", "--to", site.old)[0], 0, "serin's")
    theirs, ours = site.api.told("POST", "/rollback")
    expect((ours.path, ours.body, ours.get("Content-Length"), ours.get("Content-Type")),
           (theirs.path, theirs.body, theirs.get("Content-Length"), theirs.get("Content-Type")), "the request")


@play
def library_waits_and_tries_again_as_it_is_told(site):
    account = {"account_id": site.api.account}
    site.api.fault(pages_api.rate_limited("1"), times=1)
    site.api.fault(pages_api.html(502), times=1)
    answer = site.library(("pages.projects.get", "demo", account))[0]
    expect((answer["result"]["name"], len(site.api.told("GET", "/demo"))), ("demo", 3), "after a rate limit and a bad gateway")
    environment = site.environment()
    site.environment = lambda: {**environment, "CLOUDFLARE_API_TOKEN": "wrong"}
    answer = site.library(("pages.projects.get", "demo", account))[0]
    expect(answer["error"], {"status": 403, "codes": [10000]}, "a wrong token")


@case(starts_proxy=False)
def upload_token_is_one_that_clients_can_read(_):
    claims = pages_api.UPLOAD_TOKEN.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    expect(claims["max_file_count_allowed"] > 1000, True, "files")


if __name__ == "__main__":
    run(__file__, parallel=2)

"""docs/getting-started: each page is typed into a shell as it stands there, and held to what it says behind the commands
and below them. Only ports are others; what cannot be here (Docker, Cloudflare) has a stand-in, as its case says."""

import json
import os
import re
import shutil
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from browser import Browser  # noqa: E402
from certificates import Authority  # noqa: E402
from pages_api import PagesApi  # noqa: E402
from pages_site import PagesSite  # noqa: E402
from play import SLOW, case, expect, free_port, run, wait_for  # noqa: E402
from serin import leads  # noqa: E402
from walkthrough import ROOT, Page, Shell, missing_lines, steps_of  # noqa: E402

CARD = "article.service"


def write(path, text, mode=0o755):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def calm(text):
    """Configurations for a machine that does other things: latency is not judged, connections and checks have time."""
    text = text.replace("    rollback:\n", "    rollback:\n      latency: off\n", 1)
    text = text.replace("    rollout: {", "    rollback: {latency: off}\n    rollout: {", 1)
    text = text.replace("state: serin.db\n", "state: serin.db\ntimeouts: {connect: 60s}\n", 1)
    return re.sub(r"\b(interval|timeout): (\d+)s", lambda found: f"{found.group(1)}: {int(int(found.group(2)) * SLOW)}s", text)


class Walk:
    """A page, gone through. `claims` are what stands behind commands, each with a check of (walk, code, out) or None for
    what only explains; `instead` are commands that something else is done for: a pattern and a function of the walk."""

    def __init__(self, stage, path, ports, claims, instead=(), environment=None, wrapper=()):
        self.stage, self.page, self.claims, self.instead = stage, Page(path), claims, instead
        self.folder = os.path.join(stage.folder, stage.name)
        self.ports = {port: free_port() for port in ports}
        self.admin_port = self.ports["9901"]
        os.makedirs(os.path.join(self.folder, "build", "release"))
        os.symlink(os.path.realpath(stage.binary), os.path.join(self.folder, "build", "release", "serin"))
        os.chmod(stage.folder, 0o755)  # nginx' workers may be somebody else
        settings = {"SERIN_ADMIN": f"http://127.0.0.1:{self.admin_port}", **(environment or {})}
        self.shell = Shell(self.folder, self.ports, settings, wrapper)
        self.browser = self.looked = None
        self.out = ""

    def copy(self, *paths):
        """What a clone has: texts with this play's ports in them."""
        for path in paths:
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                write(os.path.join(self.folder, path), calm(self.shell.with_ports(file.read())), 0o644)

    def play(self):
        said, shown = set(), ""
        for language, text in self.page.parts():
            if language == "sh":
                shown = ""
                for step in steps_of(text):
                    said.add(step.comment)
                    self.take(step)
                    shown += self.out + "\n"
            elif language == "":
                expect(missing_lines(text, shown), [], f"lines of the page's sample, in\n{shown}")
        expect(sorted(set(self.claims) - said), [], "claims that the page does not make any more")

    def take(self, step):
        expect(step.comment in ("", *self.claims), True, f"somebody checks '{step.comment}'")
        for pattern, deed in self.instead:
            if re.search(pattern, step.command):
                code, self.out = deed(self, step.command)
                break
        else:
            code, self.out = self.shell.do(calm(step.command))
        self.stage.transcript.note("test", f"{step.command}\n{self.out[-3000:]}({code})")
        wanted = re.search(r"exit code (\d)", step.comment)
        expect(code, int(wanted.group(1)) if wanted else 0, f"exit code of: {step.command}")
        check = self.claims.get(step.comment)
        if check:
            expect(bool(check(self)), True, f"'{step.comment}' behind: {step.command}\n{self.out}")

    # --- what checks ask ---
    def api(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=10 * SLOW) as answer:
            return json.load(answer)

    def service(self):
        return self.api(f"/api/v1/services/{self.api('/api/v1/status')['services'][0]['name']}")

    def record(self):
        """The newest rollback that has ended."""
        def ended():
            return next((row for row in self.api("/api/v1/rollbacks")["rollbacks"] if row["status"] != "in_progress"), None)
        return wait_for(ended, "the rollback's record", 60)

    def open_dashboard(self):
        """The page says to open it here; what it shows later is asked by `shown`."""
        self.browser = Browser()
        self.looked = self.browser.open()
        self.looked.goto(f"http://127.0.0.1:{self.admin_port}/")
        self.looked.wait("#link[data-state=live]")

    def shown(self, phase):
        wait_for(lambda: self.looked.count(f'{CARD}[data-phase="{phase}"]'), f"the dashboard shows {phase}", 60)
        return True

    def finish(self):
        if self.browser:
            self.browser.stop()
        self.stage.transcript.note("test", self.shell.seen()[-5000:])
        self.shell.close()


def is_rolled_back(walk):
    """In the terminal and in the browser that was left open."""
    return walk.service()["phase"] == "rolled_back" and walk.shown("rolled_back")


def split_of(walk):
    """Twenty requests at 10 %: two, and one more or less for each worker."""
    counts = {tag: int(count) for count, tag in re.findall(r"(\d+) (v\d)", walk.out)}
    return sum(counts.values()) == 20 and abs(counts.get("v2", 0) - 2) <= (os.cpu_count() or 1)


def look_then_go_on(walk, command):
    """The first look is where the page says to open the dashboard."""
    if walk.browser is None:
        walk.open_dashboard()
    return walk.shell.do(command)


NGINX_CLAIMS = {
    "what is missing is installed, then build/release/serin is built": lambda walk: "setup try\nbuild release" in walk.out,
    "v1 on 3001, v2 on 3002, v3 on 3003": None,
    "exit code 0; with errors it would list all of them": None,
    "some 18 v1, 2 v2": split_of,
    "v2 at 10 %": lambda walk: re.search(r"site .* 10 % .* v2 +v1", walk.out),
    "the same for programs": lambda walk: json.loads(walk.out)["services"][0]["weight"]["set"] == 10,
    "and for Prometheus": lambda walk: 'role="current",kind="set"} 0.1' in walk.out,
    "412: it is at 3 by now": lambda walk: json.loads(walk.out)["status"] == 412 and walk.service()["weight"]["set"] == 30,
    "nobody has to do anything": is_rolled_back,
    "when, what, why, how long, and how it went":
        lambda walk: walk.record() and re.search(r"\d\d:\d\d:\d\d +v2 +Error rate +[\d.]+ s +Success", walk.shell.do("serin history")[1]),
    "the report": lambda walk: walk.out.lstrip().startswith("# Rollback of v2 (site)"),
    "refused: exit code 3": None,
    "the first step has begun": lambda walk: walk.service()["weight"]["set"] == 50,
    "100 % now, and a last watch over it": lambda walk: (walk.service()["phase"], walk.service()["weight"]["set"]) == ("baking", 100),
    "which ends here": lambda walk: walk.service()["phase"] == "succeeded" and walk.shown("succeeded"),
    "succeeded: v2 has all traffic":
        lambda walk: "succeeded" in walk.out and (walk.service()["current"]["deployment"], walk.service()["weight"]["set"]) == ("v2", 100),
    "clients and Serin: what is in flight is finished": None,
}


@case(starts_proxy=False)
def page_about_nginx_is_true(stage):
    if shutil.which("nginx") is None or shutil.which("curl") is None:
        raise AssertionError("nginx and curl are needed: .ci/setup test")
    walk = Walk(stage, "docs/getting-started/nginx.md", ("8080", "9901", "3001", "3002", "3003"), NGINX_CLAIMS,
                instead=[(r"^serin weight 25%", look_then_go_on)])
    walk.copy("Makefile", "conf/serin.yaml", "conf/examples/two-origins.nginx.conf")
    for name in ("setup", "build"):
        write(os.path.join(walk.folder, ".ci", name), f"#!/bin/sh\necho {name} $1\n")
    try:
        walk.play()
        expect(walk.looked.complaints(), [], "what the console said")
    finally:
        walk.finish()


# One nginx process for each service, on the port that compose.yaml publishes for it.
DOCKER = r"""#!/bin/bash
set -e
[ "$1" = compose ]
run() {
    port=$(sed -n "/^  $1:/,/ports:/s/.*\"127.0.0.1:\([0-9]*\):80\".*/\1/p" compose.yaml)
    mkdir -p "run/$1"
    echo "master_process off; pid $1.pid; error_log stderr; events {}
        http { access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
        server { listen 127.0.0.1:$port; location / { return 200 \"${1#web-}\n\"; } } }" >"run/$1/conf"
    nginx -p "run/$1" -e stderr -c conf
}
case "$2 $3" in
"up -d") run "$4" ;;
kill*) kill -9 "$(cat run/$3/$3.pid)" && rm "run/$3/$3.pid" ;;
stop*) kill "$(cat run/$3/$3.pid)" ;;
down*) for file in run/*/*.pid; do [ ! -e "$file" ] || kill "$(cat "$file")"; done ;;
*) echo "no $*" >&2; exit 1 ;;
esac
"""


def pattern(text):
    return lambda walk: re.search(text, walk.out)


def died_and_went_back(walk):
    """To 0 at once: the record has no step between."""
    return is_rolled_back(walk) and walk.record()["mode"] == "instant"


CONTAINER_CLAIMS = {
    "what is missing is installed, then build/release/serin is built": None,
    "the release that serves; the next one is not there yet": None,
    "v1": pattern(r"^v1$"),
    "healthy: it gets its share": lambda walk: walk.service()["weight"]["set"] == 25 and walk.open_dashboard() is None,
    "some 15 v1, 5 v2": lambda walk: abs(int(re.search(r"(\d+) v2", walk.out).group(1)) - 5) <= (os.cpu_count() or 1),
    "clients, to the end": None,
    "by itself, and at once": died_and_went_back,
    "refused: exit code 3": None,
    "healthy once more": lambda walk: walk.service()["weight"]["set"] == 25 and walk.shown("progressing"),
    "past the gate, to 100 %": lambda walk: walk.service()["weight"]["set"] == 100,
    "its last watch ends: it is the release now": lambda walk: walk.service()["phase"] == "succeeded",
    "nobody asks it any more": None,
    "v2": pattern(r"^v2$"),
}


@case(starts_proxy=False)
def page_about_containers_is_true(stage):
    """`docker` is a script that starts real nginx; what compose.yaml means to Docker is not looked at."""
    walk = Walk(stage, "docs/getting-started/containers.md", ("8080", "9901", "3001", "3002"), CONTAINER_CLAIMS)
    walk.copy("Makefile")
    for name in ("setup", "build"):
        write(os.path.join(walk.folder, ".ci", name), f"#!/bin/sh\necho {name} $1\n")
    write(os.path.join(walk.folder, "build", "release", "docker"), DOCKER)
    try:
        walk.play()
        expect(walk.looked.complaints(), [], "what the console said")
    finally:
        walk.finish()


# The deployments of the page, in the order in which they go live.
IDENTITIES = ("9c2e1a4b-0000-4000-8000-000000000001", "d7a3f2b1-0000-4000-8000-000000000002", "a17c40d9-0000-4000-8000-000000000003")


class Cloudflare:
    """A project with one deployment that is live, two hosts on the Pages runtime, and one more name for the second."""

    def __init__(self, folder):
        authority = Authority(os.path.join(folder, "certificates"))
        pair = authority.make("pages", "DNS:*.showcase.pages.dev")
        self.api, self.sites = PagesApi(), []
        self.project = self.api.project("showcase")
        try:
            hosts = [f"{identity[:8]}.showcase.pages.dev" for identity in IDENTITIES]
            self.sites = [PagesSite(folder, name, host, pair) for name, host in zip(("v1", "v2"), hosts)]
            for site in self.sites:
                site.wait_ready()
        except BaseException:
            self.stop()
            raise
        self.wrapper = leads(folder, dict(zip(hosts, [self.sites[0].address] + 2 * [self.sites[1].address])))
        self.environment = {"CLOUDFLARE_API_BASE_URL": self.api.base, "SSL_CERT_FILE": authority.path("ca.pem")}
        self.deploy()

    def deploy(self, *walk):
        if walk:  # a look at what is live before that is whole when the next but one asks
            seen = self.looks() + 2
            wait_for(lambda: self.looks() >= seen, "the watch has looked", 60)
        identity = IDENTITIES[len(self.project.deployments)]
        self.project.deploy(identity[:4] * 10, f"makes {identity[:4]}", identity=identity)
        return 0, ""

    def looks(self):
        return len([told for told in self.api.told("GET") if told.path.endswith("/deployments")])

    def is_back(self, walk):
        wait_for(lambda: self.project.canonical == IDENTITIES[0], "Pages was told", 60)
        return re.search(rf"live +{IDENTITIES[0][:8]}", walk.shell.do("serin pages list --project showcase")[1])

    def stop(self):
        for site in self.sites:
            site.stop()
        self.api.stop()


def pages_claims(cloudflare):
    def canary_is(number):
        return lambda walk: (walk.service()["current"]["deployment"], walk.service()["weight"]["set"]) == (IDENTITIES[number][:8], 10)

    return {
        "what is missing is installed, then build/release/serin is built": None,
        "the first 8 letters of an id will do from here on": pattern(IDENTITIES[0][:8]),
        "your site, through Serin": lambda walk: walk.open_dashboard() is None,
        "seen within seconds, healthy, and at 10 %": lambda walk: canary_is(1)(walk) and walk.shown("progressing"),
        "Pages was rolled back too: visitors who come around Serin get the good one": cloudflare.is_back,
        "tried against the good one": canary_is(2),
        "without waiting for proof: 100 %, and a last watch over it": lambda walk: walk.service()["phase"] == "baking",
        "which ends here": lambda walk: walk.shown("succeeded"),
        "succeeded": pattern("succeeded +100 %"),
    }


@case(starts_proxy=False)
def page_about_cloudflare_pages_is_true(stage):
    """Cloudflare's API is tests/support/pages_api.py; a deployment is made in it instead of by wrangler."""
    cloudflare = Cloudflare(os.path.join(stage.folder, "cloudflare"))
    walk = Walk(stage, "docs/getting-started/pages.md", ("8080", "9901"), pages_claims(cloudflare),
                [(r"^npx wrangler pages deploy", cloudflare.deploy)], cloudflare.environment, cloudflare.wrapper)
    walk.copy("Makefile")
    for name in ("setup", "build"):
        write(os.path.join(walk.folder, ".ci", name), f"#!/bin/sh\necho {name} $1\n")
    try:
        walk.play()
        expect(walk.looked.complaints(), [], "what the console said")
    finally:
        walk.finish()
        cloudflare.stop()


if __name__ == "__main__":
    run(__file__)

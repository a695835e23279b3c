"""README.md's quick start, played as it stands there: `make demo LOOK=300`, the page it names in a real browser, and
every sentence of it. A sentence that nobody checks fails the play.

With SERIN_SCREENSHOTS=FOLDER the page after the rollback is photographed into it, for docs/images/demo.png."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from browser import Browser  # noqa: E402
from play import SLOW, case, expect, run, wait_for  # noqa: E402
from walkthrough import ROOT, Page, Shell, missing_lines, steps_of  # noqa: E402

CARD = "article.service"
PATIENCE_S = 90
PHASES = ("shifting back", "verifying", "rolled back")


def write(path, text, mode=0o755):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def lay_out(folder, binary):
    """A clone that is built already: the Makefile, and a .ci that notes what it was asked for."""
    with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as file:
        write(os.path.join(folder, "Makefile"), file.read(), 0o644)
    for name in ("setup", "build"):
        write(os.path.join(folder, ".ci", name), f"#!/bin/sh\necho {name} $1 >>prepared\n")
    os.makedirs(os.path.join(folder, "build", "release"))
    os.symlink(os.path.realpath(binary), os.path.join(folder, "build", "release", "serin"))


class Visit:
    """The quick start, gone through once: what was seen on the way, for the checks."""

    def __init__(self, stage):
        self.page_text = Page("README.md", "Quick start")
        self.folder = os.path.join(stage.folder, "clone")
        self.temporary = os.path.join(stage.folder, "temporary")
        os.makedirs(self.temporary)
        lay_out(self.folder, stage.binary)
        self.shell = Shell(self.folder, environment={"TMPDIR": self.temporary, "SERIN_ADMIN": ""})
        self.browser = Browser()
        self.phases, self.stage = [], stage

    def finish(self):
        self.stage.transcript.note("test", self.shell.seen()[-20000:])
        self.browser.stop()
        self.shell.close()

    def out(self, pattern):
        return re.search(pattern, self.shell.seen())

    def wait_out(self, pattern):
        return wait_for(lambda: self.out(pattern), f"the terminal says {pattern}", PATIENCE_S)

    def api(self, path, body=None, method=None):
        request = urllib.request.Request(self.address + path, data=body and json.dumps(body).encode(), method=method,
                                         headers={"Content-Type": "application/json"} if body else {})
        try:
            with urllib.request.urlopen(request, timeout=10 * SLOW) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def see(self, selector):
        """Present on the page, sooner or later."""
        self.page.wait(selector)
        return True

    def trail(self):
        """What the audit trail has, the oldest first."""
        return [row["action"] for row in reversed(self.api("/api/v1/audit?limit=200")[1]["audit"])]

    def note_phase(self):
        phase = self.page.text(f"{CARD} .phase")
        if phase in PHASES and phase not in self.phases:
            self.phases.append(phase)
        return phase == PHASES[-1]

    def play(self):
        steps = [step for block in self.page_text.blocks("sh") for step in steps_of(block)]
        expect([step.command for step in steps], ["make demo LOOK=300"], "the commands of the quick start")
        self.shell.begin(steps[0].command)
        self.address = self.wait_out(r"\* dashboard: (http://127\.0\.0\.1:\d+)/\n").group(1)
        self.before = self.api("/api/v1/services/demo")[1]  # a browser may be slower than the story
        self.page = self.browser.open()
        self.page.goto(self.address + "/")
        self.see(f"{CARD} .versions .current .deployment:text-is('v2')")
        wait_for(lambda: self.page.count(f"{CARD} .verdict:text-is('verdict: breach')"), "the page says breach", PATIENCE_S)
        wait_for(self.note_phase, "rolled back, in the browser", PATIENCE_S)
        self.see("#rollbacks tbody tr[data-status=success]")
        self.wait_out(r"Still up, for 300 s or until Ctrl-C")
        self.text = self.shell.seen()
        self.weights = [float(one) for one in re.findall(r"\* v2 now gets ([\d.]+) % of", self.text)]


def installs_or_says_the_line(visit):
    """.ci/setup on a machine without packages, as root, with sudo, and as nobody in particular."""
    with open(os.path.join(visit.folder, "prepared"), encoding="utf-8") as file:
        expect(file.read().split("\n")[:2], ["setup build", "build release"], "what make demo does first")
    tools = os.path.join(visit.stage.folder, "tools")
    write(os.path.join(tools, "dpkg-query"), "#!/bin/sh\nexit 1\n")
    write(os.path.join(tools, "apt-get"), '#!/bin/sh\necho "$(basename "$0") $*" >>"$TOOLS/asked"\n')
    write(os.path.join(tools, "env"), '#!/bin/sh\nshift; exec "$@"\n')
    write(os.path.join(tools, "id"), '#!/bin/sh\necho "$WHO"\n')
    write(os.path.join(tools, "sudo"), '#!/bin/sh\n[ "$SUDO" = yes ] || exit 1\nshift\n[ "$1" = true ] || exec "$@"\n')
    write(os.path.join(tools, "tee"), "#!/bin/sh\ncat >/dev/null\n")
    for name in ("rm", "chmod"):
        write(os.path.join(tools, name), "#!/bin/sh\n")
    for who, sudo, wanted in (("0", "no", True), ("1000", "yes", True), ("1000", "no", False)):
        asked = os.path.join(tools, "asked")
        if os.path.exists(asked):
            os.remove(asked)
        done = subprocess.run([os.path.join(ROOT, ".ci", "setup"), "build"], capture_output=True, text=True, check=False,
                              env={"PATH": f"{tools}:{os.environ['PATH']}", "TOOLS": tools, "WHO": who, "SUDO": sudo,
                                   "TMPDIR": visit.stage.folder})
        has_installed = os.path.exists(asked)
        line = re.search(r"^apt-get install -y \S.* cmake .*$", done.stderr, re.M)
        expect((done.returncode == 0, has_installed, bool(line)), (wanted, wanted, not wanted),
               f"setup as {who}, sudo {sudo}: {done.stdout}{done.stderr}")


def address_is_printed(visit):
    # The story had not begun when it was printed: it is its first line.
    expect(bool(re.match(r"\s*0\.0 s  \* dashboard: http", visit.text.split("\n", 1)[0] + "\n")), True, visit.text[:200])


def split_is_as_said(visit):
    expect(bool(visit.out(r"200 requests/s arrive at .*: 10 % go to v2 \(canary\), the rest to v1 \(stable\)")), True, "told")
    seen = visit.before
    expect((seen["weight"]["set"], seen["current"]["deployment"], seen["previous"]["deployment"]), (10, "v2", "v1"), "split")


def breaks_after_twenty_seconds(visit):
    at_s = float(visit.out(r"([\d.]+) s  ! v2 breaks: 30 % of its answers are 500").group(1))
    expect(at_s >= 20, True, f"it breaks after {at_s} s")


def numbers_are_on_the_page(visit):
    sentence = visit.api("/api/v1/services/demo")[1]["sentence"]
    expect(bool(re.match(r"canary \d+ of \d+ requests failed", sentence)), True, sentence)
    expect(sentence in visit.page.text(CARD), True, "the page shows the sentence")


def weight_falls_in_steps(visit):
    expect((visit.weights[-1], sorted(visit.weights, reverse=True)), (0, visit.weights), "weights, as the terminal told them")
    wait_for(lambda: "rollback.step" in visit.trail(), "the trail has a step")
    visit.see(f"{CARD} .weight-text:text-matches('^weight 0 %')")


def phases_come_in_order(visit):
    expect(visit.phases, [phase for phase in PHASES if phase in visit.phases], "phases, as the page showed them")
    expect("rolled back: v1 is confirmed to serve well" in visit.text, True, "confirmed")

    def order():
        return list(dict.fromkeys(one for one in visit.trail() if one in ("rollback.start", "rollback.shifted", "rollback.success")))

    wait_for(lambda: len(order()) == 3, "the trail has all of it")
    expect(order(), ["rollback.start", "rollback.shifted", "rollback.success"], "the trail")


def rollback_has_a_row(visit):
    row = visit.page.text("#rollbacks tbody tr")
    expect(("v2" in row, "Success" in row), (True, True), row)


def read_opens_the_report(visit):
    visit.see("#rollbacks tbody button:text-is('Read')")
    if os.environ.get("SERIN_SCREENSHOTS"):
        visit.page.screenshot(os.path.join(os.environ["SERIN_SCREENSHOTS"], "demo.png"), whole=False)
    visit.page.click("#rollbacks tbody button")
    visit.page.until("document.querySelector('#report-chart').naturalWidth > 0")
    expect("Rollback of v2 (demo)" in visit.page.text("#report-text"), True, "the report")
    visit.page.click("#report-close")


def nobody_gives_it_weight(visit):
    expect(visit.api("/api/v1/services/demo/weight", {"current": 10}, "PUT")[0], 422, "a weight for what is in quarantine")


def release_ends_the_quarantine(visit):
    visit.page.click(f'{CARD} button[data-action="release"]')
    visit.see("#action-dialog[open] #field-reason[required]")
    visit.page.fill("#field-reason", "the missing index was built")
    visit.page.click("#action-go")
    visit.page.wait("#action-dialog", state="hidden")
    wait_for(lambda: visit.api("/api/v1/services/demo")[1]["quarantine"] == [], "it is released")
    visit.see("#audit td:has-text('the missing index was built')")


def terminal_tells_it(visit):
    samples = visit.page_text.blocks("")
    expect(len(samples), 2, "the terminal's sample, and the picture of the split")
    expect(missing_lines(samples[0], visit.text), [], f"lines of the sample, in\n{visit.text}")


def processes_of(folder):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if os.fsencode(folder) in file.read():
                    found.append(name)
        except OSError:
            pass
    return found


def end_leaves_nothing(visit):
    """Ctrl-C here; that the time ends it too is played in test_demo.py, with another number."""
    demos = [int(one) for one in processes_in_session(visit.shell.process.pid) if is_demo(one)]
    expect(len(demos) > 0, True, "the demo runs")
    for pid in demos:
        os.kill(pid, signal.SIGINT)
    visit.code, _ = visit.shell.end()
    expect(visit.code, 0, "make's exit code")
    expect((os.listdir(visit.temporary), processes_of(visit.temporary)), ([], []), "left behind")


def processes_in_session(session):
    done = subprocess.run(["ps", "-o", "pid=", "-s", str(session)], capture_output=True, text=True, check=False)
    return done.stdout.split()


def is_demo(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().startswith(b"build/release/serin\0demo\0")
    except OSError:
        return False


def story_alone_ends_by_itself(visit):
    done = subprocess.run(["make", "-s", "demo"], cwd=visit.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=3 * PATIENCE_S * SLOW, env={**os.environ, "TMPDIR": visit.temporary})
    # A machine too slow for its sixty seconds says so; either way nobody has to end it.
    expect((done.returncode == 0) or "not rolled back in time" in done.stderr, True, done.stdout + done.stderr)
    expect("Still up" in done.stdout, False, "it stays up")


STATEMENTS = [
    ("In a clean clone on Debian 12.", None),  # where the whole play runs
    ("What is missing is installed first (as root or with sudo that asks nothing; otherwise the one line to run is "
     "printed).", installs_or_says_the_line),
    ("It prints the address of a dashboard: open it in a browser.", address_is_printed),
    ("Of 200 requests a second 90 % go to v1, the last known good version, and 10 % to v2, the canary.", split_is_as_said),
    ("Twenty seconds after the first request v2 breaks: 30 % of its answers are 500.", breaks_after_twenty_seconds),
    ("Soon the page says verdict: breach, and above the bar the numbers behind that.", numbers_are_on_the_page),
    ("The weight of v2 falls in steps to 0 %.", weight_falls_in_steps),
    ("The phase is shifting back, then verifying, and rolled back once v1 is confirmed to serve well.",
     phases_come_in_order),
    ("The rollback has a row in the table below.", rollback_has_a_row),
    ("Its button Read opens the incident report.", read_opens_the_report),
    ("v2 is in quarantine: nobody can give it weight.", nobody_gives_it_weight),
    ("The button Release … asks for a reason and ends that, and the audit trail shows it.", release_ends_the_quarantine),
    ("The terminal tells the same story:", terminal_tells_it),
    ("After 300 seconds, or with Ctrl-C, all of it ends, and nothing is left behind.", end_leaves_nothing),
    ("Without LOOK it ends as soon as the story does.", story_alone_ends_by_itself),
    ("Next, with a site of your own: in front of nginx, of Cloudflare Pages, or of containers.", None),  # links, checked as such
]


@case(starts_proxy=False)
def every_statement_of_the_quick_start_holds(stage):
    visit = Visit(stage)
    try:
        expect(visit.page_text.sentences(), [sentence for sentence, _ in STATEMENTS], "what the quick start says, and what is checked")
        visit.play()
        for sentence, check in STATEMENTS:
            if check:
                stage.transcript.note("test", sentence)
                check(visit)
        expect(visit.page.complaints(), [], "what the console said")
    finally:
        visit.finish()


if __name__ == "__main__":
    run(__file__)

"""`serin demo`: the whole story in one process tree, and nothing of it left behind, however it ends."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Metrics, case, expect, run, wait_for  # noqa: E402

PATIENCE_S = 60 * SLOW


class Demo:
    """One demo with a temporary folder of its own; its output is read as it comes."""

    def __init__(self, stage, *arguments, has_terminal=False, environment=None):
        self.folder = os.path.join(stage.folder, f"{stage.name}-{time.monotonic_ns()}")
        os.makedirs(self.folder)
        self.text, self.errors = "", ""
        inner = self.terminal = None
        if has_terminal:
            self.terminal, inner = pty.openpty()
        settings = {"TMPDIR": self.folder, "TERM": "xterm", "LANG": "C.UTF-8", **(environment or {})}
        self.process = subprocess.Popen(
            [stage.binary, "demo", *map(str, arguments)], stdin=subprocess.DEVNULL,
            stdout=inner if has_terminal else subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **settings}, start_new_session=True)
        if has_terminal:
            os.close(inner)
        out = self.terminal if has_terminal else self.process.stdout.fileno()
        self._readers = [threading.Thread(target=self._read, args=(out, "text"), daemon=True),
                         threading.Thread(target=self._read, args=(self.process.stderr.fileno(), "errors"), daemon=True)]
        for reader in self._readers:
            reader.start()

    def _read(self, descriptor, name):
        while select.select([descriptor], [], []):
            try:
                data = os.read(descriptor, 65536)
            except OSError:  # a terminal whose other side is closed
                return
            if not data:
                return
            setattr(self, name, getattr(self, name) + data.decode("utf-8", "replace"))

    def wait_text(self, pattern, what):
        wait_for(lambda: re.search(pattern, self.text) or self.process.poll() is not None, what, PATIENCE_S / SLOW)
        if not re.search(pattern, self.text):
            raise AssertionError(f"{what}: ended with {self.process.poll()}\n{self.text}\n{self.errors}")

    def end(self, wanted):
        """Waits for the end, and looks for what was left behind."""
        try:
            code = self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(PATIENCE_S)
        if code != wanted:
            raise AssertionError(f"exit code {code}, wanted {wanted}\n{self.text}\n{self.errors}")
        wait_for(lambda: not self.processes(), "all its processes are gone")
        expect(os.listdir(self.folder), [], "files left behind")
        return self.text

    def processes(self):
        """Ids of processes that were started with something in this demo's folder."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    if os.fsencode(self.folder) in file.read():
                        found.append(int(name))
            except OSError:
                pass
        return found


def seconds(count):
    """A story's bound, longer under a sanitizer."""
    return ["--seconds", count * SLOW, "--break-at", 2 * SLOW]


@case(starts_proxy=False)
def canary_breaks_and_is_rolled_back_in_steps(stage):
    text = Demo(stage, *seconds(20)).end(0)
    for pattern in (r"200 requests/s arrive at http://127\.0\.0\.1:\d+: 10 % go to v2", r"v2 breaks: 30 %",
                    r"detected: canary \d+ of \d+ requests failed", r"v2 now gets 5 % of the requests",
                    r"v2 now gets 0 % of the requests, v1 100 %", r"rolled back: v1 is confirmed",
                    r"\nRollback \S+\n  v2 -> v1: success \(gradual, trigger error_rate, by judge\)",
                    r"    detect +\d+\.\d\d s\n    decide +\d+\.\d\d s\n    shift +\d+\.\d\d s\n    drain +\d+\.\d\d s\n",
                    r"    verify +\d+\.\d\d s\n", r"idle \| v1 90 %, \d+ requests/s"):
        if not re.search(pattern, text):
            raise AssertionError(f"nothing like {pattern!r} in\n{text}")
    expect("\x1b" in text, False, "control sequences in plain output")
    seen = int(re.search(r"(\d+) seen by clients", text).group(1))
    counted = int(re.search(r"counted (\d+) bad of", text).group(1))
    # What failed before the excursion that was judged belongs to the clients' number alone.
    expect(seen <= counted <= seen + 3, True, f"seen by clients {seen}, counted by them {counted}")


@case(starts_proxy=False)
def canary_that_fails_all_requests_is_cut_off_at_once(stage):
    report = json.loads(Demo(stage, *seconds(20), "--json", "--fail-rate", 100).end(0))
    record, clients = report["rollback"], report["clients"]
    expect((record["status"], record["mode"], record["deployment"]), ("success", "instant", "v2"), "the record")
    expect(record["bad_responses"]["client"], clients["bad"], "bad responses: the record's, the clients' own")
    origin = record["bad_responses"]["origin"]
    expect(origin >= 3 and clients["bad"] <= origin, True, f"of {origin} failures clients saw what cannot be repeated: {clients}")
    expect(clients["lost"], 0, "requests without an answer")


@case(starts_proxy=False)
def terminal_gets_frames_and_its_cursor_back(stage):
    demo = Demo(stage, *seconds(20), "--persist", "--fail-rate", 40, has_terminal=True)
    text = demo.end(0)
    os.close(demo.terminal)
    for piece in ("\x1b[?25l", "█", "verdict ", "\x1b[31mbreach\x1b[0m", "Rollback rb-", "\x1b[?25h"):
        expect(piece in text, True, f"{piece!r} in the terminal's output")
    expect(text.rstrip().endswith("\x1b[?25h"), True, "the cursor is shown at the end")


@case(starts_proxy=False)
def no_color_is_respected(stage):
    demo = Demo(stage, *seconds(20), has_terminal=True, environment={"NO_COLOR": "1", "LC_ALL": "C"})
    demo.wait_text("verdict ", "a frame is drawn")
    demo.process.send_signal(signal.SIGTERM)
    text = demo.end(1)
    os.close(demo.terminal)
    expect(re.search(r"\x1b\[\d*m", text), None, "colours")
    expect("█" in text, False, "characters that the locale has not")


@case(starts_proxy=False)
def interrupted_story_leaves_nothing_behind(stage):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        demo = Demo(stage, *seconds(20))
        demo.wait_text(r"requests/s arrive", "the traffic starts")
        expect(len(demo.processes()), 1, "children")
        demo.process.send_signal(number)
        expect("interrupted" in demo.end(1), True, "says that it was interrupted")


@case(starts_proxy=False)
def killed_demo_takes_its_proxy_along(stage):
    demo = Demo(stage, *seconds(20))
    demo.wait_text(r"requests/s arrive", "the traffic starts")
    expect(len(demo.processes()), 1, "children")
    demo.process.kill()
    demo.process.wait()
    wait_for(lambda: not demo.processes(), "the proxy is gone")


@case(starts_proxy=False)
def dead_proxy_ends_the_story(stage):
    demo = Demo(stage, *seconds(20))
    demo.wait_text(r"requests/s arrive", "the traffic starts")
    os.kill(demo.processes()[0], signal.SIGKILL)
    demo.end(1)
    expect("the proxy has ended" in demo.errors, True, f"says why: {demo.errors}")


@case(starts_proxy=False)
def story_without_a_rollback_fails(stage):
    demo = Demo(stage, "--seconds", 10, "--break-at", 9.9)
    demo.end(1)
    expect("not rolled back in time" in demo.errors, True, f"says why: {demo.errors}")


@case(starts_proxy=False)
def kept_demo_answers_until_it_is_ended(stage):
    demo = Demo(stage, *seconds(20), "--keep", "--fail-rate", 100)
    demo.wait_text(r"Still up[^$]*configuration and logs", "the story is over")
    page, status = re.findall(r"curl (?:-i )?(http://\S+)", demo.text)
    with urllib.request.urlopen(page, timeout=10 * SLOW) as answer:
        expect("This is version v1" in answer.read().decode(), True, "the page is the stable version's")
    with urllib.request.urlopen(status, timeout=10 * SLOW) as answer:
        expect(json.load(answer)["services"][0]["phase"], "rolled_back", "phase")
    with urllib.request.urlopen(status.partition("/api/")[0] + "/metrics", timeout=10 * SLOW) as answer:
        rescues = Metrics(answer.read().decode()).by("serin_rescues_total", "result")
    # On a busy machine the stable version may be too slow to be asked for more.
    expect(rescues.get("success", 0) + rescues.get("stable_suffers", 0) > 0, True, f"rescues {rescues}")
    demo.process.send_signal(signal.SIGINT)
    demo.end(0)


@case(starts_proxy=False)
def looked_at_demo_shows_its_dashboard_and_ends_by_itself(stage):
    demo = Demo(stage, *seconds(20), "--look", 2, "--fail-rate", 100)
    demo.wait_text(r"\* dashboard: http://127\.0\.0\.1:\d+/\n", "the dashboard's address, before anything happens")
    address = re.search(r"\* dashboard: (\S+)", demo.text).group(1)
    with urllib.request.urlopen(address, timeout=10 * SLOW) as answer:
        expect("<title>Serin</title>" in answer.read().decode(), True, "the page")
    text = demo.end(0)
    expect(f"Still up, for 2 s or until Ctrl-C:\n  dashboard: {address}\n" in text, True, text)


@case(starts_proxy=False)
def nonsense_is_a_usage_error(stage):
    for arguments in (["--speed"], ["--seconds", "soon"], ["now"], ["--rate", "0"]):
        demo = Demo(stage, *arguments)
        demo.end(2)
        expect("usage: serin demo" in demo.errors, True, "says how it is used")


if __name__ == "__main__":
    run(__file__, parallel=2)

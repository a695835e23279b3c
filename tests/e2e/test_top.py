"""`serin top` at a pseudo-terminal: what it shows, what its keys do, and how it leaves the terminal."""

import contextlib
import fcntl
import http.server
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, bare_environment, case, expect, free_port, run, wait_for  # noqa: E402

DONE, FAILED, USAGE, REFUSED, DENIED, TIMED_OUT = range(6)
PATIENCE_S = 30
ENTER, LEAVE = "\x1b[?1049h", "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
TEN = {"weight": "10%", "rollback": {"on_breach": "alert", "every": "100ms"}}
SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Screen:
    """As much of a terminal as `serin top` uses: positions are absolute, lines do not wrap."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.is_taken = False
        self.clear()

    def clear(self):
        self.lines, self.row, self.column = [""] * self.rows, 0, 0

    def write(self, text):
        at = 0
        while at < len(text):
            found = SEQUENCE.match(text, at)
            if found:
                self._obey(*found.groups())
                at = found.end()
                continue
            self._put(text[at])
            at += 1

    def _obey(self, parameters, final):
        if final == "H":
            self.row = self.column = 0
        elif final == "K":
            self.lines[self.row] = ""
        elif final == "J":
            first = 0 if parameters == "2" else self.row
            self.lines[first:] = [""] * (self.rows - first)
        elif parameters == "?1049":
            self.clear()
            self.is_taken = final == "h"

    def _put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            if self.row + 1 == self.rows and self.is_taken:
                raise AssertionError("the screen was scrolled")
            self.row = min(self.row + 1, self.rows - 1)
        elif self.column < self.columns:
            self.lines[self.row] = self.lines[self.row].ljust(self.column)[:self.column] + character
            self.column += 1


class Top:
    """One `serin top` with a terminal of its own; what it writes is read as it comes."""

    def __init__(self, stage, *words, admin=None, rows=40, columns=130, environment=None):
        self.stage = stage
        self.terminal, self.inner = pty.openpty()
        self.screen = Screen(rows, columns)
        self.raw = ""
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.inner)
        self.flags_before = fcntl.fcntl(self.inner, fcntl.F_GETFL)
        settings = {**bare_environment(), "TERM": "xterm", "LANG": "C.UTF-8",
                    "SERIN_ADMIN": admin or f"http://127.0.0.1:{stage.serin.admin_port}", **(environment or {})}
        command = [shutil.which("setsid"), "-c", stage.binary, "top", *words]
        self.process = subprocess.Popen(command, stdin=self.inner, stdout=self.inner, stderr=self.inner, env=settings)
        self._lock = threading.Lock()
        self._is_over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, rows, columns):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize_to(self, rows, columns):
        with self._lock:
            self.screen = Screen(rows, columns)
            self.screen.is_taken = True
            self.resize(rows, columns)

    def _read(self):
        waiting = b""
        while not self._is_over:
            if not select.select([self.terminal], [], [], 0.1)[0]:
                continue
            waiting += os.read(self.terminal, 65536)
            # a sequence or a character that is not there as a whole waits for its rest
            cut = len(waiting)
            start = waiting.rfind(b"\x1b", max(0, cut - 12))
            if start >= 0 and not SEQUENCE.match(waiting[start:].decode("latin-1")):
                cut = start
            while cut > 0 and cut == len(waiting) and _is_torn(waiting):
                cut -= 1
            text, waiting = waiting[:cut].decode("utf-8", "replace"), waiting[cut:]
            with self._lock:
                self.raw += text
                try:
                    self.screen.write(text)
                except AssertionError as error:
                    self.raw += f"\n!!! {error}"
                    return

    def text(self):
        with self._lock:
            return "\n".join(self.screen.lines)

    def wait(self, *pieces, patience_s=PATIENCE_S):
        """Waits until all of the patterns are on the screen."""
        try:
            wait_for(lambda: all(re.search(piece, self.text()) for piece in pieces), f"{pieces} on the screen", patience_s)
        except Exception:
            self.stage.transcript.note("screen", self.text() + "\n" + self.raw[-4000:])
            raise

    def press(self, text):
        os.write(self.terminal, text.encode())

    def end(self, wanted):
        """Waits for the end; the terminal must be as it was."""
        try:
            code = self.process.wait(PATIENCE_S * SLOW)
            expect(code, wanted, f"how it ended\n{self.text()}")
            wait_for(lambda: self.raw.count(LEAVE) == self.raw.count(ENTER), "the screen is given back", PATIENCE_S)
            expect(termios.tcgetattr(self.inner), self.before, "the terminal's settings")
            expect(fcntl.fcntl(self.inner, fcntl.F_GETFL), self.flags_before, "the descriptor's flags")
            expect("!!!" in self.raw, False, "the screen was scrolled")
        finally:
            self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        self._is_over = True
        self._reader.join()
        os.close(self.inner)
        os.close(self.terminal)


def _is_torn(data):
    """Does the last character lack bytes?"""
    try:
        data[-4:].decode("utf-8")
        return False
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"


@contextlib.contextmanager
def at(stage, *words, **more):
    top = Top(stage, *words, **more)
    try:
        yield top
    finally:
        if not top._is_over:
            top.close()


def once(stage, *words, admin=None, environment=None):
    address = admin or f"http://127.0.0.1:{stage.serin.admin_port}"
    done = subprocess.run([stage.binary, "top", "--once", *words], capture_output=True, text=True, check=False,
                          env={**bare_environment(), "SERIN_ADMIN": address, **(environment or {})}, timeout=60 * SLOW)
    stage.transcript.note("test", f"{done.returncode}\n{done.stdout}{done.stderr}")
    return done.returncode, done.stdout, done.stderr


class FakeAdmin:
    """An admin API that says what the test wants."""

    def __init__(self, answers):
        outer = self
        self.answers = dict(answers)  # path without query: (status, text)
        self.posts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.command == "POST":
                    outer.posts.append((self.path, body.decode(), self.headers.get("If-Match")))
                status, text = outer.answers.get(self.path.split("?")[0], (404, '{"title": "Not Found"}'))
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                with contextlib.suppress(OSError):  # who asked may have gone
                    self.end_headers()
                    self.wfile.write(data)

            do_GET = do_POST = _answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def service_line(name, **more):
    version = {"deployment": "v", "url": None, "endpoints": {"all": 1, "live": 1}, "requests": 10, "failures": 0,
               "client_bad": 0, "in_flight": 0}
    return {"name": name, "phase": "progressing", "revision": 3, "weight": {"set": 5, "realised": 5}, "verdict": "ok",
            "reason": None, "sentence": f"the sentence of {name}", "step": 1, "steps": 2, "contained": False,
            "started": False, "mirror": None, "observed": [], "current": {**version, "deployment": "v2"},
            "previous": {**version, "deployment": "v1"}, **more}


def api_of(*services, conditions=()):
    process = {"version": "1.0.0", "started": "2026-01-01T00:00:00Z", "workers": 1, "client_connections": 0,
               "ready": True, "draining": False}
    answers = {"/api/v1/status": {"services": services, "conditions": conditions, "process": process},
               "/api/v1/rollbacks": {"rollbacks": []}}
    for service in services:
        answers[f"/api/v1/services/{service['name']}"] = {**service, "ladder": [5, "pause", 100], "evidence": {},
                                                          "thresholds": {}, "quarantine": []}
    return {path: (200, json.dumps(answer)) for path, answer in answers.items()}


# --- what it shows and does ----------------------------------------------------------------------------------------

@case(starts_proxy=False)
def rollout_is_watched_and_steered(stage):
    service = stage.service(rollout={"steps": ["10%", "60%", "100%"], "min_time": "1h", "bake": "1h"},
                            rollback={"on_breach": "alert", "every": "100ms"})
    del service["weight"]
    serin = stage.start_serin({"services": [service]})
    with at(stage) as top:
        top.wait(rf"▶ {stage.name} .*progressing.*step 1 of 3.*10 % set", r"canary +canary", r"stable +stable", "live",
                 r"steps +\[10 %\] +60 % +100 %", r"of 59 requests|insufficient_data")
        has_rate = re.compile(r"stable +stable .* (?!0\.0)[0-9]+\.[0-9] requests/s")
        wait_for(lambda: stage.ask() and has_rate.search(top.text()), "a rate above zero", PATIENCE_S)
        top.press("p")
        top.wait(r"Pause .*takes no step until it is resumed", "y yes")
        top.press("n")
        top.wait("q quit")
        expect(serin.service(stage.name)["phase"], "progressing", "phase after a no")
        top.press("p")
        top.wait("Pause")
        top.press("y")
        top.wait(rf"{stage.name} +paused")
        top.press("r")
        top.wait("Resume")
        top.press("y")
        top.wait(rf"{stage.name} +progressing")
        top.press("P")
        top.wait("Promote .* leaves 10 % for its next step")
        top.press("y")
        top.wait("step 2 of 3", "60 % set", r"steps +10 % +\[60 %\]")
        top.press("Rslow pages\x7f\x7fes")
        top.wait("why\\? slow pages")
        top.press("\r")
        top.wait("Roll back .*loses its 60 %", "Reason: slow", "y yes")
        top.press("y")
        top.wait(r"rolled_back|verifying|shifting_back", patience_s=60)
        top.wait(r"rolled_back", r"last rollbacks", r"Success +Manual: slow pages", r"quarantined: canary", patience_s=90)
        top.press("?")
        top.wait("only y does it", "any key goes back")
        top.press(" ")
        top.wait("rolled_back")
        top.press("q")
        top.end(DONE)
    expect(serin.rollback_of(stage.name)["reason"], "slow pages", "reason")


@case(starts_proxy=False)
def what_is_refused_is_said(stage):
    with FakeAdmin(api_of(service_line("one"))) as api:
        with at(stage, admin=api.url) as top:
            top.wait("▶ one")
            api.answers["/api/v1/services/one/rollout/promote"] = (412, '{"title": "Precondition Failed", "detail": "Changed."}')
            top.press("Py")
            top.wait("promote: answered 412 Precondition Failed: Changed.")
            expect(api.posts, [("/api/v1/services/one/rollout/promote", "", '"3"')], "what was asked for")
            top.press("q")
            top.end(DONE)


@case(starts_proxy=False)
def arrows_choose_the_service_that_is_meant(stage):
    services = [service_line(f"s{i}") for i in range(9)]
    with FakeAdmin(api_of(*services)) as api:
        with at(stage, admin=api.url, rows=24) as top:
            top.wait("▶ s0", "the sentence of s0", r"steps +\[5 %\] +pause +100 %")
            top.press("\x1b[B\x1bOB")
            top.wait("▶ s2", "the sentence of s2")
            top.press("\x1b[A")
            top.wait("▶ s1")
            api.answers.update(api_of(*services[1:]))  # the one above goes: the choice stays
            wait_for(lambda: "s0" not in top.text(), "the service has gone", PATIENCE_S)
            top.wait("▶ s1")
            api.answers["/api/v1/services/s1/rollback"] = (202, "{}")
            top.press("Rx\ry")
            top.wait("roll back: begun")
            path, body, match = api.posts[0]
            expect((path, json.loads(body), match), ("/api/v1/services/s1/rollback", {"reason": "x"}, None), "what was asked for")
            top.press("?")
            top.wait("any key goes back")
            top.press("\x1b")  # by itself a key, once it is clear that nothing follows
            top.wait("p pause")
            top.press("q")
            top.end(DONE)


@case(service=TEN)
def window_that_changes_is_filled_anew(stage):
    with at(stage, "--service", stage.name) as top:
        top.wait("▶", "requests/s")
        for rows, columns in ((24, 80), (10, 30), (50, 150)):
            top.resize_to(rows, columns)
            top.wait("▶", "p pause" if columns > 30 else "serin top")
            wait_for(lambda rows=rows: "quit" in top.text().split("\n")[rows - 1], "the keys are in the last line", PATIENCE_S)
        top.resize_to(3, 20)
        top.wait("the window is")
        top.press("q")
        top.end(DONE)


@case(starts_proxy=False)
def what_is_stale_is_said_until_serin_is_back(stage):
    serin = stage.start_serin({"services": [stage.service(**TEN)]})
    with at(stage) as top:
        top.wait("live", stage.name)
        serin.stop()
        top.wait(r"STALE: seen \d+ s ago", "127.0.0.1", stage.name)
        serin.start()
        top.wait("live", stage.name)
        wait_for(lambda: "STALE" not in top.text(), "it is live again", PATIENCE_S)
        top.press("q")
        top.end(DONE)


@case(starts_proxy=False)
def waits_for_a_serin_that_is_not_there_yet(stage):
    port = free_port()
    with at(stage, admin=f"http://127.0.0.1:{port}") as top:
        top.wait(f"127.0.0.1:{port}: ")
        top.press("\x03")
        top.end(DONE)


@case(starts_proxy=False)
def hostile_and_broken_answers_are_shown_and_not_obeyed(stage):
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp\r\n"
    service = service_line("evil", sentence=f"sentence {evil}", phase=evil, verdict=evil,
                           current={"deployment": f"deployment {evil}", "endpoints": {"all": 1, "live": 1}})
    answers = api_of(service, conditions=[f"condition {evil}"])
    answers["/api/v1/rollbacks"] = (200, json.dumps({"rollbacks": [{"timestamp": evil, "deployment": evil, "reason": evil}]}))
    with FakeAdmin(answers) as api:
        with at(stage, admin=api.url) as top:
            top.wait("▶ evil", r"deployment \?\[2J", "condition", "last rollbacks")
            top.press("R")
            top.wait("why")
            top.press("\x1b")
            top.wait("q quit")
            for broken in ((500, "{"), (200, "no JSON"), (200, "[]"), (200, '{"services": 7}'), (200, "{}"),
                           (503, json.dumps({"title": evil}))):
                api.answers["/api/v1/status"] = broken
                top.wait("STALE" if broken[0] != 200 or broken[1][0] != "{" else "^serin top  live")
                api.answers.update(answers)
                top.wait("▶ evil", "^serin top  live")
            top.press("q")
            top.end(DONE)
        rest = SEQUENCE.sub("", top.raw)
        expect(sorted({mark for mark in rest if mark < " " or "\x7f" <= mark < "\xa0" or mark == "\u202e"} - {"\r", "\n"}), [],
               "what a terminal would obey")
        allowed = set("HKJmhl")
        expect({found.group(2) for found in SEQUENCE.finditer(top.raw)} - allowed, set(), "sequences that are not its own")


# --- how it leaves the terminal ------------------------------------------------------------------------------------

@case(service=TEN)
def terminal_is_as_it_was_however_it_ends(stage):
    ends = {"q": DONE, "\x03": DONE, "\x04": DONE}
    for key, code in ends.items():
        with at(stage) as top:
            top.wait("▶")
            top.press(key)
            top.end(code)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT):
        with at(stage) as top:
            top.wait("▶")
            top.process.send_signal(number)
            top.end(-number)


@case(service=TEN)
def stopped_it_gives_the_terminal_back_and_goes_on_later(stage):
    def state():
        with open(f"/proc/{top.process.pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0]

    with at(stage) as top:
        top.wait("▶")
        top.process.send_signal(signal.SIGTSTP)
        wait_for(lambda: state() == "T", "it is stopped", PATIENCE_S)
        wait_for(lambda: top.raw.endswith(LEAVE), "the screen is given back", PATIENCE_S)
        expect(termios.tcgetattr(top.inner), top.before, "the terminal's settings")
        top.process.send_signal(signal.SIGCONT)
        top.wait("▶")
        top.press("q")
        top.end(DONE)


@case(service=TEN)
def no_color_and_dumb_terminals_are_respected(stage):
    with at(stage, environment={"NO_COLOR": "1"}) as top:
        top.wait("▶")
        top.press("q")
        top.end(DONE)
    expect(re.search(r"\x1b\[[1-9]\d*m", top.raw), None, "colours")
    with at(stage, environment={"TERM": "dumb"}) as top:
        wait_for(lambda: top.raw.count("serin top  live") >= 2, "frames as text", PATIENCE_S)
        top.process.send_signal(signal.SIGTERM)
        top.end(-signal.SIGTERM)
    expect("\x1b" in top.raw, False, "control sequences on a dumb terminal")


# --- for scripts ---------------------------------------------------------------------------------------------------

@case(service=TEN)
def one_frame_is_text_with_rates(stage):
    code, out, _ = once(stage, "--service", stage.name)
    expect((code, "\x1b" in out), (DONE, False), "exit code, control sequences")
    for pattern in (rf"^  {stage.name}  idle  weight 10 % set", r"canary  canary .*\d requests/s",
                    r"stable  stable .*\d requests/s", r"insufficient_data|ok"):
        if not re.search(pattern, out, re.M):
            raise AssertionError(f"nothing like {pattern} in\n{out}")
    expect(out.count(" set, "), 1, "services")


@case(starts_proxy=False)
def one_frame_fails_as_other_verbs_do(stage):
    path = os.path.join(stage.folder, f"{stage.name}.token")
    with open(path, "w", encoding="utf-8") as file:
        file.write("secret\n")
    stage.start_serin({"services": [stage.service(**TEN)], "admin": {"tokens": [{"name": "eye", "role": "viewer", "file": path}]}})
    code, out, err = once(stage)
    expect((code, out, "401" in err), (DENIED, "", True), f"without a token: {err}")
    expect(once(stage, environment={"SERIN_TOKEN": "secret"})[0], DONE, "with one")
    code, _, err = once(stage, "--service", "nobody", environment={"SERIN_TOKEN": "secret"})
    expect((code, "nobody" in err), (REFUSED, True), err)
    code, _, err = once(stage, admin=f"http://127.0.0.1:{free_port()}")
    expect((code, err.startswith("serin: ")), (FAILED, True), err)
    with at(stage) as top:
        top.end(DENIED)
    with at(stage, environment={"SERIN_TOKEN": "secret"}) as top:
        top.wait("▶")
        top.press("py")
        top.wait("pause: answered 403")
        top.press("q")
        top.end(DONE)


@case(service=TEN)
def without_a_terminal_frames_come_as_text_until_nobody_reads(stage):
    process = subprocess.Popen([stage.binary, "top"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                               env={**bare_environment(), "SERIN_ADMIN": f"http://127.0.0.1:{stage.serin.admin_port}"})
    try:
        frames = 0
        while frames < 3:
            line = process.stdout.readline().decode()
            expect(line != "" and "\x1b" not in line, True, f"a line of text: {line!r}")
            frames += line.startswith("serin top")
        process.stdout.close()
        expect(process.wait(PATIENCE_S * SLOW), DONE, "exit code")
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    run(__file__)

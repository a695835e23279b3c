"""serin.py - the real binary, its configuration, its admin endpoint and its metrics."""

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time

from wire import SLOW, Link, TooLate, WireError

SANITIZER = re.compile(r"(ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|runtime error:|CHECK failed)")
SANITIZER_OPTIONS = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")
_held = []


def free_port():
    """A loopback port outside the ephemeral range that no other test process will take: an abstract socket of
    the same number is the claim, and lives as long as this process."""
    while True:
        port = random.randrange(12000, 30000)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0serin-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _held.append(claim)
        return port


def report_into(folder):
    """From here on sanitizers of whatever is started write what they object to into files of this folder: also those
    of processes that are killed, and of verbs whose failure a case expects."""
    for name in SANITIZER_OPTIONS:
        options = [os.environ.get(name, ""), f"log_path={os.path.join(folder, 'report')}"]
        os.environ[name] = ":".join(option for option in options if option)


def reports_in(folder):
    """What was written there, file by file."""
    texts = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            texts.append(file.read())
    return texts


def bare_environment():
    """What a verb needs of the environment that a test has: its path, and how sanitizers report."""
    return {name: os.environ[name] for name in ("PATH", *SANITIZER_OPTIONS) if name in os.environ}


def leads(folder, addresses):
    """A wrapper (see Serin) for which these hosts are at these addresses, and for nobody else: {host: address}."""
    if os.geteuid() != 0:
        raise WireError("only root may give serin a hosts file of its own")
    path = os.path.join(folder, "hosts")
    with open(path, "w", encoding="utf-8") as file:
        file.write("127.0.0.1 localhost\n" + "".join(f"{address} {host}\n" for host, address in addresses.items()))
    return ["unshare", "-m", "sh", "-c", f'mount --bind "{path}" /etc/hosts && exec "$@"', "sh"]


def preloaded(binary, **markers):
    """The environment of a process in which tests/support/stall.c holds what `markers` say, while they exist."""
    library = os.path.join(os.path.dirname(binary), "tests", "libserin_stall.so")
    if not os.path.exists(library):
        raise WireError(f"there is no {library}")
    # a sanitizer's runtime wants to be first; it passes every call on to the library
    linked = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    runtimes = re.findall(r"=> (\S*/lib[at]san\S*)", linked)
    return {"LD_PRELOAD": " ".join([*runtimes, library]), **markers}


class Metrics:
    """One scrape, parsed: every sample of the text format, and nothing that is not in the format."""

    SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\Z")
    LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|\Z)')

    def __init__(self, text):
        self.text = text

    def _lines(self, name):
        """Those of one metric; they stand together. A scrape of many services is long."""
        starts = [at for at in (self.text.find(f"\n{name}{{"), self.text.find(f"\n{name} ")) if at >= 0]
        if not starts:
            return []
        end = self.text.find("\n#", min(starts))
        lines = self.text[min(starts) : end if end >= 0 else len(self.text)].splitlines()
        return [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]

    def samples(self, name=None, has=()):
        """(name, labels, value) of every sample, or of those of one metric, in whose lines all of `has` stand."""
        for line in self.text.splitlines() if name is None else self._lines(name):
            if not line or line.startswith("#") or not all(text in line for text in has):
                continue
            match = self.SAMPLE.match(line)
            if not match:
                raise WireError(f"not a sample: {line!r}")
            yield match.group(1), dict(self.LABEL.findall(match.group(2) or "")), float(match.group(3))

    def all(self, name, **labels):
        has = [f'{label}="{want}"' for label, want in labels.items()]
        return [(has, value) for _, has, value in self.samples(name, has)
                if all(has.get(label) == str(want) for label, want in labels.items())]

    def sum(self, name, **labels):
        """The sum over all samples that carry these labels; 0 when there is none."""
        return sum(value for _, value in self.all(name, **labels))

    def by(self, name, label, **labels):
        """Sums by the values of one label; zeros left out."""
        sums = {}
        for has, value in self.all(name, **labels):
            sums[has.get(label)] = sums.get(has.get(label), 0) + value
        return {key: value for key, value in sums.items() if value}


def passing(sockets):
    """The words before a command that is to get these sockets as sd_listen_fds(3) has it."""
    numbers = [str(one.fileno()) for _, one in sockets]
    names = ":".join(name for name, _ in sockets)
    # moved out of the way first, since their numbers may be among those that are wanted
    script = ("import fcntl, os, sys\n"
              "moved = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 100) for one in sys.argv[1].split(',')]\n"
              "for place, one in enumerate(moved):\n    os.dup2(one, 3 + place)\n    os.close(one)\n"
              "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(moved)), LISTEN_FDNAMES=sys.argv[2])\n"
              "os.execvp(sys.argv[3], sys.argv[3:])\n")
    return ["/usr/bin/python3", "-c", script, ",".join(numbers), names]


class AdminAnswer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:400]!r}>"


class Serin:
    """One proxy process. `settings` are laid over the harness' own: see config_of. `sockets` are passed to it as a
    service manager would: pairs of a name and a listening socket."""

    def __init__(self, binary, folder, settings, descriptors=None, workers=2, environment=None, name="serin", wrapper=(),
                 http2=False, admin_context=None, sockets=()):
        self.binary, self.folder, self.name = binary, folder, name
        self.descriptors = descriptors
        self.environment = environment or {}
        self.wrapper = wrapper  # a command that becomes serin by exec
        self.admin_context = admin_context  # an ssl context, where the admin address speaks TLS
        self.sockets = sockets
        self.port, self.admin_port = free_port(), free_port()
        self.config_path = os.path.join(folder, f"{name}.yaml")
        self.log_path = os.path.join(folder, f"{name}.log")
        self.process = None
        self.settings = {
            "workers": workers,
            "listen": [{"address": f"127.0.0.1:{self.port}", **({"http2": "on"} if http2 else {})}],
            "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            "state": os.path.join(folder, f"{name}.db"),
            "access_log": {"path": os.path.join(folder, f"{name}.access.log"), "format": "json"},
            "timeouts": {"drain": f"{int(5 * SLOW)}s"},
        }
        self.change(settings)

    def change(self, settings):
        """Lays settings over the present ones (folders merged, everything else replaced) and writes the file."""
        for key, value in settings.items():
            if isinstance(value, dict) and isinstance(self.settings.get(key), dict):
                self.settings[key] = {**self.settings[key], **value}
            else:
                self.settings[key] = value
        self.write_text(json.dumps(self.settings, indent=1))

    def write_text(self, text):
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(text + "\n")

    def start(self, wait=True):
        command = [*self.wrapper, self.binary, "run", "-c", self.config_path]
        if shutil.which("setpriv"):  # dies with the test, however the test dies
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        if self.descriptors:
            command = ["sh", "-c", f'ulimit -n {self.descriptors} && exec "$@"', "sh", *command]
        if self.sockets:
            command = [*passing(self.sockets), *command]
        environment = {**os.environ, **self.environment}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, pass_fds=[one.fileno() for _, one in self.sockets])
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def is_ready():
            if self.process.poll() is not None:
                raise WireError(f"serin ended with {self.process.returncode} before it was ready")
            try:
                return self.admin("GET", "/readyz").status == 200
            except OSError:
                return False

        wait_for(is_ready, "serin is ready", 15)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, patience_s=20):
        """SIGTERM, exit code 0, and nothing that a sanitizer objects to."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(patience_s * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.process = None
            raise WireError("serin did not end after SIGTERM") from None
        self.process = None
        found = SANITIZER.search(self.log())
        if found:
            raise WireError(f"in the log: {found.group(0)}")
        if code != 0:
            raise WireError(f"serin exited with {code}")

    def kill(self):
        """Ends the process as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def access_log(self):
        """The lines so far; one that is being written is none yet, for a reader may see half of a write."""
        with open(self.settings["access_log"]["path"], encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))

    def descriptor_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # --- talking to it -------------------------------------------------------------------------------------------
    def connect(self, name="client", transcript=None, port=None):
        sock = socket.create_connection(("127.0.0.1", port or self.port), 10 * SLOW)
        return Link(sock, name, transcript)

    def admin_connection(self):
        if self.admin_context is not None:
            return http.client.HTTPSConnection("127.0.0.1", self.admin_port, timeout=10 * SLOW, context=self.admin_context)
        return http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10 * SLOW)

    def admin(self, method, path, body=None, fields=None):
        """One admin request on a connection of its own; `body` is sent as JSON unless it is bytes."""
        connection = self.admin_connection()
        try:
            fields = dict(fields or {})
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
                fields.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            return AdminAnswer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def metrics(self):
        answer = self.admin("GET", "/metrics")
        if answer.status != 200:
            raise WireError(f"/metrics: {answer}")
        return Metrics(answer.body.decode())

    def service(self, name):
        answer = self.admin("GET", f"/api/v1/services/{name}")
        if answer.status != 200:
            raise WireError(f"service {name}: {answer}")
        return answer.json

    def conditions(self):
        """What the process says is wrong; that its ticks came late is left out: this machine is as busy as it is."""
        texts = self.admin("GET", "/api/v1/status").json["conditions"]
        return [text for text in texts if not text.startswith("control runs late")]

    def rollback_of(self, service):
        """The newest rollback record of a service, once it has ended and that is written: the phase is told before."""
        def ended():
            rows = self.admin("GET", "/api/v1/rollbacks").json["rollbacks"]
            return next((row for row in rows if row["service"] == service and row["status"] not in ("in_progress", "dry_run")), None)

        return wait_for(ended, "the rollback's record", 60)

    def events(self, service, kind):
        """The details of what the event stream has kept of this kind: all but the very first event of the process."""
        connection = self.admin_connection()
        try:
            connection.request("GET", "/api/v1/events", headers={"Last-Event-ID": "1"})
            response = connection.getresponse()
            found, name = [], None
            for line in iter(response.readline, b""):
                if line.startswith(b"event:"):
                    name = line[6:].strip().decode()
                    if name == "counters":
                        return found
                elif line.startswith(b"data:") and name == kind:
                    event = json.loads(line[5:])
                    if event.get("service") == service:
                        found.append(event.get("detail", event))
            raise WireError("the event stream ended")
        finally:
            connection.close()

    def set_weight(self, service, percent):
        """An operator's PUT on the revision that is in effect; gives the answer."""
        revision = self.admin("GET", f"/api/v1/services/{service}").fields["ETag"]
        return self.admin("PUT", f"/api/v1/services/{service}/weight", {"current": percent}, {"If-Match": revision})


def wait_for(question, what, patience_s=10, every_s=0.02):
    """Asks again and again until the answer is true, and gives it; TooLate says what never happened."""
    deadline = time.monotonic() + patience_s * SLOW
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TooLate(f"never happened within {patience_s * SLOW:.0f} s: {what}")
        time.sleep(every_s)

"""Starting, pinning, measuring and ending the processes of a bench.

Every process is started here, listens on loopback, and is ended by its own pid.
"""
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 5.0


class BenchError(Exception):
    """Something that makes a figure worthless; told to the user in one sentence."""


def free_ports(count):
    """Ports that nothing listens on now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def render(template, values, target):
    """Copies a template with every @name@ replaced; an unknown name left over is our own mistake."""
    text = Path(template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    Path(target).write_text(text)
    return str(target)


def cores():
    """The core of the proxy and the core of client and origin."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise BenchError("two cores are needed: one for the proxy, one for client and origin")
    return available[0], available[1]


def pinned(core, command):
    return ["taskset", "-c", str(core), *map(str, command)]


class Server:
    """A started server with its children, until stop(). Use it in a with statement."""

    def __init__(self, name, command, core, port, directory, environment=None):
        self.name = name
        self.log_path = Path(directory) / f"{name}.log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                pinned(core, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment)
        try:
            self._await_listening(port)
        except BenchError:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _await_listening(self, port):
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        last_lines = self.log_path.read_text(errors="replace").splitlines()[-1:]
        raise BenchError(f"{self.name} did not start: {''.join(last_lines) or 'no output'}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def pids(self):
        """The process and everything below it."""
        found, unseen = [], [self.process.pid]
        while unseen:
            pid = unseen.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                unseen += map(int, children.read_text().split())
        return found

    def cpu_seconds(self):
        """(user, system) that all threads of all its processes have used since they started."""
        user = system = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            user += int(fields[11])
            system += int(fields[12])
        return user / TICKS_PER_SECOND, system / TICKS_PER_SECOND

    def memory_kib(self):
        """(resident, private) of all its processes."""
        resident = private = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    resident += int(line.split()[1])
                elif line.startswith("Private_"):
                    private += int(line.split()[1])
        return resident, private

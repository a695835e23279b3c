"""The two sides of a measured rollback: Serin's admin API, and the program that is its clients and origins."""
import json
import re
import subprocess
from http.client import HTTPConnection, HTTPException

from harness.contenders import ROOT
from harness.processes import BenchError, cores, pinned

TRAFFIC = ROOT / "build/release/load/rollback_traffic"


class Admin:
    """Serin's admin API, over one connection."""

    def __init__(self, port):
        self.port = port
        self.connection = HTTPConnection("127.0.0.1", port, timeout=5)

    def read(self, path):
        try:
            self.connection.request("GET", path)
            answer = self.connection.getresponse()
            body = answer.read()
        except (HTTPException, OSError) as error:
            raise BenchError(f"admin {path}: {error}") from error
        if answer.status != 200:
            raise BenchError(f"admin {path}: status {answer.status}")
        return body.decode()

    def get(self, path):
        return json.loads(self.read(path))

    def rescues(self):
        """How many rescues ended how, as text."""
        found = re.findall(r'^serin_rescues_total\{.*?result="(\w+)".*?\} (\d+)', self.read("/metrics"), re.MULTILINE)
        return ", ".join(f"{name} {count}" for name, count in found if int(count)) or "none"

    def service(self):
        return self.get("/api/v1/status")["services"][0]

    def newest_record(self):
        records = self.get("/api/v1/rollbacks?limit=1")
        records = records.get("rollbacks", []) if isinstance(records, dict) else records
        return records[0] if records else {}


class Traffic:
    """The traffic program: two origins and the clients."""

    def __init__(self, play, healthy_s, proxy, previous, current):
        _, core = cores()
        command = [TRAFFIC, proxy, previous, current, play.rate, healthy_s, play.fail_ratio]
        self.process = subprocess.Popen(pinned(core, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "listening":
            raise BenchError("the traffic program did not start")

    def start(self):
        self.process.stdin.write("start\n")
        self.process.stdin.flush()

    def finish(self):
        out, _ = self.process.communicate(timeout=10)
        return json.loads(out)

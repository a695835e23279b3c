"""prometheus.py - a real Prometheus that scrapes a Serin of a play by the configuration that is shipped, and the
dashboard's queries as Grafana would send them."""

import http.client
import json
import math
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse

from serin import free_port, wait_for
from wire import SLOW

KIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "monitoring")
LOOKS_EVERY_S = int(2 * SLOW)  # and so long may a look take
# What Grafana puts in: every instance and service, and a window that a machine in trouble fills in time.
VARIABLES = {"$__rate_interval": "30m", "$__range": "1h", "$instance": ".*", "$service": ".*"}


def kit_file(name):
    with open(os.path.join(KIT, name), encoding="utf-8") as file:
        return file.read()


def dashboard_queries():
    """(what it is, expression) of each query of the dashboard, annotations too, with its variables filled in."""
    board = json.loads(kit_file("grafana-dashboard.json"))
    found = [(f"annotation {one['name']}", one["expr"]) for one in board["annotations"]["list"]]
    for panel in board["panels"]:
        found += [(f"panel {panel['title']} {one['refId']}", one["expr"]) for one in panel.get("targets", ())]
    return [(what, fill(expression)) for what, expression in found]


def fill(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable that nobody fills in: {expression}"
    return expression


class Prometheus:
    """The real one, on loopback, with a folder of its own: conf/monitoring/prometheus.yml, but for addresses and how
    often it looks."""

    def __init__(self, admin_port, alertmanager_port):
        self.folder = tempfile.mkdtemp(prefix="serin-prometheus-")
        self.port = free_port()
        shutil.copy(os.path.join(KIT, "serin.rules.yml"), self.folder)
        text = kit_file("prometheus.yml")
        for shipped, own in (("127.0.0.1:9901", f"127.0.0.1:{admin_port}"), (": 15s", f": {LOOKS_EVERY_S}s"),
                             ("127.0.0.1:9093", f"127.0.0.1:{alertmanager_port}")):
            assert shipped in text, shipped
            text = text.replace(shipped, own)
        path = os.path.join(self.folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        command = ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.folder}/data",
                   f"--web.listen-address=127.0.0.1:{self.port}"]
        if shutil.which("setpriv"):  # dies with the test, however the test dies
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_for(self.is_ready, "Prometheus is ready", 30)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * SLOW)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def is_ready(self):
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def query(self, expression):
        """(labels, value) of each sample; an error of the query is one of the play."""
        status, body = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        answer = json.loads(body)
        assert (status, answer.get("status")) == (200, "success"), f"{expression}: {status} {answer}"
        assert not answer.get("warnings"), f"{expression}: {answer['warnings']}"
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

    def numbers(self, expression):
        """The values that a panel can draw."""
        return [value for _, value in self.query(expression) if math.isfinite(value)]

    def wait_numbers(self, expression, what, patience_s=60):
        return wait_for(lambda: self.numbers(expression), what, patience_s, 0.2)

    def rules(self):
        """Every rule by its name, once all were evaluated."""
        def evaluated():
            groups = json.loads(self.get("/api/v1/rules")[1])["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            return rules and all(rule["health"] != "unknown" for rule in rules) and rules

        return wait_for(evaluated, "every rule is evaluated", 60, 0.2)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


MATCHER = re.compile(r'(\w+)\s*(=~|=)\s*"([^"]*)"')
SELECTOR = re.compile(r"(?<![\w:])(serin_\w+)\{([^}]*)\}")
OPEN_LABELS = {"instance", "service", "code", "job"}  # whose values are not Serin's own words


def named_values(expressions):
    """(metric, label, value) of all that selectors ask for by Serin's own words."""
    found = set()
    for expression in expressions:
        for metric, matchers in SELECTOR.findall(expression):
            for label, _, pattern in MATCHER.findall(matchers):
                if label not in OPEN_LABELS:
                    found.update((metric, label, value) for value in pattern.split("|"))
    return sorted(found)

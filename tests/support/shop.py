"""shop.py - a service whose configuration knows one version, under traffic, and two more that are started at run time."""

import subprocess

from load import Load, LoadOrigin
from play import SLOW, bare_environment, health, wait_for

RATE = int(300 / SLOW)
QUICK = {"steps": ["30%", "60%", "100%"], "min_time": "1s", "max_time": "10m", "bake": "1s"}
SLOWLY = {**QUICK, "min_time": "10m", "max_time": "1h", "bake": "10m"}
HEALTH = health(healthy=3, unhealthy=3, every_ms=200)
DONE, FAILED, USAGE, REFUSED, DENIED, TIMED_OUT = range(6)
TAGS = ("v1", "v2", "v3")


class Shop:
    """A service whose configuration knows one version, under traffic; three versions are there to be served."""

    def __init__(self, stage, rollout=QUICK, current=None, rollback=None, admin=None, admin_context=None, **service):
        self.stage, self.name = stage, stage.name
        self.origins = {tag: LoadOrigin(tag) for tag in TAGS}
        self.service = stage.service(rollout=rollout, rollback={"every": "200ms", **(rollback or {})}, **service,
                                     previous={"deployment": "v1", "endpoints": [self.url("v1")]})
        del self.service["weight"], self.service["current"]
        if current:
            self.service["current"] = {"deployment": current, "endpoints": [self.url(current)]}
        self.serin = stage.start_serin({"services": [self.service], "admin": admin or {}}, admin_context=admin_context)
        self.begin_load()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end_load()
        for origin in self.origins.values():
            origin.stop()

    def url(self, tag):
        return self.origins[tag].url

    def state(self):
        return self.serin.service(self.name)

    def versions(self):
        state = self.state()
        return tuple(state[role] and state[role]["deployment"] for role in ("current", "previous"))

    def wait_phase(self, phase, patience_s=90):
        wait_for(lambda: self.state()["phase"] == phase, f"the phase is {phase}", patience_s)

    def wait_weight(self, percent, patience_s=90):
        wait_for(lambda: self.state()["weight"]["set"] == percent, f"the weight is {percent}", patience_s)

    def begin(self, *words):
        """A client verb that runs."""
        environment = {**bare_environment(), "SERIN_ADMIN": f"http://127.0.0.1:{self.serin.admin_port}"}
        return subprocess.Popen([self.stage.binary, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def say(self, *words):
        """A client verb: exit code, standard output and error."""
        with self.begin(*words, "--service", self.name) as verb:
            try:
                out, err = verb.communicate(timeout=150 * SLOW)
            finally:
                verb.kill()
        self.stage.transcript.note("test", f"serin {' '.join(words)}: {verb.returncode}\n{out}{err}")
        return verb.returncode, out, err

    def start(self, tag, *words):
        return self.say("start", self.url(tag), "--deployment", tag, *words)

    def ask(self, body, fields=None):
        return self.serin.admin("POST", f"/api/v1/services/{self.name}/rollout", body, fields)

    def events(self):
        rows = self.serin.admin("GET", "/api/v1/audit?limit=500").json
        rows = rows if isinstance(rows, list) else rows["audit"]
        return [(row["action"], row["actor"]) for row in reversed(rows) if row["service"] == self.name]

    def wait_event(self, action):
        wait_for(lambda: action in [row[0] for row in self.events()], f"{action} is on record")

    def all_go_to(self, tag):
        """From some moment on."""
        tally, others = self.load.tally, [other for other in TAGS if other != tag]

        def is_so():
            before, seen = [tally.of(other) for other in others], tally.of(tag)
            wait_for(lambda: tally.of(tag) > seen + 100 / SLOW or [tally.of(other) for other in others] != before, "traffic flows", 30)
            return [tally.of(other) for other in others] == before

        wait_for(is_so, f"traffic goes to {tag} alone", 30)

    def begin_load(self):
        self.load = Load(self.serin.port, self.stage.host, connections=8, rate=RATE, tags=TAGS)
        self.load.start()

    def end_load(self):
        self.load._ended.set()
        self.load.join(20)

    def crash(self):
        """kill -9, and a start after it; the clients come back too."""
        self.end_load()
        self.serin.kill()
        self.serin.start()
        self.begin_load()

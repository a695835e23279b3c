"""pairs.py - plays that hold for every pair of protocols: what clients speak, and what origins speak.

    @scenario(weight="100%")
    def bodies_pass(pair):
        pair.canary.handle = ...
        expect(pair.caller().ask().status, 200, "status")

makes a case for each pair, named FRONT_BACK_SCENARIO. All cases of a file share one proxy, which listens with and without
TLS; each has a service and two origins of its own."""

import atexit
import collections
import os
import shutil
import tempfile
import threading

from answerers import Answerer
from callers import FRONTS, HOST_IN_TLS, Caller, is_http2, is_sealed
from certificates import Authority
from play import SLOW, add_case, free_port, wait_for
from sealed import Sealed, server_context

BACKS = ("h1", "h1s", "h2c", "h2s")
HTTP1 = ("h1", "h1s")
PARALLEL = 8
_kit = []


class Kit:
    """What all cases of a process share: certificates, and where to find the proxy."""

    def __init__(self):
        folder = tempfile.mkdtemp(prefix="serin-pairs-")
        atexit.register(shutil.rmtree, folder, True)
        self.authority = Authority(os.path.join(folder, "certificates"))
        self.front = self.authority.make("front", f"DNS:{HOST_IN_TLS}")
        self.back = self.authority.make("back", "DNS:localhost")
        self.stranger = self.authority.make("stranger", "DNS:elsewhere.test")

    def listen(self):
        """Two listeners, and their ports by whether there is TLS."""
        ports = {False: free_port(), True: free_port()}
        return ports, [{"address": f"127.0.0.1:{ports[False]}", "http2": "on"},
                       {"address": f"127.0.0.1:{ports[True]}", "tls": [self.front]}]


def kit():
    if not _kit:
        _kit.append(Kit())
    return _kit[0]


class Pair:
    """What a scenario plays on."""

    def __init__(self, stage, front, back):
        self.stage, self.front, self.back, self.name = stage, front, back, stage.name
        self.stable, self.canary = stage.answerers
        self.ports = stage.ports

    @property
    def serin(self):
        return self.stage.serin

    def caller(self):
        context = kit().authority.context(protocols=["h2" if is_http2(self.front) else "http/1.1"])
        return Caller(self.stage, self.front, self.ports, context)

    def ledger(self, role="current"):
        """Requests and failures as the judge counts them, and bad answers that clients saw."""
        version = self.serin.service(self.name)[role]
        return version["requests"], version["failures"], version["client_bad"]

    def wait_ledger(self, *wanted, role="current"):
        wait_for(lambda: self.ledger(role) == wanted, f"the ledger of {role} is {wanted}")

    def failures(self, role="current"):
        return self.stage.failures(role)

    def metrics(self):
        return self.serin.metrics()

    def wait_over(self):
        wait_for(lambda: self.metrics().sum("serin_requests_in_flight", service=self.name) == 0, "nothing is in flight")


def _prepare(stage, back, ports):
    """Puts the stage's origins behind what this back means, before its service is written."""
    stage.ports, stage.answerers, stage.seals = ports, [], []
    for origin, name in ((stage.origin, "stable"), (stage.canary, "canary")):
        answerer = Answerer(origin, name)
        origin.play = answerer.play_http2 if is_http2(back) else answerer.play
        if is_sealed(back):
            play, origin.scheme, origin.host = origin.play, "https", "localhost"
            stage.seals.append(Sealed(origin, server_context(kit().back, ["h2" if is_http2(back) else "http/1.1"])))
            stage.seals[-1].plays(play)
        stage.answerers.append(answerer)


_listeners = {}


def _proxy(back, timeouts):
    """Settings of the proxy of these cases, and its ports. What one tells of all its services is long, so each kind of
    origin has its own."""
    key = f"{back} {timeouts}"
    if key not in _listeners:
        _listeners[key] = kit().listen()
    ports, listen = _listeners[key]
    return ports, {"listen": listen, "timeouts": {"connect": "60s", "response_header": "60s", **(timeouts or {})}}


def scenario(fronts=FRONTS, backs=BACKS, timeouts=None, **service):
    """Makes a function of a Pair a case for each pair. `timeouts` are the proxy's; the rest is the service's."""

    def register(function):
        for back in backs:
            ports, proxy = _proxy(back, timeouts)
            changes = {"host": "keep", "origin_http2": "always" if is_http2(back) else "off", **service}
            if is_sealed(back):
                changes["origin_tls"] = {"ca": kit().authority.path("ca.pem")}
            for front in fronts:
                add_case(lambda stage, f=front, b=back: function(Pair(stage, f, b)), f"{front}_{back}_{function.__name__}", changes,
                         proxy, prepare=lambda stage, b=back, p=ports: _prepare(stage, b, p))
        return function

    return register


class Crowd:
    """Some callers that ask again and again until stop()."""

    def __init__(self, pair, count=2, method="GET"):
        self.pair, self.method = pair, method
        self.seen = collections.Counter()  # by (status, body)
        self._lock, self._ended = threading.Lock(), threading.Event()
        self.trouble = []
        self._threads = [threading.Thread(target=self._run, args=(pair.caller(),), daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, caller):
        try:
            while not self._ended.wait(0.02 * SLOW):
                told = caller.ask(self.method, body=b"order" if self.method == "POST" else None)
                with self._lock:
                    self.seen[(told.status, told.body.decode("latin-1"))] += 1
        except Exception as error:
            self.trouble.append(repr(error))

    def of(self, body):
        with self._lock:
            return sum(count for (_, text), count in self.seen.items() if text == body)

    def stop(self):
        self._ended.set()
        for thread in self._threads:
            thread.join(60 * SLOW)
        if self.trouble:
            raise AssertionError(f"the crowd's trouble: {self.trouble}")
        return dict(self.seen)

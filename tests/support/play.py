"""play.py - runs the cases of one end-to-end test file.

A case is a function of a Stage. Each case has a service of its own (host `<case>.test`), a stable and a canary
origin of its own, and shares the proxy with the other cases of the file that want the same settings; so what it
counts by service is its own. Names are the behaviour they protect.

    @case(service={"host": "origin"})
    def host_is_the_origins_own_when_asked_for(stage): ...

    if __name__ == "__main__":
        run(__file__)

Usage: test_x.py SERIN [-v] [NAME...]. Quiet on success; a failing case prints its name, why, every byte that was
exchanged and the proxy's log."""

import concurrent.futures
import json
import os
import shutil
import sys
import tempfile
import time
import traceback

from http2 import Http2
from origin import Origin
from serin import Metrics, Serin, bare_environment, free_port, report_into, reports_in, wait_for
from wire import (SLOW, Closed, Link, Malformed, Reset, TooLate, Transcript, WireError, answer, chunked,
                  parse_response_head)

__all__ = ["case", "add_case", "run", "expect", "Stage", "Serin", "Origin", "Link", "Metrics", "Malformed", "TooLate",
           "WireError", "Closed", "Reset", "answer", "chunked", "parse_response_head", "free_port", "wait_for", "SLOW",
           "Transcript", "bare_environment", "health"]

_cases = []
LOG_LINES_MAX = 150
REPORT_MAX = 20000
# What a case's service is unless it says otherwise: no help that would hide what the origin did.
PLAIN_SERVICE = {"paths": ["/"], "weight": "0%", "sticky": {"by": "none"}, "health": "off",
                 "outlier": "off", "rescue": "off"}


class _Case:
    def __init__(self, function, name, service, proxy, starts_proxy, prepare, process):
        self.function, self.name = function, name
        self.service, self.proxy, self.starts_proxy = service, proxy, starts_proxy
        self.prepare, self.process = prepare, process

    def stage(self, binary, folder):
        stage = Stage(self.name, binary, folder)
        if self.prepare:
            self.prepare(stage)
        return stage


def add_case(function, name, service=None, proxy=None, starts_proxy=True, prepare=None, **process):
    """Adds a case by hand: for tables. `proxy` are settings, `process` arguments of Serin (workers, descriptors). What is
    to be done with a stage before its service is written does `prepare`."""
    _cases.append(_Case(function, name, service or {}, proxy or {}, starts_proxy, prepare, process))


def case(service=None, proxy=None, starts_proxy=True, **process):
    """Makes a function a case. With starts_proxy=False the case starts (and the stage stops) its own."""

    def register(function):
        add_case(function, function.__name__, service, proxy, starts_proxy, **process)
        return function

    return register


def health(healthy=1, unhealthy=2, every_ms=500):
    """Health checks of /up that a busy machine passes in time."""
    every = f"{int(every_ms * SLOW)}ms"
    return {"path": "/up", "interval": every, "timeout": every, "healthy": healthy, "unhealthy": unhealthy}


def expect(real, wanted, what):
    if real != wanted:
        raise AssertionError(f"{what}: {real!r}, wanted {wanted!r}")


class Stage:
    """What a case plays on."""

    def __init__(self, name, binary, folder):
        self.name = name.replace("_", "-")[:63]
        self.host = f"{self.name[:58].strip('-')}.test"
        self.binary, self.folder = binary, folder
        self.transcript = Transcript()
        self.origin = Origin(self.transcript, "origin")
        self.canary = Origin(self.transcript, "canary")
        self.serin = None
        self.everything_else = None  # the stage whose service takes hosts that no case has, if the file wants one
        self._own = []
        self._links = []
        self.expects_origin_failures = False

    def service(self, **changes):
        """The case's service as configured; both versions present, all weight on the stable one. Latency is judged
        only where it is the subject: on a busy machine either origin may lag."""
        rollback = {"max_bad_responses": "off", "latency": "off", **changes.pop("rollback", {})}
        return {"name": self.name, "hosts": [self.host], **PLAIN_SERVICE, "rollback": rollback,
                "previous": {"deployment": "stable", "endpoints": [self.origin.url]},
                "current": {"deployment": "canary", "endpoints": [self.canary.url]}, **changes}

    def start_serin(self, settings=None, wait=True, name="serin", **process):
        """A proxy of the case's own. Stopped (and its exit checked) at the end of the case."""
        folder = os.path.join(self.folder, self.name)
        os.makedirs(folder, exist_ok=True)
        settings = dict(settings or {})
        settings.setdefault("services", [self.service()])
        serin = Serin(self.binary, folder, settings, name=name, **process)
        self._own.append(serin)
        self.serin = serin
        return serin.start(wait)

    def connect(self, name="client", port=None):
        link = self.serin.connect(name, self.transcript, port)
        self._links.append(link)
        return link

    def request(self, method="GET", target="/", fields=(), body=b"", host=None, version="HTTP/1.1"):
        """The bytes of a request to this case's service."""
        lines = [f"{method} {target} {version}", f"Host: {host or self.host}", *fields]
        if body and not any(line.lower().startswith("transfer-encoding") for line in fields):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def http2(self, **more):
        """A connection in HTTP/2, frame by frame."""
        return Http2(self.connect(), **more)

    def ask(self, method="GET", target="/", fields=(), body=b"", **more):
        """One request on a connection of its own."""
        link = self.connect()
        link.send(self.request(method, target, fields, body, **more))
        response = link.read_response(method)
        link.close()
        return response

    def rejected(self):
        """Refusals so far, by reason, of the whole proxy."""
        return self.serin.metrics().by("serin_rejected_requests_total", "reason")

    def failures(self, role="previous"):
        return self.serin.metrics().by("serin_upstream_failures_total", "kind", service=self.name, role=role)

    def finish(self, has_failed):
        for link in self._links:
            link.close()
        try:
            for serin in self._own:
                serin.kill() if has_failed else serin.stop()
        finally:
            for serin in self._own:
                serin.kill()
            self.origin.stop()
            self.canary.stop()
        for serin in self._own:
            if "CHECK failed" in serin.log():
                raise AssertionError("a CHECK failed:\n" + serin.log()[-20000:])
        failures = self.origin.failures + self.canary.failures
        if failures and not self.expects_origin_failures and not has_failed:
            raise AssertionError("an origin objects:\n" + "\n".join(failures))

    def logs(self):
        return "\n".join(serin.log() for serin in self._own or ([self.serin] if self.serin else []))


def _perform(one, stage):
    start = time.monotonic()
    error = None
    try:
        one.function(stage)
    except Exception:
        error = traceback.format_exc()
    try:
        stage.finish(error is not None)
    except Exception:
        error = error or traceback.format_exc()
    if error and (stage.origin.failures or stage.canary.failures):
        error += "\norigins: " + "\n".join(stage.origin.failures + stage.canary.failures)
    return one, stage, error, time.monotonic() - start


def _report(one, stage, error):
    print(f"\n=== FAILED: {one.name}\n{error}\n--- bytes exchanged\n{stage.transcript.text()}")
    lines = stage.logs().splitlines()
    print("--- serin's log\n" + "\n".join(lines[-LOG_LINES_MAX:]), flush=True)


def _run_group(cases, binary, folder, parallel, catch_all, results):
    """All cases that share a proxy."""
    stages = [one.stage(binary, folder) for one in cases]
    serin = None
    if cases[0].starts_proxy:
        services = [stage.service(**one.service) for one, stage in zip(cases, stages)]
        rest = Stage("everything_else", binary, folder) if catch_all else None
        if rest:
            services.append(rest.service(hosts=["*"]))
            for stage in stages:
                stage.everything_else = rest
        settings = {**cases[0].proxy, "services": services}
        shared = tempfile.mkdtemp(dir=folder)
        serin = Serin(binary, shared, settings, **cases[0].process)
        try:
            serin.start()
        except WireError:
            print(f"=== FAILED: serin does not start\n{traceback.format_exc()}\n{serin.log()}", flush=True)
            serin.kill()
            results.extend((one, "no proxy", 0.0) for one in cases)
            return
        for stage in stages:
            stage.serin = serin
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        for one, stage, error, seconds in pool.map(_perform, cases, stages):
            if error:
                _report(one, stage, error)
            results.append((one, error, seconds))
    if serin:
        try:
            serin.stop()
        except WireError as error:
            print(f"=== FAILED: stopping serin: {error}\n{serin.log()[-20000:]}", flush=True)
            results.append((cases[0], "stop", 0.0))


def _report_sanitizers(folder):
    """Prints what sanitizers objected to; gives whether they did."""
    texts = reports_in(folder)
    for text in texts:
        print(f"=== FAILED: a sanitizer reports\n{text[:REPORT_MAX]}", flush=True)
    return bool(texts)


def run(path, parallel=1, catch_all=False):
    """Runs the cases named on the command line, or all; exits 0 when all passed. With `parallel` so many at a time:
    only for files whose cases count nothing that is not their own service's. With `catch_all` hosts that are no
    case's go to a service of their own, stage.everything_else."""
    arguments = [argument for argument in sys.argv[1:] if argument != "-v"]
    is_verbose = "-v" in sys.argv
    if not arguments:
        sys.exit(__doc__)
    binary, wanted = os.path.abspath(arguments[0]), arguments[1:]
    groups = {}
    for one in _cases:
        if wanted and not any(name in one.name for name in wanted):
            continue
        key = json.dumps([one.proxy, one.process], sort_keys=True) if one.starts_proxy else one.name
        groups.setdefault(key, []).append(one)
    folder, reports = tempfile.mkdtemp(prefix="serin-e2e-"), tempfile.mkdtemp(prefix="serin-reports-")
    report_into(reports)
    results = []
    start = time.monotonic()
    for cases in [group for group in groups.values() if group[0].starts_proxy]:
        _run_group(cases, binary, folder, parallel, catch_all, results)
    alone = [group[0] for group in groups.values() if not group[0].starts_proxy]
    if alone:
        _run_group(alone, binary, folder, parallel, False, results)
    failed = [one.name for one, error, _ in results if error]
    if _report_sanitizers(reports):
        failed.append("sanitizers")
    if is_verbose:
        for one, error, seconds in results:
            print(f"{'FAILED' if error else 'ok':<7} {seconds:6.2f} s  {one.name}")
    print(f"{os.path.basename(path)}: {sum(not error for _, error, _ in results)} of {len(results)} cases passed"
          f" in {time.monotonic() - start:.1f} s")
    if failed:
        print("failed: " + ", ".join(failed))
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(reports, ignore_errors=True)
    sys.exit(1 if failed or not results else 0)

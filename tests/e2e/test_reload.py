"""Reload and drain: what is under way ends well, and a bad file changes nothing."""

import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, Closed, Link, answer, case, expect, free_port, run, wait_for  # noqa: E402


def reload(stage, settings=None, text=None):
    """Writes the file, sends SIGHUP and waits until it was taken or refused (the log says which)."""
    serin = stage.serin
    if settings is not None:
        serin.change(settings)
    if text is not None:
        serin.write_text(text)
    mark = len(serin.log())
    stamp = serin.metrics().sum("serin_config_last_reload_success_timestamp_seconds")
    serin.signal(signal.SIGHUP)

    def is_done():
        now = serin.metrics().sum("serin_config_last_reload_success_timestamp_seconds")
        return now != stamp or "reload" in serin.log()[mark:].lower() or "config" in serin.log()[mark:].lower()

    wait_for(is_done, "the reload is done or refused")
    return serin.log()[mark:]


@case(starts_proxy=False)
def reload_under_load_drops_nothing(stage):
    stable, canary = LoadOrigin("stable"), LoadOrigin("canary")
    try:
        service = stage.service(weight="10%", previous={"deployment": "s", "endpoints": [stable.url]},
                                current={"deployment": "c", "endpoints": [canary.url]})
        stage.start_serin({"services": [service]}, workers=2)
        load = Load(stage.serin.port, stage.host, connections=32, per_connection=20)
        load.start()
        for number in range(15):
            wait_for(lambda: load.tally.total >= 200 * number / SLOW or not load.is_alive(), "traffic flows")
            reload(stage, {"services": [{**service, "paths": ["/", f"/p{number}"]}]})
        tally = load.stop()
        expect((dict(tally.errors), set(tally.statuses)), ({}, {200}), "errors and statuses")
        expect(tally.total, stage.serin.metrics().sum("serin_requests_total", service=stage.name, code=200), "counted")
    finally:
        stable.stop()
        canary.stop()


@case(starts_proxy=False)
def bad_file_leaves_everything_as_it_was(stage):
    stage.start_serin()
    for text in ("services: [", "nonsense: 1\n", "", "services: []\n", "workers: -1\n", "\x00\x01"):
        log = reload(stage, text=text)
        expect(stage.ask().status, 200, f"after {text!r}")
        expect(stage.serin.config_path.rsplit("/", 1)[1] in log, True, f"the log names the file: {log!r}")
    reload(stage, {})
    expect(stage.ask().status, 200, "after a good one")


@case(starts_proxy=False)
def services_come_and_go(stage):
    stage.start_serin()
    stage.origin.reply = lambda request: answer(body=request.get("Host").encode())
    more = {**stage.service(), "name": "more", "hosts": ["more.test"]}
    expect(stage.ask(host="more.test").status in (404, 421), True, "not there yet")
    reload(stage, {"services": [stage.service(), more]})
    wait_for(lambda: stage.ask(host="more.test").status == 200, "the new service answers")
    names = [one["name"] for one in stage.serin.admin("GET", "/api/v1/status").json["services"]]
    expect(sorted(names), sorted([stage.name, "more"]), "services in the status")
    reload(stage, {"services": [stage.service()]})
    wait_for(lambda: stage.ask(host="more.test").status in (404, 421), "it is gone")
    expect(stage.ask().status, 200, "the other one is there")


@case(starts_proxy=False)
def listeners_come_and_go(stage):
    serin = stage.start_serin()
    port = free_port()
    old, new = {"address": f"127.0.0.1:{serin.port}"}, {"address": f"127.0.0.1:{port}"}
    kept = stage.connect()
    kept.send(stage.request())
    expect(kept.read_response().status, 200, "status")
    reload(stage, {"listen": [old, new]})

    def answers_at(number):
        try:
            link = stage.connect(port=number)
        except OSError:
            return False
        try:
            link.send(stage.request())
            return link.read_response().status == 200
        except Closed:
            return False
        finally:
            link.close()

    wait_for(lambda: answers_at(port), "the new listener answers")
    expect(answers_at(serin.port), True, "the old one answers")
    reload(stage, {"listen": [new]})
    wait_for(lambda: not answers_at(serin.port), "the old one is gone")
    expect(answers_at(port), True, "the new one answers")
    try:
        kept.send(stage.request())
        expect(kept.read_response().status, 200, "a connection of the old listener is served")
    except Closed:
        raise AssertionError("the connection of a removed listener was dropped") from None


@case(starts_proxy=False)
def long_answer_survives_reloads(stage):
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        for number in range(10):
            wait_for(lambda: len(steps) > number, "the next step")
            link.send("ab")

    steps = []
    stage.origin.play = play
    stage.start_serin()
    link = stage.connect()
    link.send(stage.request())
    head = link.read_response_head()
    for number in range(10):
        reload(stage, {"services": [stage.service(paths=["/", f"/{number}"])]})
        steps.append(number)
    link.read_body(head)
    expect(head.body, b"ab" * 10, "body")


@case(starts_proxy=False)
def moved_endpoint_takes_the_traffic(stage):
    stage.start_serin()
    stage.origin.reply, stage.canary.reply = answer(body=b"old"), answer(body=b"new")
    expect(stage.ask().body, b"old", "before")
    moved = stage.service(previous={"deployment": "stable-2", "endpoints": [stage.canary.url]},
                          current={"deployment": "canary", "endpoints": [stage.origin.url]})
    reload(stage, {"services": [moved]})
    wait_for(lambda: stage.ask().body == b"new", "the new endpoint answers")


# --- SIGTERM ----------------------------------------------------------------------------------------------------------
@case(starts_proxy=False)
def drain_lets_requests_in_flight_end(stage):
    release = threading.Event()
    stage.origin.reply = lambda request: release.wait(20 * SLOW) and answer(body=b"whole")
    serin = stage.start_serin({"timeouts": {"drain": f"{int(20 * SLOW)}s"}})
    link, idle = stage.connect(), stage.connect("idle")
    idle.send(stage.request(host="nobody.test"))
    idle.read_response()
    link.send(stage.request())
    stage.origin.wait_requests(1)
    serin.signal(signal.SIGTERM)
    idle.expect_closed(may_reset=False)

    def is_refused():
        try:
            Link(socket.create_connection(("127.0.0.1", serin.port), 5), "late", stage.transcript).close()
            return False
        except ConnectionRefusedError:
            return True

    wait_for(is_refused, "new connections are refused")
    release.set()
    response = link.read_response()
    expect((response.body, (response.get("Connection") or "").lower()), (b"whole", "close"), "answer")
    link.expect_closed()
    expect(serin.process.wait(10 * SLOW), 0, "exit code")


@case(starts_proxy=False)
def drain_has_a_deadline(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), link.read_to_end(60 * SLOW))
    serin = stage.start_serin({"timeouts": {"drain": f"{int(500 * SLOW)}ms"}})
    link = stage.connect()
    link.send(stage.request())
    stage.origin.wait_requests(1)
    serin.signal(signal.SIGTERM)
    expect(serin.process.wait(10 * SLOW), 0, "exit code")
    try:
        link.read_to_end()
    except Closed:
        pass


@case(starts_proxy=False)
def drain_ends_a_tunnel_at_its_deadline(stage):
    stage.origin.play = lambda link: (
        stage.origin.read(link),
        link.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        link.read_to_end(60 * SLOW))
    serin = stage.start_serin({"timeouts": {"drain": f"{int(500 * SLOW)}ms"}})
    link = stage.connect()
    link.send(stage.request(fields=["Connection: Upgrade", "Upgrade: x"]))
    expect(link.read_response().status, 101, "status")
    serin.signal(signal.SIGTERM)
    link.expect_closed()
    expect(serin.process.wait(10 * SLOW), 0, "exit code")


@case(starts_proxy=False)
def drain_delay_still_serves_while_not_ready(stage):
    serin = stage.start_serin({"timeouts": {"drain_delay": f"{int(1500 * SLOW)}ms"}})
    serin.signal(signal.SIGTERM)
    wait_for(lambda: serin.admin("GET", "/readyz").status == 503, "readyz says no")
    expect(serin.admin("GET", "/healthz").status, 200, "healthz")
    expect(stage.ask().status, 200, "a new connection is served")
    expect(serin.process.wait(20 * SLOW), 0, "exit code")


@case(starts_proxy=False)
def drain_under_load_drops_nothing(stage):
    stable = LoadOrigin("stable")
    try:
        stable.order(delay_ms=20)
        service = stage.service(previous={"deployment": "s", "endpoints": [stable.url]})
        serin = stage.start_serin({"services": [service]}, workers=2)
        load = Load(serin.port, stage.host, connections=32)
        load.start()
        wait_for(lambda: load.tally.total > 300 / SLOW, "traffic flows")
        serin.signal(signal.SIGTERM)
        code = serin.process.wait(20 * SLOW)
        time.sleep(0.1)
        load.trouble = None
        load._ended.set()
        load.join(10)
        lost = {what: count for what, count in load.tally.errors.items() if not what.startswith("connect ")}
        expect((code, lost, set(load.tally.statuses)), (0, {}, {200}), "exit code, lost requests, statuses")
    finally:
        stable.stop()


@case(starts_proxy=False)
def second_sigterm_ends_at_once(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), link.read_to_end(60 * SLOW))
    serin = stage.start_serin({"timeouts": {"drain": "600s"}})
    link = stage.connect()
    link.send(stage.request())
    stage.origin.wait_requests(1)
    serin.signal(signal.SIGTERM)
    wait_for(lambda: serin.process.poll() is not None or serin.signal(signal.SIGTERM), "it ends")


if __name__ == "__main__":
    run(__file__)

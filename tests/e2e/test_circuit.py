"""Limits of a version: what is beyond them goes elsewhere at once, and is nobody's failure."""

import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from http2 import MAX_CONCURRENT_STREAMS  # noqa: E402
from http2_origin import Http2Origin  # noqa: E402
from play import Origin, answer, case, expect, run, wait_for  # noqa: E402

ALWAYS = {"rescue": {"budget": "100%"}}


class Gate:
    """An origin that answers only when it is opened."""

    def __init__(self, origin, body=b"ok"):
        self.origin, self.opened = origin, threading.Event()
        self.body = body
        origin.reply = self.reply

    def reply(self, _request):
        self.opened.wait(120)
        return answer(body=self.body)


def overflows(stage, **labels):
    return stage.serin.metrics().by("serin_circuit_overflows_total", "limit", service=stage.name, **labels)


def hold(stage, count, origin=None):
    """So many requests that are under way at the origin."""
    links = []
    for _ in range(count):
        link = stage.connect()
        link.send(stage.request())
        links.append(link)
    (origin or stage.origin).wait_requests(count, 30)
    return links


def release(gate, links):
    gate.opened.set()
    return [link.read_response().status for link in links]


@case(service={"circuit": {"requests": 2}}, workers=1)
def requests_beyond_the_limit_get_a_503_at_once(stage):
    gate = Gate(stage.origin)
    links = hold(stage, 2)
    response = stage.ask()
    expect((response.status, response.get("Retry-After")), (503, "1"), "the third")
    expect(release(gate, links), [200, 200], "those under way")
    expect(stage.ask().status, 200, "there is room again")
    expect(overflows(stage), {"requests": 1}, "overflows")
    expect(stage.rejected()["circuit"] >= 1, True, "counted as ours")
    expect(stage.failures(), {}, "failures of the version")
    expect(len(stage.origin.requests), 3, "requests that the origin saw")


@case(service={"circuit": {"connections": 2}}, workers=1)
def connections_are_limited_and_used_again(stage):
    gate = Gate(stage.origin)
    links = hold(stage, 2)
    expect(stage.ask().status, 503, "no third connection")
    expect(release(gate, links), [200, 200], "those under way")
    expect([stage.ask().status for _ in range(5)], [200] * 5, "on the connections that there are")
    expect(overflows(stage), {"connections": 1}, "overflows")
    expect(len(stage.origin.links), 2, "connections")


@case(service={"circuit": {"connections": 1}, "origin_http2": "always"}, proxy={"timeouts": {"connect": "60s"}}, workers=1)
def who_waited_in_vain_makes_no_connection_beyond(stage):
    """Three wait for one connection, which turns out to carry one request at a time."""
    back = Http2Origin(stage.origin, [(MAX_CONCURRENT_STREAMS, 1)])
    greets = threading.Event()
    perform = stage.origin.play

    def greet_late(link):
        greets.wait(120)
        perform(link)

    stage.origin.play = greet_late
    links = []
    for _ in range(3):
        link = stage.connect()
        link.send(stage.request())
        links.append(link)
    wait_for(lambda: stage.serin.metrics().sum("serin_requests_in_flight", service=stage.name) == 3, "all three wait")
    greets.set()
    expect(sorted(link.read_response().status for link in links), [200, 503, 503], "one is carried")
    expect(overflows(stage), {"connections": 2}, "overflows")
    expect(len(back.served), 1, "connections")
    expect(stage.failures(), {}, "failures of the version")
    expect(stage.ask().status, 200, "there is room again")


@case(starts_proxy=False)
def an_idle_connection_makes_room_for_another_endpoint(stage):
    other = Origin(stage.transcript, "other")
    try:
        previous = {"deployment": "stable", "endpoints": [stage.origin.url, other.url]}
        stage.start_serin({"services": [stage.service(previous=previous, circuit={"connections": 1})]}, workers=1)
        for _ in range(20):
            expect(stage.ask().status, 200, "status")
        expect(len(stage.origin.requests) > 0 and len(other.requests) > 0, True, "both were asked")
        expect(overflows(stage), {}, "overflows")
    finally:
        other.stop()


@case(starts_proxy=False)
def requests_that_wait_for_a_connection_are_limited(stage):
    """A listener whose queue is full accepts nobody: those who connect to it wait."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        fillers.append(filler)
    previous = {"deployment": "stable", "endpoints": [f"http://127.0.0.1:{full.getsockname()[1]}"]}
    stage.start_serin({"timeouts": {"connect": "60s"}, "services": [stage.service(previous=previous, circuit={"pending": 1})]},
                      workers=1)
    waiting = stage.connect()
    waiting.send(stage.request())
    in_flight = lambda: stage.serin.metrics().sum("serin_requests_in_flight", service=stage.name)  # noqa: E731
    wait_for(lambda: in_flight() == 1, "the first waits")
    expect(stage.ask().status, 503, "the second does not")
    expect(overflows(stage), {"pending": 1}, "overflows")
    waiting.reset()
    wait_for(lambda: in_flight() == 0, "nobody waits")
    again = stage.connect()
    again.send(stage.request())
    wait_for(lambda: in_flight() == 1, "there is room again")
    expect(overflows(stage), {"pending": 1}, "overflows")
    again.reset()
    for sock in [full, *fillers]:
        sock.close()


@case(service={"circuit": {"requests": 1}, "weight": "100%", **ALWAYS}, workers=1)
def the_stable_version_answers_for_a_canary_that_is_full(stage):
    gate = Gate(stage.canary)
    links = hold(stage, 1, stage.canary)
    stage.origin.reply = answer(body=b"stable")
    response = stage.ask()
    expect((response.status, response.body), (200, b"stable"), "rescued")
    expect(stage.ask("POST", body=b"x").status, 503, "what cannot be rescued")
    expect(release(gate, links), [200], "what was under way")
    expect(overflows(stage, role="current"), {"requests": 2}, "overflows")
    metrics = stage.serin.metrics()
    expect(metrics.by("serin_upstream_requests_total", "code", service=stage.name, role="current"), {"200": 1}, "attempts")
    expect(stage.failures("current"), {}, "failures of the canary")
    expect(metrics.sum("serin_rescues_total", service=stage.name, result="success"), 1, "rescues")
    wait_for(lambda: stage.serin.service(stage.name)["current"]["requests"] == 1, "the judge has the one good answer")
    canary = stage.serin.service(stage.name)["current"]
    expect((canary["requests"], canary["failures"]), (1, 0), "requests and failures as the judge counts them")


@case(service={"circuit": {"requests": 1}, "weight": "50%"}, workers=1)
def each_version_has_its_own(stage):
    gates = [Gate(stage.origin), Gate(stage.canary)]
    links = [stage.connect() for _ in range(2)]
    for link in links:
        link.send(stage.request())
    stage.origin.wait_requests(1, 30)
    stage.canary.wait_requests(1, 30)
    expect([stage.ask().status for _ in range(4)], [503] * 4, "both are full")
    for gate in gates:
        gate.opened.set()
    expect([link.read_response().status for link in links], [200, 200], "those under way")
    expect((overflows(stage, role="current"), overflows(stage, role="previous")), ({"requests": 2}, {"requests": 2}), "overflows")


@case(service={"circuit": {"requests": 2}}, workers=1)
def clients_that_go_leave_room(stage):
    gate = Gate(stage.origin)
    for link in hold(stage, 2):
        link.reset()
    wait_for(lambda: stage.serin.metrics().sum("serin_requests_in_flight", service=stage.name) == 0, "they are gone")
    links = []
    for _ in range(2):
        link = stage.connect()
        link.send(stage.request())
        links.append(link)
    expect(release(gate, links), [200, 200], "there was room")
    expect(overflows(stage), {}, "overflows")


if __name__ == "__main__":
    run(__file__)

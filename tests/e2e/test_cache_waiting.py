"""Requests that wait while another one fetches what they want (`cache: {mode: full}`): what wakes them, and how they go on."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, case, expect, run, wait_for  # noqa: E402
from wire import answer  # noqa: E402

PAGE = "/page"
FULL = {"cache": {"mode": "full"}}
FRESH = ["Cache-Control: max-age=600"]


class Gate:
    """An origin that holds its answer to PAGE back until it is opened, and answers all else at once."""

    def __init__(self, origin, held):
        self.origin, self.held = origin, held
        self.is_asked, self.is_open = threading.Event(), threading.Event()
        origin.play = self.play

    def play(self, link):
        link.patience_s = 600
        while True:
            request = self.origin.read(link)
            if request.target == PAGE:
                self.is_asked.set()
                self.is_open.wait(60 * SLOW)
                link.send(self.held)
            else:
                link.send(answer(200, b"something else", FRESH))

    def wait_asked(self):
        expect(self.is_asked.wait(30 * SLOW), True, "the first request is at the origin")


def results(stage, result):
    return int(stage.serin.metrics().sum("serin_cache_requests_total", service=stage.name, result=result))


def wait_in_flight(stage, count):
    wait_for(lambda: stage.serin.metrics().sum("serin_requests_in_flight", service=stage.name) == count, f"{count} in flight", 30)


@case(service=FULL, workers=1)
def next_request_of_a_connection_that_waited_is_one_of_its_own(stage):
    gate = Gate(stage.origin, answer(200, b"the page", FRESH))
    first, other = stage.connect(), stage.connect("other")
    first.send(stage.request(target=PAGE))
    gate.wait_asked()
    other.send(b"".join(stage.request(target=target) for target in (PAGE, "/1", PAGE, "/2")))
    wait_in_flight(stage, 2)
    gate.is_open.set()
    expect(first.read_response().body, b"the page", "who fetched it")
    bodies = [other.read_response().body for _ in range(4)]
    expect(bodies, [b"the page", b"something else"] * 2, "who waited, and what came behind")
    for _ in range(3):
        expect(stage.ask(target=PAGE).body, b"the page", "what is kept")
    expect(stage.serin.service(stage.name)["cache"]["entries"], 3, "entries")


def requests_for(stage, target):
    return [request for request in stage.origin.requests if request.target == target]


@case(service=FULL, workers=1)
def answer_that_is_for_one_client_alone_is_not_waited_for_to_its_end(stage):
    """Its head says that everybody has to ask anyway."""
    gate = Gate(stage.origin, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nCache-Control: no-cache\r\nETag: \"1\"\r\n\r\n")
    first, other = stage.connect(), stage.connect("other")
    first.send(stage.request(target=PAGE))
    gate.wait_asked()
    other.send(stage.request(target=PAGE))
    wait_in_flight(stage, 2)
    gate.is_open.set()
    first.read_response_head()
    third = stage.connect("third")
    third.send(stage.request(target=PAGE))
    head = third.read_response_head()
    expect("collapsed" in head.get("Cache-Status"), False, f"who comes later waits for nobody: {head.get('Cache-Status')}")
    expect("collapsed" in other.read_response_head().get("Cache-Status"), True, "who had waited asks too")
    expect(len(requests_for(stage, PAGE)), 3, "requests at the origin")


@case(service=FULL, workers=1)
def answer_that_may_be_stale_is_for_all_who_waited(stage):
    gate = Gate(stage.origin, answer(200, b"the page", ["Cache-Control: max-age=60, stale-while-revalidate=9999", "Age: 100"]))
    links = [stage.connect() for _ in range(10)]
    links[0].send(stage.request(target=PAGE))
    gate.wait_asked()
    for link in links[1:]:
        link.send(stage.request(target=PAGE))
    wait_in_flight(stage, 10)
    gate.is_open.set()
    expect({link.read_response().body for link in links}, {b"the page"}, "what they got")
    expect(results(stage, "collapsed") > 0, True, "who waited long enough got it")


@case(service=FULL, workers=1)
def one_of_those_who_wait_takes_the_place_of_a_client_that_goes_away(stage):
    """In one of five rounds at least nobody has waited for too long before the page is there."""
    gates = [threading.Event() for _ in range(5)]

    def play(link):
        link.patience_s = 600
        while True:
            request = stage.origin.read(link)
            gates[int(request.target[1:])].wait(60 * SLOW)
            link.send(answer(200, b"the page", FRESH))

    stage.origin.play = play
    counts = []
    for number, gate in enumerate(gates):
        target = f"/{number}"
        links = [stage.connect() for _ in range(6)]
        for link in links:
            link.send(stage.request(target=target))
            wait_for(lambda: requests_for(stage, target), "somebody fetches it", 30)
        wait_in_flight(stage, 6)
        links[0].reset()
        wait_for(lambda: len(requests_for(stage, target)) > 1, "another one fetches it", 30)
        gate.set()
        expect({link.read_response().body for link in links[1:]}, {b"the page"}, "what the others got")
        counts.append(len(requests_for(stage, target)))
        if counts[-1] == 2:
            return
    expect(min(counts), 2, f"requests at the origin, by round: {counts}")


@case(starts_proxy=False)
def kept_answer_is_bounded_in_time_like_any_other(stage):
    stage.start_serin({"timeouts": {"total": f"{int(3 * SLOW)}s"}, "services": [stage.service(**FULL)]}, workers=1, http2=True)
    stage.origin.reply = answer(200, bytes(700000), FRESH)
    expect(len(stage.ask(target=PAGE).body), 700000, "from the origin")
    wait_for(lambda: stage.serin.service(stage.name)["cache"]["entries"] == 1, "it is kept", 30)
    client = stage.http2()
    client.ask(stage.host, path=PAGE)  # and no room for its body
    wait_for(lambda: results(stage, "hit") == 1, "it is answered", 30)
    wait_in_flight(stage, 0)


@case(service={**FULL, "weight": "100%"}, workers=1)
def who_waits_for_a_canary_that_lost_its_weight_goes_to_the_stable_version(stage):
    """In one of five rounds at least nobody has waited for too long before the weight is gone."""
    gates = [threading.Event() for _ in range(5)]
    stage.origin.reply = answer(200, b"stable")

    def play(link):
        link.patience_s = 600
        while True:
            request = stage.canary.read(link)
            if request.target != "/":
                gates[int(request.target[1:])].wait(60 * SLOW)
            link.send(answer(200, b"canary"))

    stage.canary.play = play
    bodies = []
    for number, gate in enumerate(gates):
        stage.serin.set_weight(stage.name, 100)
        wait_for(lambda: stage.ask(target="/").body == b"canary", "the canary has all", 30)
        seen = len(stage.canary.requests)
        links = [stage.connect(), stage.connect("other")]
        links[0].send(stage.request(target=f"/{number}"))
        stage.canary.wait_requests(seen + 1)
        links[1].send(stage.request(target=f"/{number}"))
        wait_in_flight(stage, 2)
        stage.serin.set_weight(stage.name, 0)
        wait_for(lambda: len(requests_for(stage, f"/{number}")) + len(stage.canary.requests) == seen + 2, "it asks", 30)
        gate.set()
        bodies = [link.read_response().body for link in links]
        if bodies == [b"canary", b"stable"]:
            return
    expect(bodies, [b"canary", b"stable"], "who fetched, and who waited")


if __name__ == "__main__":
    run(__file__)

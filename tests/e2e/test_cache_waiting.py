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


if __name__ == "__main__":
    run(__file__)

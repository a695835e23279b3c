"""Every wait has a deadline, and says so in the right way."""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Closed, answer, case, expect, run, wait_for  # noqa: E402

WAIT_S = 1.0 * SLOW
LONG_S = 20 * WAIT_S


def ms(seconds):
    return f"{int(seconds * 1000)}ms"


def waits(**short):
    names = ("client_header", "client_body", "connect", "response_header", "response_body")
    return {"timeouts": {**{name: ms(LONG_S) for name in names}, **{name: ms(WAIT_S) for name in short}}}


def silence(link):
    """An origin that keeps its connection and says nothing."""
    try:
        link.read_to_end(LONG_S)
    except Closed:
        pass


@case(proxy=waits(client_header=1))
def head_that_does_not_come_is_a_408(stage):
    link = stage.connect()
    link.send("GET / HTTP/1.1\r\nHost:")
    response = link.read_response()
    expect((response.status, response.get("Connection").lower()), (408, "close"), "answer")
    link.expect_closed()


@case(proxy=waits(client_header=1))
def head_that_drips_gets_no_more_time(stage):
    link = stage.connect()
    start = time.monotonic()
    try:
        link.send("GET / HTTP/1.1\r\nHost: a\r\nX: ")
        while time.monotonic() - start < LONG_S:
            link.send("x")
            time.sleep(WAIT_S / 10)
        raise AssertionError("the head may drip for ever")
    except Closed:
        pass
    expect(stage.origin.links, [], "connections to the origin")


@case(proxy=waits(client_header=1))
def second_head_has_its_deadline_too(stage):
    link = stage.connect()
    link.send(stage.request() + b"GET /")
    expect(link.read_response().status, 200, "status of the first")
    expect(link.read_response().status, 408, "status of the second")
    link.expect_closed()


@case(proxy=waits(client_body=1))
def body_that_stalls_is_ended(stage):
    link = stage.connect()
    link.send(stage.request("POST", fields=["Content-Length: 10"]) + b"half")
    try:
        expect(link.read_response().status, 408, "status, if any")
        link.expect_closed()
    except Closed:
        pass
    expect(stage.origin.requests, [], "whole requests at the origin")
    expect(stage.failures(), {}, "failures of the origin")


@case(proxy=waits(client_body=1))
def body_that_drips_is_taken(stage):
    link = stage.connect()
    link.send(stage.request("POST", fields=["Content-Length: 12"]))
    for _ in range(12):
        time.sleep(WAIT_S / 6)
        link.send("x")
    expect(link.read_response().status, 200, "status")


@case(proxy=waits(client_body=1))
def client_that_does_not_read_is_let_go(stage):
    def play(link):
        stage.origin.read(link)
        try:
            link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            for _ in range(1000):
                link.send(b"x" * 1000000)
        except Closed:
            gone.append(True)

    gone = []
    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request())
    wait_for(lambda: gone, "the origin is let go")
    expect(stage.failures(), {}, "failures of the origin")


@case(proxy=waits(connect=1))
def connect_that_hangs_is_a_gateway_timeout(stage):
    """A listener whose queue is full drops what comes: the connect neither succeeds nor fails."""
    stage.origin.stop_listening()
    full = socket.socket()
    full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    full.bind(("127.0.0.1", stage.origin.port))
    full.listen(0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", stage.origin.port))
        fillers.append(filler)
    response = stage.ask()
    if response.status not in (502, 504):
        raise AssertionError(f"status {response.status}")
    expect(stage.failures(), {"connect": 1}, "failures")
    for one in (full, *fillers):
        one.close()


@case(proxy=waits(response_header=1))
def answer_that_does_not_begin_is_a_504(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), silence(link))
    link = stage.connect()
    link.send(stage.request())
    expect(link.read_response().status, 504, "status")
    expect(stage.failures(), {"timeout": 1}, "failures")
    link.send(stage.request())
    expect(link.read_response().status, 504, "the client's connection lives on")
    wait_for(lambda: not any(one.is_open for one in stage.origin.links), "the origin's connections are closed")


@case(proxy=waits(response_header=1))
def head_of_an_answer_that_drips_gets_no_more_time(stage):
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 200 OK\r\nX: ")
        while True:
            link.send("x")
            time.sleep(WAIT_S / 10)

    stage.origin.play = play
    expect(stage.ask().status, 504, "status")


@case(proxy=waits(response_header=1))
def interim_answers_do_not_stretch_the_deadline(stage):
    def play(link):
        stage.origin.read(link)
        while True:
            link.send("HTTP/1.1 102 Processing\r\n\r\n")
            time.sleep(WAIT_S / 5)

    stage.origin.play = play
    response = stage.ask()
    expect(response.status, 504, "status")


@case(proxy=waits(response_header=1))
def long_upload_does_not_use_up_the_time_for_the_answer(stage):
    link = stage.connect()
    link.send(stage.request("POST", fields=["Content-Length: 12"]))
    for _ in range(12):
        time.sleep(WAIT_S / 6)
        link.send("x")
    expect(link.read_response().status, 200, "status")


@case(proxy=waits(response_body=1))
def answer_that_stalls_is_cut(stage):
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        silence(link)

    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request())
    head = link.read_response_head()
    try:
        link.read_body(head)
        raise AssertionError("the answer looks whole")
    except Closed:
        pass
    wait_for(lambda: stage.failures() == {"timeout": 1}, "a timeout is counted")


@case(proxy=waits(response_body=1))
def answer_that_drips_is_passed_on(stage):
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
        for _ in range(12):
            time.sleep(WAIT_S / 6)
            link.send("x")

    stage.origin.play = play
    expect(stage.ask().body, b"x" * 12, "body")


@case(proxy={"timeouts": {"total": ms(2 * WAIT_S)}})
def whole_request_has_a_deadline_before_the_answer(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), silence(link))
    expect(stage.ask().status, 504, "status")


@case(proxy={"timeouts": {"total": ms(2 * WAIT_S)}})
def whole_request_has_a_deadline_in_the_answer(stage):
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            time.sleep(WAIT_S / 10)
            link.send("x")

    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request())
    head = link.read_response_head()
    try:
        link.read_body(head)
        raise AssertionError("the answer had all the time it wanted")
    except Closed:
        pass


@case(proxy={"timeouts": {"total": ms(2 * WAIT_S)}})
def quick_requests_are_not_touched_by_the_total_deadline(stage):
    stage.origin.reply = answer(body=b"x" * 100000)
    link = stage.connect()
    for _ in range(12):
        link.send(stage.request())
        expect(len(link.read_response().body), 100000, "bytes")
        time.sleep(WAIT_S / 6)


if __name__ == "__main__":
    run(__file__, parallel=8)

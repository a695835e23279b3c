"""Ends and resets in every state of a request, on both sides: nobody is fooled, nothing leaks, the proxy goes on."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import Closed, add_case, answer, case, expect, run, wait_for  # noqa: E402

BIG = b"x" * 300000
ENDS = {"close": lambda link: link.close(), "reset": lambda link: link.reset(),
        "half_close": lambda link: link.finish_sending()}


def still_serves(stage):
    stage.origin.play = None
    stage.origin.plays = []
    stage.origin.reply = answer()
    expect(stage.ask().status, 200, "a request after it")


def counts_no_failure(stage):
    expect(stage.failures(), {}, "failures of the origin")
    expect(stage.serin.metrics().sum("serin_client_bad_responses_total", service=stage.name), 0, "bad responses")


# --- the client goes --------------------------------------------------------------------------------------------------
BEFORE_THE_BODY = {"before_a_byte": "", "in_the_request_line": "GET /abc", "in_a_field": "GET / HTTP/1.1\r\nHost: a",
                   "before_the_empty_line": "GET / HTTP/1.1\r\nHost: a\r\n"}


def client_goes_in_head(text, end):
    def function(stage):
        link = stage.connect()
        link.send(text)
        ENDS[end](link)
        if end == "half_close":
            try:
                answered = link.read_to_end()
            except Closed:
                answered = b""
            expect(answered[:12] in (b"", b"HTTP/1.1 400"), True, f"nothing or a refusal: {answered!r}")
        still_serves(stage)
        counts_no_failure(stage)
        expect(len(stage.origin.links), 1, "connections to the origin")

    return function


for place_name, place_text in BEFORE_THE_BODY.items():
    for end_name in ENDS:
        add_case(client_goes_in_head(place_text, end_name), f"client_{end_name}_{place_name}")

BODIES = {"in_a_counted_body": (["Content-Length: 1000"], b"part"),
          "in_a_chunk": (["Transfer-Encoding: chunked"], b"10\r\npart"),
          "in_a_chunk_size": (["Transfer-Encoding: chunked"], b"4\r\npart\r\n1"),
          "before_the_last_chunk": (["Transfer-Encoding: chunked"], b"4\r\npart\r\n"),
          "in_the_trailers": (["Transfer-Encoding: chunked"], b"4\r\npart\r\n0\r\nA: b\r\n")}


def client_goes_in_body(fields, part, end):
    def function(stage):
        def play(link):
            try:
                stage.origin.read(link)
            except Closed:
                broken.append(True)

        broken = []
        stage.origin.play = play
        link = stage.connect()
        link.send(stage.request("POST", fields=fields) + part)
        stage.origin.wait_links(1)
        ENDS[end](link)
        wait_for(lambda: broken, "the origin sees that the request is not whole")
        expect(stage.origin.requests, [], "whole requests")
        still_serves(stage)
        counts_no_failure(stage)

    return function


for place_name, (place_fields, place_part) in BODIES.items():
    for end_name in ENDS:
        add_case(client_goes_in_body(place_fields, place_part, end_name), f"client_{end_name}_{place_name}")


@case()
def client_reset_while_waiting_lets_the_origin_go(stage):
    def play(link):
        stage.origin.read(link)
        try:
            link.read_to_end()
        except Closed:
            pass
        ended.append(True)

    ended = []
    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request())
    stage.origin.wait_requests(1)
    link.reset()
    wait_for(lambda: ended, "the origin is let go")
    still_serves(stage)
    counts_no_failure(stage)


@case()
def client_close_while_waiting_looks_like_a_half_close(stage):
    """An end without a reset may be one of the client's direction only: the answer is sent, to whoever is there."""
    def play(link):
        stage.origin.read(link)
        wait_for(lambda: gone, "the client has gone")
        link.send(answer())
        stage.origin.polite(link)

    gone = []
    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request())
    stage.origin.wait_requests(1)
    link.close()
    gone.append(True)
    wait_for(lambda: stage.serin.metrics().sum("serin_requests_total", service=stage.name) == 1, "the request is over")
    still_serves(stage)
    counts_no_failure(stage)


def client_goes_in_answer(end):
    def function(stage):
        def play(link):
            stage.origin.read(link)
            try:
                link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                while True:
                    link.send(BIG)
            except Closed:
                ended.append(True)

        ended = []
        stage.origin.play = play
        link = stage.connect()
        link.send(stage.request())
        link.read_response_head()
        link.read_exactly(100000)
        ENDS[end](link)
        wait_for(lambda: ended, "the origin is let go")
        still_serves(stage)
        counts_no_failure(stage)

    return function


for end_name in ("close", "reset"):
    add_case(client_goes_in_answer(end_name), f"client_{end_name}_in_the_answer")


@case()
def client_that_goes_before_the_answer_is_counted_without_a_code(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), link.read_to_end())
    link = stage.connect()
    link.send(stage.request())
    stage.origin.wait_requests(1)
    link.reset()
    wait_for(lambda: stage.serin.metrics().by("serin_requests_total", "code", service=stage.name) in ({"none": 1}, {"499": 1}),
             "a request without an answer is counted")
    counts_no_failure(stage)


# --- the origin goes --------------------------------------------------------------------------------------------------
def origin_goes(play_of, wanted_kinds):
    def function(stage):
        stage.origin.play = play_of(stage)
        link = stage.connect()
        link.send(stage.request())
        expect(link.read_response().status, 502, "status")
        kinds = stage.failures()
        expect((sum(kinds.values()), set(kinds) <= set(wanted_kinds)), (1, True), f"failures {kinds}")
        expect(stage.serin.metrics().sum("serin_client_bad_responses_total", service=stage.name, role="previous"), 1,
               "bad responses")
        link.send(stage.request())
        expect(link.read_response().status, 502, "the client's connection lives on")
        still_serves(stage)

    return function


ORIGIN_STATES = {
    "at_once": lambda stage, link: None,
    "after_the_request": lambda stage, link: stage.origin.read(link),
    "in_the_status_line": lambda stage, link: (stage.origin.read(link), link.send("HTTP/1.1 20")),
    "after_the_status_line": lambda stage, link: (stage.origin.read(link), link.send("HTTP/1.1 200 OK\r\n")),
    "in_a_field": lambda stage, link: (stage.origin.read(link), link.send("HTTP/1.1 200 OK\r\nContent-Len")),
    "after_an_interim_answer": lambda stage, link: (stage.origin.read(link), link.send("HTTP/1.1 103 Hints\r\n\r\n")),
}


def make_play(state, end):
    def play_of(stage):
        def play(link):
            state(stage, link)
            ENDS[end](link)
            if end == "half_close":
                link.read_to_end()

        return play

    return play_of


for state_name, state_play in ORIGIN_STATES.items():
    for end_name in ENDS:
        kinds = ("reset", "bad_response", "connect") if state_name == "at_once" else ("reset", "bad_response")
        add_case(origin_goes(make_play(state_play, end_name), kinds), f"origin_{end_name}_{state_name}")


@case()
def origin_that_refuses_connections_is_a_bad_gateway(stage):
    stage.origin.stop_listening()
    link = stage.connect()
    for _ in range(2):
        link.send(stage.request())
        expect(link.read_response().status, 502, "status")
    expect(stage.failures(), {"connect": 2}, "failures")


@case()
def origin_reset_in_the_body_cuts_the_answer(stage):
    def play(link):
        stage.origin.read(link)
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
        wait_for(lambda: seen, "the client has the head")
        link.reset()

    seen = []
    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request())
    head = link.read_response_head()
    expect(link.read_exactly(4), b"part", "part")
    seen.append(True)
    link.expect_closed()
    expect(head.status, 200, "status")
    wait_for(lambda: sum(stage.failures().values()) == 1, "one failure is counted")
    still_serves(stage)


@case()
def early_answer_to_an_upload_reaches_the_client(stage):
    """An origin that refuses in the middle of a body and closes: the client gets that answer, not a 502."""
    def play(link):
        stage.origin.note_request(link.read_request_head())
        link.read_exactly(1000)
        link.send(answer(413, b"too much", ["Connection: close"]))
        link.finish_sending()
        try:
            while link.read_some():
                pass
        except Closed:
            pass

    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request("POST", fields=["Content-Length: 100000000"]) + b"x" * 5000)
    response = link.read_response()
    expect((response.status, response.body), (413, b"too much"), "answer")
    link.expect_closed()


@case()
def early_answer_lets_the_rest_of_the_body_come(stage):
    """The origin answers first and reads on: the same client connection carries the next request."""
    def play(link):
        request = link.read_request_head()
        link.send(answer(body=b"early"))
        link.read_body(request)
        stage.origin.note_request(request)
        stage.origin.polite(link)

    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request("POST", fields=["Content-Length: 100000"]) + b"x" * 50000)
    head = link.read_response_head()
    expect(head.status, 200, "status")
    try:
        link.send(b"x" * 50000)
        link.read_body(head)
        expect(head.body, b"early", "body")
        if (head.get("Connection") or "").lower() != "close":
            link.send(stage.request())
            expect(link.read_response().body, b"ok", "the next answer is its own")
    except Closed:
        expect((head.get("Connection") or "").lower(), "close", "only after it was announced")


@case()
def upload_to_an_origin_that_resets_is_a_bad_gateway(stage):
    def play(link):
        link.read_request_head()
        link.reset()

    stage.origin.play = play
    link = stage.connect()
    try:
        link.send(stage.request("POST", fields=["Content-Length: 3000000"]))
        for _ in range(10):
            link.send(BIG)
    except Closed:
        pass
    expect(link.read_response().status, 502, "status")
    still_serves(stage)


@case()
def answered_connection_that_is_half_closed_is_not_used_again(stage):
    stage.origin.plays = [lambda link: (stage.origin.read(link), link.send(answer()), link.finish_sending(),
                                        link.read_to_end()), stage.origin.polite]
    link = stage.connect()
    link.send(stage.request("POST", body=b"abc"))
    expect(link.read_response().status, 200, "first")
    wait_for(lambda: not stage.origin.links[0].is_open, "the pooled connection is closed")
    link.send(stage.request("POST", body=b"abc"))
    expect(link.read_response().status, 200, "second")


@case()
def half_closed_client_gets_a_large_answer_whole(stage):
    """The client's end came long ago when the last bytes of the answer still wait to be read."""
    size = 24 << 20
    stage.origin.reply = answer(body=b"x" * size)
    link = stage.connect()
    link.keeps = False
    link.send(stage.request(fields=["Connection: close"]))
    link.finish_sending()
    head = link.read_response_head()
    total = []
    link.read_body(head, sink=lambda piece: (total.append(len(piece)), time.sleep(0.0005)))
    expect(sum(total), size, "bytes")
    link.expect_closed(may_reset=False)


@case()
def nothing_is_left_behind(stage):
    """The last case of the file: whatever all others broke off is gone from the gauges."""
    def left():
        metrics = stage.serin.metrics()
        return (metrics.sum("serin_requests_in_flight"), metrics.sum("serin_upstream_connections", state="active"),
                metrics.sum("serin_client_connections", state="active"))

    expect(stage.ask().status, 200, "status")
    wait_for(lambda: left() == (0, 0, 0), "no request in flight, no connection active")


if __name__ == "__main__":
    run(__file__)

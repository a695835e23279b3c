"""After Upgrade the proxy carries plain bytes both ways, to the last one."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Closed, Reset, answer, case, expect, run, wait_for  # noqa: E402

ASK = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"


def open_tunnel(stage, early=b""):
    link = stage.connect()
    link.send(stage.request(fields=ASK) + early)
    response = link.read_response()
    expect((response.status, response.get("Upgrade")), (101, "websocket"), "answer")
    expect("upgrade" in (response.get("Connection") or "").lower(), True, "Connection says upgrade")
    return link


def switching(stage, then, first=b""):
    """An origin that agrees and goes on with `then`."""
    def play(link):
        request = stage.origin.read(link)
        expect((request.get("Upgrade"), (request.get("Connection") or "").lower()), ("websocket", "upgrade"), "asked")
        link.send(SWITCH + first)
        then(link)

    return play


@case()
def bytes_go_both_ways(stage):
    def echo(link):
        while True:
            link.send(link.read_some()[::-1])

    stage.origin.play = switching(stage, echo)
    link = open_tunnel(stage)
    for word in (b"one", b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        link.send(word)
        expect(link.read_exactly(len(word)), word[::-1], "echo")


@case()
def early_bytes_of_both_sides_arrive(stage):
    def play(link):
        expect(link.read_exactly(5), b"early", "what the client sent before the answer")
        link.send(b"!")

    stage.origin.play = switching(stage, play, first=b"hello")
    link = open_tunnel(stage, early=b"early")
    expect(link.read_exactly(6), b"hello!", "what the origin sent with its answer, and after")


@case()
def half_close_of_the_client_reaches_the_origin(stage):
    def play(link):
        expect(link.read_to_end(), b"question", "until the half-close")
        link.send(b"answer")

    stage.origin.play = switching(stage, play)
    link = open_tunnel(stage)
    link.send(b"question")
    link.finish_sending()
    expect(link.read_to_end(), b"answer", "after the half-close")


@case()
def half_close_of_the_origin_reaches_the_client(stage):
    def play(link):
        link.send(b"last words")
        link.finish_sending()
        got.append(link.read_to_end())

    got = []
    stage.origin.play = switching(stage, play)
    link = open_tunnel(stage)
    expect(link.read_to_end(), b"last words", "until the half-close")
    link.send(b"still here")
    link.finish_sending()
    wait_for(lambda: got, "the origin has all")
    expect(got, [b"still here"], "after the half-close")


@case()
def reset_of_the_origin_ends_the_tunnel(stage):
    stage.origin.play = switching(stage, lambda link: (link.read_exactly(1), link.reset()))
    link = open_tunnel(stage)
    link.send(b"x")
    link.expect_closed()


@case()
def reset_of_the_client_ends_the_tunnel(stage):
    def play(link):
        try:
            link.read_to_end()
        except Closed:
            pass
        ended.append(True)

    ended = []
    stage.origin.play = switching(stage, play)
    link = open_tunnel(stage)
    link.send(b"x")
    link.reset()
    wait_for(lambda: ended, "the origin sees the end")


@case()
def megabytes_arrive_whole(stage):
    size = 8 << 20

    def play(link):
        link.keeps = False
        total = 0
        while total < size:
            total += len(link.read_some())
        link.send(b"y" * size)
        link.finish_sending()
        link.read_to_end()

    stage.origin.play = switching(stage, play)
    link = open_tunnel(stage)
    link.keeps = False
    link.send(b"x" * size)
    expect(len(link.read_exactly(size, 30 * SLOW)), size, "bytes back")
    link.finish_sending()


@case()
def refused_upgrade_is_an_ordinary_answer(stage):
    stage.origin.reply = answer(426, b"no", ["Upgrade: websocket", "Connection: Upgrade"])
    link = stage.connect()
    link.send(stage.request(fields=ASK))
    expect((link.read_response().status), 426, "status")
    stage.origin.reply = answer()
    link.send(stage.request())
    expect(link.read_response().body, b"ok", "the connection lives on")


@case(service={"weight": "100%", "rollback": {"on_breach": "alert", "max_bad_responses": 20}}, workers=1)
def clients_that_keep_their_body_back_are_no_evidence(stage):
    """An origin that switches at the head did what most do."""
    def play(link):
        link.read_until(b"\r\n\r\n")
        link.send(SWITCH)
        link.read_to_end()

    stage.canary.play = play
    for _ in range(25):
        link = stage.connect()
        link.send(stage.request("POST", fields=[*ASK, "Content-Length: 5"]))
        expect(link.read_response().status, 400, "status")
    version = stage.serin.service(stage.name)["current"]
    expect((version["requests"], version["failures"], version["client_bad"]), (0, 0, 0), "requests, failures, bad answers")
    expect((stage.failures("current"), stage.serin.metrics().sum("serin_contained", service=stage.name)), ({}, 0),
           "failures by kind, workers that hold it back")


@case()
def upgrade_of_a_1_0_client_is_not_forwarded(stage):
    response = stage.ask(fields=ASK, version="HTTP/1.0")
    expect((response.status, stage.origin.requests[0].has("Upgrade")), (200, False), "status, Upgrade at the origin")


@case()
def upgrade_not_named_in_connection_is_dropped(stage):
    stage.ask(fields=["Upgrade: websocket"])
    expect(stage.origin.requests[0].has("Upgrade"), False, "Upgrade at the origin")


@case()
def tunnel_is_counted_as_one_101(stage):
    stage.origin.play = switching(stage, lambda link: link.send(b"bye"))
    link = open_tunnel(stage)
    expect(link.read_to_end(), b"bye", "bytes")
    link.close()
    wait_for(lambda: stage.serin.metrics().by("serin_requests_total", "code", service=stage.name) == {"101": 1},
             "one request with 101")


@case()
def origin_that_resets_instead_of_an_answer_is_a_bad_gateway(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), link.reset())
    link = stage.connect()
    link.send(stage.request(fields=ASK))
    try:
        expect(link.read_response().status, 502, "status")
    except Reset as error:
        raise AssertionError("no answer") from error


if __name__ == "__main__":
    run(__file__, parallel=4)

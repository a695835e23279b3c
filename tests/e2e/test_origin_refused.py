"""Answers of origins that are malformed or broken off: 502, or a cut that no client can take for a whole answer."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import Closed, WireError, add_case, answer, case, expect, run, wait_for  # noqa: E402

OK = "HTTP/1.1 200 OK"


def whole(*fields, line=OK, body="ok"):
    return "\r\n".join([line, *(fields or ["Content-Length: 2"])]) + "\r\n\r\n" + body


# Heads that are refused: the client gets a 502 and keeps its connection.
HEADS = {
    "status_of_two_digits": whole(line="HTTP/1.1 20 OK"),
    "status_of_four_digits": whole(line="HTTP/1.1 2000 OK"),
    "status_zero": whole(line="HTTP/1.1 0 OK"),
    "status_099": whole(line="HTTP/1.1 099 OK"),
    "status_600": whole(line="HTTP/1.1 600 OK"),
    "status_missing": whole(line="HTTP/1.1 OK"),
    "status_with_a_letter": whole(line="HTTP/1.1 20a OK"),
    "two_spaces_before_status": whole(line="HTTP/1.1  200 OK"),
    "tab_before_status": whole(line="HTTP/1.1\t200 OK"),
    "tab_after_status": whole(line="HTTP/1.1 200\tOK"),
    "version_2_0": whole(line="HTTP/2.0 200 OK"),
    "version_0_9": whole(line="HTTP/0.9 200 OK"),
    "version_in_small_letters": whole(line="http/1.1 200 OK"),
    "version_of_two_digits": whole(line="HTTP/1.10 200 OK"),
    "protocol_icy": whole(line="ICY 200 OK"),
    "protocol_rtsp": whole(line="RTSP/1.0 200 OK"),
    "control_in_reason": whole(line="HTTP/1.1 200 O\x01K"),
    "nul_in_reason": whole(line="HTTP/1.1 200 O\0K"),
    "bare_cr_in_reason": whole(line="HTTP/1.1 200 O\rK"),
    "body_without_head": "hello, world\r\n\r\n",
    "leading_bare_lf": "\n" + whole(),
    "bare_lf_lines": "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "head_ended_by_bare_lf": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok",
    "folded_field": whole("Content-Length: 2", "A: b\r\n c"),
    "fold_before_the_first_field": "HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 2\r\n\r\nok",
    "space_before_colon": whole("Content-Length : 2"),
    "empty_field_name": whole("Content-Length: 2", ": a"),
    "field_without_colon": whole("Content-Length: 2", "nonsense"),
    "field_name_with_blank": whole("Content-Length: 2", "A b: c"),
    "nul_in_value": whole("Content-Length: 2", "A: b\0c"),
    "control_in_value": whole("Content-Length: 2", "A: b\x02c"),
    "bare_cr_in_value": whole("Content-Length: 2", "A: b\rc"),
    "two_different_lengths": whole("Content-Length: 2", "Content-Length: 3"),
    "two_equal_lengths": whole("Content-Length: 2", "Content-Length: 2"),
    "length_list": whole("Content-Length: 2, 2"),
    "negative_length": whole("Content-Length: -2"),
    "length_with_plus": whole("Content-Length: +2"),
    "hexadecimal_length": whole("Content-Length: 0x2"),
    "length_that_overflows": whole("Content-Length: 18446744073709551618"),
    "empty_length": whole("Content-Length:"),
    "length_with_coding": whole("Content-Length: 2", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
    "coding_with_length": whole("Transfer-Encoding: chunked", "Content-Length: 2", body="0\r\n\r\n"),
    "coding_gzip": whole("Transfer-Encoding: gzip"),
    "coding_gzip_then_chunked": whole("Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"),
    "coding_chunked_twice": whole("Transfer-Encoding: chunked, chunked", body="0\r\n\r\n"),
    "coding_in_two_fields": whole("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
    "coding_identity": whole("Transfer-Encoding: identity"),
    "empty_coding": whole("Transfer-Encoding:", body="0\r\n\r\n"),
    "coding_in_http_1_0": whole("Transfer-Encoding: chunked", line="HTTP/1.0 200 OK", body="0\r\n\r\n"),
    "unasked_upgrade": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
    "head_that_never_ends": OK + "\r\n" + "".join(f"A{i}: {'b' * 900}\r\n" for i in range(60)),
    "too_many_fields": whole("Content-Length: 2", *[f"A{i}: b" for i in range(200)]),
    "line_that_is_too_long": whole("Content-Length: 2", "A: " + "b" * 20000),
    "bad_interim": "HTTP/1.1 103 Hints\r\nA : b\r\n\r\n" + whole(),
    "interim_with_length": "HTTP/1.1 103 Hints\r\nContent-Length: 2\r\n\r\nok" + whole(),
}


def ends_as_bad_gateway(text):
    raw = text.encode("latin-1")

    def function(stage):
        for cut in (False, len(raw) < 400):
            def play(link):
                stage.origin.read(link)
                link.send_in_cuts(raw) if cut else link.send(raw)
                link.read_to_end()

            stage.origin.play = play
            before = stage.failures()
            link = stage.connect()
            link.send(stage.request())
            expect(link.read_response().status, 502, "status")
            expect(stage.failures(), {"bad_response": before.get("bad_response", 0) + 1}, "failures")
            link.send(stage.request())
            expect(link.read_response().status, 502, "status of the next request of the same client")
            wait_for(lambda: not any(one.is_open for one in stage.origin.links), "no such connection is kept")

    return function


# Answers whose head was good: the client sees the head and then an end that cannot be taken for a whole answer.
CUTS = {
    "short_body": (OK + "\r\nContent-Length: 10\r\n\r\nshort", "length"),
    "short_chunk": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "chunked"),
    "missing_last_chunk": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "chunked"),
    "missing_final_line": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "chunked"),
    "chunk_size_of_letters": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n0\r\n\r\n", "chunked"),
    "chunk_size_with_plus": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n+3\r\nabc\r\n0\r\n\r\n", "chunked"),
    "chunk_size_that_overflows": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10000000000000001\r\na",
                                  "chunked"),
    "chunk_without_its_end": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n", "chunked"),
    "chunk_lines_ended_by_lf": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\nabc\r\n0\r\n\r\n", "chunked"),
    "body_ended_by_bare_lf": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\n", "chunked"),
    "malformed_extension": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3;=\r\nabc\r\n0\r\n\r\n", "chunked"),
    "trailer_with_length": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n",
                            "chunked"),
    "trailer_that_is_malformed": (OK + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA : b\r\n\r\n", "chunked"),
}


def is_cut(text):
    """The good part is sent first and seen by the client before the rest comes, so that a 502 is no longer possible."""
    raw = text.encode("latin-1")
    start = raw.index(b"\r\n\r\n") + 4

    def function(stage):
        def play(link):
            stage.origin.read(link)
            link.send(raw[:start])
            wait_for(lambda: seen, "the client has the head")
            link.send(raw[start:])

        seen = []
        stage.origin.play = play
        link = stage.connect()
        link.send(stage.request())
        head = link.read_response_head()
        expect(head.status, 200, "status")
        seen.append(True)
        try:
            link.read_body(head)
        except Closed:
            pass
        else:
            raise AssertionError(f"the broken answer looks whole: {head.body!r}")
        wait_for(lambda: stage.failures(), "a failure is counted")
        expect(stage.failures(), {"bad_response": 1}, "failures")

    return function


for head_name, head_text in HEADS.items():
    add_case(ends_as_bad_gateway(head_text), f"refuses_{head_name}")
for cut_name, (cut_text, _) in CUTS.items():
    add_case(is_cut(cut_text), f"cuts_after_{cut_name}")


@case()
def short_body_to_a_1_0_client_is_reset(stage):
    """Read until close, a short body looks whole unless the connection ends with a reset or says its length."""
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        link.expect_silence(0.2)

    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request(version="HTTP/1.0"))
    head = link.read_response_head()
    try:
        link.read_body(head)
    except Closed:
        return
    raise AssertionError(f"the broken answer looks whole: {head.body!r}")


@case()
def status_line_without_reason_is_accepted(stage):
    stage.origin.reply = b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"
    expect(stage.ask().body, b"ok", "body")
    stage.origin.reply = b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"
    expect(stage.ask().body, b"ok", "body without the space as well")


@case()
def unknown_status_is_passed_on(stage):
    stage.origin.reply = answer(299, b"x", reason="Whatever You Say")
    response = stage.ask()
    expect((response.status, response.body), (299, b"x"), "answer")


@case()
def body_of_a_204_never_becomes_the_next_answer(stage):
    def play(link):
        stage.origin.read(link)
        link.send(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
        link.read_to_end()

    stage.origin.plays = [play, stage.origin.polite]
    link = stage.connect()
    link.send(stage.request())
    expect(link.read_response().status, 204, "status")
    link.send(stage.request())
    expect(link.read_response().body, b"ok", "the next answer is its own")


@case()
def body_of_a_304_never_becomes_the_next_answer(stage):
    def play(link):
        stage.origin.read(link)
        link.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 46\r\n\r\n"
                  b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
        link.read_to_end()

    stage.origin.plays = [play, stage.origin.polite]
    link = stage.connect()
    link.send(stage.request())
    expect(link.read_response().status, 304, "status")
    link.send(stage.request())
    expect(link.read_response().body, b"ok", "the next answer is its own")


@case()
def body_of_an_answer_to_head_never_becomes_the_next_answer(stage):
    def play(link):
        stage.origin.read(link)
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
        link.read_to_end()

    stage.origin.plays = [play, stage.origin.polite]
    link = stage.connect()
    link.send(stage.request("HEAD"))
    expect(link.read_response("HEAD").status, 200, "status")
    link.send(stage.request())
    expect(link.read_response().body, b"ok", "the next answer is its own")


@case()
def bytes_behind_an_answer_never_become_the_next_answer(stage):
    def play(link):
        stage.origin.read(link)
        link.send(answer(body=b"mine") + answer(body=b"stolen"))
        link.read_to_end()

    stage.origin.plays = [play, stage.origin.polite]
    link = stage.connect()
    link.send(stage.request())
    expect(link.read_response().body, b"mine", "body")
    link.send(stage.request())
    expect(link.read_response().body, b"ok", "the next answer is its own")


@case()
def bytes_that_nobody_asked_for_end_a_pooled_connection(stage):
    def play(link):
        stage.origin.read(link)
        link.send(answer(body=b"mine"))
        wait_for(lambda: seen, "the client has its answer")
        link.send(answer(408, b"late"))
        link.read_to_end()
        gone.append(True)

    seen, gone = [], []
    stage.origin.plays = [play, stage.origin.polite]
    link = stage.connect()
    link.send(stage.request())
    expect(link.read_response().body, b"mine", "body")
    seen.append(True)
    wait_for(lambda: gone, "the pooled connection is closed")
    link.send(stage.request())
    expect(link.read_response().body, b"ok", "the next answer is its own")


@case()
def switching_to_another_protocol_than_asked_is_refused(stage):
    stage.origin.play = lambda link: (
        stage.origin.read(link),
        link.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        link.read_to_end())
    response = stage.ask(fields=["Connection: Upgrade", "Upgrade: websocket"])
    expect(response.status, 502, "status")
    expect(stage.failures(), {"bad_response": 1}, "failures")


if __name__ == "__main__":
    run(__file__, parallel=4)

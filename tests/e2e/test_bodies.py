"""Bodies in every framing, both ways; clients of HTTP/1.0; interim answers and Expect."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import answer, case, chunked, expect, run, wait_for  # noqa: E402


def forwarded(stage, method="GET", target="/", fields=(), **more):
    """The request as the origin got it."""
    count = len(stage.origin.requests)
    expect(stage.ask(method, target, fields, **more).status, 200, "status")
    return stage.origin.requests[count]


# --- bodies -----------------------------------------------------------------------------------------------------------
@case()
def empty_length_is_told_to_the_origin(stage):
    expect(forwarded(stage, "POST", fields=["Content-Length: 0"]).get("Content-Length"), "0", "Content-Length")


@case()
def length_both_ways(stage):
    stage.origin.reply = answer(body=b"down" * 1000)
    response = stage.ask("POST", body=b"up" * 1000)
    expect((stage.origin.requests[0].body, stage.origin.requests[0].get("Content-Length")), (b"up" * 1000, "2000"), "up")
    expect((response.body, response.get("Content-Length")), (b"down" * 1000, "4000"), "down")


@case()
def chunks_both_ways(stage):
    stage.origin.reply = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          + chunked(b"x" * 9, b"y" * 70000, trailers=b""))
    link = stage.connect()
    link.send_in_cuts(stage.request("POST", fields=["Transfer-Encoding: chunked"]) + chunked(b"a", b"b" * 300, b"c"))
    response = link.read_response()
    expect((stage.origin.requests[0].body, stage.origin.requests[0].framing), (b"a" + b"b" * 300 + b"c", "chunked"), "up")
    expect((response.body, response.framing), (b"x" * 9 + b"y" * 70000, "chunked"), "down")


@case()
def trailers_of_a_request_arrive(stage):
    link = stage.connect()
    link.send(stage.request("POST", fields=["Transfer-Encoding: chunked", "Trailer: X-Sum"])
              + chunked(b"abc", trailers=b"X-Sum: 3\r\n"))
    expect(link.read_response().status, 200, "status")
    expect(stage.origin.requests[0].trailers, [("X-Sum", "3")], "trailers")


@case()
def trailers_of_an_answer_arrive_where_they_are_taken(stage):
    stage.origin.reply = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                          + chunked(b"abc", trailers=b"X-Sum: 3\r\n"))
    response = stage.ask(fields=["TE: trailers", "Connection: TE"])
    expect((response.body, response.trailers), (b"abc", [("X-Sum", "3")]), "body and trailers")
    expect(stage.ask().body, b"abc", "body for a client that did not ask for trailers")


@case()
def te_trailers_is_passed_on(stage):
    request = forwarded(stage, fields=["TE: trailers", "Connection: TE"])
    expect((request.get("TE"), "te" in (request.get("Connection") or "").lower()), ("trailers", True), "TE")


@case()
def body_until_close_becomes_chunks(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), link.send("HTTP/1.1 200 OK\r\n\r\nall of it"))
    link = stage.connect()
    link.send(stage.request())
    response = link.read_response()
    expect((response.body, response.framing), (b"all of it", "chunked"), "body")
    link.send(stage.request())
    expect(link.read_response().body, b"all of it", "the client's connection lives on")


@case()
def body_of_a_1_0_origin_is_taken_until_close(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), link.send("HTTP/1.0 200 OK\r\n\r\nall of it"))
    expect(stage.ask().body, b"all of it", "body")


@case()
def connection_of_a_1_0_origin_is_not_reused(stage):
    stage.origin.reply = answer(version="HTTP/1.0")
    link = stage.connect()
    for _ in range(2):
        link.send(stage.request())
        expect(link.read_response().body, b"ok", "body")
    expect([received.count(b"GET /") for received in stage.origin.received], [1, 1], "requests by connection")


@case()
def head_has_the_length_and_no_body(stage):
    stage.origin.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-A: b\r\n\r\n"
    link = stage.connect()
    for _ in range(2):
        link.send(stage.request("HEAD"))
        response = link.read_response("HEAD")
        expect((response.status, response.get("Content-Length")), (200, "1234"), "answer")
    expect(len(stage.origin.links), 1, "connections to the origin")


@case()
def head_of_a_chunked_answer_has_no_body(stage):
    stage.origin.reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    link = stage.connect()
    for _ in range(2):
        link.send(stage.request("HEAD"))
        expect(link.read_response("HEAD").status, 200, "status")


@case()
def no_content_and_not_modified_have_no_body(stage):
    link = stage.connect()
    for status in (204, 304):
        stage.origin.reply = f"HTTP/1.1 {status} X\r\nETag: \"e\"\r\n\r\n".encode()
        link.send(stage.request())
        response = link.read_response()
        expect((response.status, response.get("ETag")), (status, '"e"'), "answer")


@case()
def length_of_a_304_is_passed_and_eats_nothing(stage):
    stage.origin.reply = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"
    link = stage.connect()
    for _ in range(3):
        link.send(stage.request())
        expect(link.read_response().status, 304, "status")
    expect(len(stage.origin.links), 1, "connections to the origin")


@case()
def empty_bodies_of_every_framing(stage):
    link = stage.connect()
    for reply in (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                  b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                  b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"):
        stage.origin.reply = reply
        link.send(stage.request())
        expect(link.read_response().body, b"", "body")


@case()
def one_byte_at_a_time_both_ways(stage):
    def play(link):
        stage.origin.read(link)
        link.send_in_cuts(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n" + chunked(b"slowly"))

    stage.origin.play = play
    link = stage.connect()
    link.send_in_cuts(stage.request("POST", body=b"slowly too"))
    expect(link.read_response().body, b"slowly", "body")
    expect(stage.origin.requests[0].body, b"slowly too", "request body")


# --- HTTP/1.0 clients -------------------------------------------------------------------------------------------------
@case()
def client_of_1_0_gets_length_and_the_end(stage):
    link = stage.connect()
    link.send(stage.request(version="HTTP/1.0"))
    response = link.read_response()
    expect((response.body, stage.origin.requests[0].version), (b"ok", "HTTP/1.1"), "body and version at the origin")
    link.expect_closed(may_reset=False)


@case()
def client_of_1_0_gets_chunks_as_a_body_until_close(stage):
    stage.origin.reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"def")
    response = stage.ask(version="HTTP/1.0")
    expect((response.framing, response.body), ("close", b"abcdef"), "body")


@case()
def client_of_1_0_may_keep_its_connection(stage):
    link = stage.connect()
    for _ in range(2):
        link.send(stage.request(version="HTTP/1.0", fields=["Connection: keep-alive"]))
        response = link.read_response()
        expect((response.get("Connection") or "").lower(), "keep-alive", "Connection")


# --- interim answers --------------------------------------------------------------------------------------------------
@case()
def interim_answers_are_passed_on_in_order(stage):
    stage.origin.reply = (b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + answer())
    response = stage.ask()
    expect([one.status for one in response.interim], [102, 103], "interim answers")
    expect(response.interim[1].get("Link"), "</a.css>", "Link")


@case()
def interim_answers_are_kept_from_1_0_clients(stage):
    stage.origin.reply = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + answer()
    response = stage.ask(version="HTTP/1.0")
    expect((response.status, response.interim), (200, []), "answer")


@case()
def interim_answer_comes_before_the_final_one_is_there(stage):
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        wait_for(lambda: seen, "the client has the hints")
        link.send(answer())

    seen = []
    stage.origin.play = play
    client = stage.connect()
    client.send(stage.request())
    seen.append(client.read_response_head().status)
    expect((seen, client.read_response().status), ([103], 200), "statuses")


@case()
def continue_of_the_origin_lets_the_client_go_on(stage):
    def play(link):
        request = link.read_request_head()
        expect(request.get("Expect"), "100-continue", "Expect")
        link.send("HTTP/1.1 100 Continue\r\n\r\n")
        link.read_body(request)
        stage.origin.note_request(request)
        link.send(answer())

    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request("POST", fields=["Expect: 100-continue", "Content-Length: 3"]))
    expect(link.read_response_head().status, 100, "status")
    link.send("abc")
    response = link.read_response()
    expect((response.status, response.interim), (200, []), "exactly one 100")
    expect(stage.origin.requests[0].body, b"abc", "body")


@case()
def final_answer_instead_of_continue_reaches_the_client(stage):
    def play(link):
        stage.origin.note_request(link.read_request_head())
        link.send(answer(403, b"no", ["Connection: close"]))

    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request("POST", fields=["Expect: 100-continue", "Content-Length: 3"]))
    response = link.read_response()
    expect((response.status, response.interim), (403, []), "answer without a 100")


@case()
def client_that_does_not_wait_for_continue_is_served(stage):
    def play(link):
        request = link.read_request_head()
        link.send("HTTP/1.1 100 Continue\r\n\r\n")
        link.read_body(request)
        stage.origin.note_request(request)
        link.send(answer())

    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request("POST", fields=["Expect: 100-continue", "Content-Length: 3"]) + b"abc")
    expect(link.read_response().status, 200, "status")
    expect(stage.origin.requests[0].body, b"abc", "body")


@case()
def origin_that_ignores_continue_still_gets_the_body(stage):
    """An origin that reads on without a 100: the client may send its body unasked after a while."""
    link = stage.connect()
    link.send(stage.request("POST", fields=["Expect: 100-continue", "Content-Length: 3"]))
    stage.origin.wait_links(1)
    link.send("abc")
    expect(link.read_response().status, 200, "status")
    expect(stage.origin.requests[0].body, b"abc", "body")


if __name__ == "__main__":
    run(__file__, parallel=4)

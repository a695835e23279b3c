"""Connections on both sides: order, reuse, and what may be sent twice (RFC 9110 section 9.2.2)."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, add_case, answer, case, chunked, expect, run, wait_for  # noqa: E402

FEW = {"limits": {"requests_per_connection": 3}}
BRIEF = {"timeouts": {"client_idle": f"{int(1000 * SLOW)}ms", "client_header": f"{int(1000 * SLOW)}ms",
                      "upstream_idle": f"{int(1000 * SLOW)}ms"}}
ONE_WORKER = {"workers": 1}


@case()
def pipelined_requests_are_answered_in_order(stage):
    def reply(request):
        number = int(request.target[1:])
        if number % 3 == 0:
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"%d" % number)
        return answer(body=b"%d" % number)

    stage.origin.reply = reply
    link = stage.connect()
    link.send(b"".join(stage.request("POST" if number % 2 else "GET", f"/{number}", body=b"x" * number if number % 2 else b"")
                       for number in range(50)))
    expect([link.read_response().body for _ in range(50)], [b"%d" % number for number in range(50)], "bodies")
    expect([request.target for request in stage.origin.requests], [f"/{number}" for number in range(50)], "order")


@case()
def pipelined_requests_cut_anywhere(stage):
    raw = stage.request(target="/1") + stage.request("POST", "/2", body=b"abc") + stage.request(target="/3")
    for size in (1, 2, 7, 60, len(raw) - 1):
        link = stage.connect()
        link.send_in_cuts(raw, size)
        expect([link.read_response().status for _ in range(3)], [200] * 3, f"statuses with cuts of {size}")
        link.close()
    expect([request.target for request in stage.origin.requests], ["/1", "/2", "/3"] * 5, "order")


@case()
def slow_first_answer_holds_back_the_second(stage):
    def reply(request):
        if request.target == "/slow":
            wait_for(lambda: release.is_set(), "the go-ahead")
        return answer(body=request.target.encode())

    release = threading.Event()
    stage.origin.reply = reply
    link = stage.connect()
    link.send(stage.request(target="/slow") + stage.request(target="/fast"))
    stage.origin.wait_requests(1)
    link.expect_silence(0.1)
    release.set()
    expect([link.read_response().body for _ in range(2)], [b"/slow", b"/fast"], "bodies")


@case()
def close_of_the_client_is_obeyed(stage):
    link = stage.connect()
    link.send(stage.request(fields=["Connection: close"]) + stage.request(target="/ignored"))
    expect((link.read_response().get("Connection") or "").lower(), "close", "Connection")
    link.expect_closed()
    expect([request.target for request in stage.origin.requests], ["/"], "requests at the origin")


@case()
def close_of_the_origin_is_its_own_affair(stage):
    stage.origin.reply = answer(fields=["Connection: close"])
    link = stage.connect()
    for _ in range(3):
        link.send(stage.request())
        response = link.read_response()
        expect((response.status, (response.get("Connection") or "").lower() == "close"), (200, False), "answer")
    expect(len(stage.origin.links), 3, "connections to the origin")


@case()
def empty_line_before_a_request_is_forgiven_once(stage):
    """RFC 9112 section 2.2: at least one CRLF before a request line is ignored."""
    link = stage.connect()
    link.send(stage.request() + b"\r\n" + stage.request())
    expect([link.read_response().status for _ in range(2)], [200, 200], "statuses")


@case()
def half_close_after_a_request_still_gets_the_answer(stage):
    link = stage.connect()
    link.send(stage.request())
    link.finish_sending()
    expect(link.read_response().status, 200, "status")
    link.expect_closed(may_reset=False)


@case(proxy=FEW)
def requests_per_connection_ends_with_connection_close(stage):
    link = stage.connect()
    link.send(b"".join(stage.request(target=f"/{number}") for number in range(5)))
    closes = [(link.read_response().get("Connection") or "").lower() == "close" for _ in range(3)]
    expect(closes, [False, False, True], "which answers say close")
    link.expect_closed()
    expect(len(stage.origin.requests), 3, "requests at the origin")


@case(proxy=BRIEF)
def idle_client_is_closed_without_a_word(stage):
    link = stage.connect()
    link.send(stage.request())
    expect(link.read_response().status, 200, "status")
    link.expect_closed(may_reset=False)


@case(proxy=BRIEF)
def silent_client_is_closed(stage):
    stage.connect().expect_closed(may_reset=False)


@case(proxy=BRIEF)
def idle_origin_connection_is_closed(stage):
    gone = []
    stage.origin.play = lambda link: (stage.origin.read(link), link.send(answer()), link.read_to_end(), gone.append(1))
    expect(stage.ask().status, 200, "status")
    wait_for(lambda: gone, "the pooled connection is closed")


@case(proxy=ONE_WORKER)
def connections_to_origins_are_reused_last_in_first_out(stage):
    for _ in range(20):
        expect(stage.ask().status, 200, "status")
    expect(len(stage.origin.links), 1, "connections to the origin")


@case(proxy=ONE_WORKER)
def what_an_origin_says_unasked_is_nobodys_answer(stage):
    said = []

    def talkative(link):
        link.patience_s = 60
        while True:
            stage.origin.read(link)
            link.send(answer(body=b"good"))
            asked.wait(60)
            link.send(answer(body=b"evil"))
            said.append(True)

    asked = threading.Event()
    stage.origin.play = talkative
    stage.expects_origin_failures = True
    for number in range(1, 21):
        asked.clear()
        expect(stage.ask().body, b"good", "body")
        asked.set()
        wait_for(lambda: len(said) == number, "it has spoken out of turn", every_s=0.0005)
    expect(len(stage.origin.links), 20, "connections: none was trusted again")


@case(proxy=ONE_WORKER)
def pool_counts_active_and_idle(stage):
    def states():
        return stage.serin.metrics().by("serin_upstream_connections", "state", service=stage.name, role="previous")

    release = threading.Event()
    stage.origin.reply = lambda request: release.wait(10 * SLOW) and answer()
    link = stage.connect()
    link.send(stage.request())
    stage.origin.wait_requests(1)
    wait_for(lambda: states() == {"active": 1}, "one active")
    release.set()
    expect(link.read_response().status, 200, "status")
    wait_for(lambda: states() == {"idle": 1}, "one idle")


# --- a pooled connection that turns out closed ------------------------------------------------------------------------
def closes_when_asked_again(stage, is_reset):
    """The first connection answers once and ends when the next request comes on it; later ones are polite."""
    def play(link):
        stage.origin.read(link)
        link.send(answer())
        link.read_request_head()
        asked.append(1)
        link.reset() if is_reset else link.close()

    asked = []
    stage.origin.plays = [play, stage.origin.polite]
    return asked


def tries_idempotent_again(method, is_reset):
    def function(stage):
        asked = closes_when_asked_again(stage, is_reset)
        link = stage.connect()
        link.send(stage.request())
        expect(link.read_response().status, 200, "first")
        link.send(stage.request(method, "/again"))
        expect(link.read_response(method).status, 200, "second")
        expect((len(asked), [one.target for one in stage.origin.requests]), (1, ["/", "/again"]), "sent")
        codes = stage.serin.metrics().by("serin_upstream_requests_total", "code", service=stage.name, role="previous")
        expect(codes, {"200": 2, "none": 1}, "attempts")

    return function


for method_name in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
    for reset in (False, True):
        add_case(tries_idempotent_again(method_name, reset), proxy=ONE_WORKER,
                 name=f"{method_name.lower()}_on_a_pooled_connection_{'reset' if reset else 'closed'}_is_tried_again")


def never_sends_twice(body, is_reset):
    def function(stage):
        asked = closes_when_asked_again(stage, is_reset)
        link = stage.connect()
        link.send(stage.request())
        expect(link.read_response().status, 200, "first")
        link.send(stage.request("POST", "/again", body=body))
        expect(link.read_response().status, 502, "second")
        expect((len(asked), len(stage.origin.links)), (1, 1), "sent once, on one connection")
        link.send(stage.request())
        expect(link.read_response().status, 200, "the client's connection lives on")

    return function


for reset in (False, True):
    end = "reset" if reset else "closed"
    add_case(never_sends_twice(b"pay 5", reset), f"post_on_a_pooled_connection_{end}_is_never_sent_twice",
             proxy=ONE_WORKER)
    add_case(never_sends_twice(b"", reset), f"empty_post_on_a_pooled_connection_{end}_is_never_sent_twice",
             proxy=ONE_WORKER)


@case(proxy=ONE_WORKER)
def put_with_a_body_on_a_pooled_connection_is_not_sent_twice(stage):
    closes_when_asked_again(stage, True)
    link = stage.connect()
    link.send(stage.request())
    expect(link.read_response().status, 200, "first")
    link.send(stage.request("PUT", "/again", body=b"x" * 100))
    status = link.read_response().status
    if status not in (200, 502):
        raise AssertionError(f"status {status}")
    if status == 200:
        expect(stage.origin.requests[-1].body, b"x" * 100, "body of the second attempt")


@case(proxy=ONE_WORKER)
def empty_chunked_put_that_is_tried_again_is_whole(stage):
    """Its last chunk went to the connection that was closed; the second attempt needs one of its own."""
    closes_when_asked_again(stage, True)
    link = stage.connect()
    link.send(stage.request())
    expect(link.read_response().status, 200, "first")
    link.send(stage.request("PUT", "/again", fields=["Transfer-Encoding: chunked"]) + b"0\r\n\r\n")
    if link.read_response(patience_s=3 * SLOW).status == 200:
        expect((stage.origin.requests[-1].target, stage.origin.requests[-1].body), ("/again", b""), "second attempt")


@case(proxy=ONE_WORKER)
def body_that_comes_while_it_is_tried_again_stays_in_order(stage):
    """The head goes to a connection that is closed; the body arrives while the next one is being made."""
    def play(link):
        stage.origin.read(link)
        link.send(answer())
        link.read_request_head()
        asked.release()
        link.close()

    asked = threading.Semaphore(0)
    for number in range(40):
        count = len(stage.origin.links)
        stage.origin.plays = [stage.origin.polite] * count + [play, stage.origin.polite]
        link = stage.connect()
        link.send(stage.request())
        expect(link.read_response().status, 200, "first")
        if len(stage.origin.links) == count:
            stage.origin.links[-1].interrupt()  # the polite one of the round before was taken: end it
            wait_for(lambda: not stage.origin.links[-1].is_open, "it is closed")
            continue
        body = b"%d" % number * 30000
        link.send(stage.request("PUT", "/again", fields=[f"Content-Length: {len(body)}"]))
        asked.acquire(timeout=5 * SLOW)
        link.send(body)
        response = link.read_response()
        if response.status not in (200, 502):
            raise AssertionError(f"status {response.status}")
        if response.status == 200:
            expect(stage.origin.requests[-1].body, body, "body")
        link.close()


@case(service={"cache": "off"}, proxy=ONE_WORKER)
def second_failure_is_not_tried_a_third_time(stage):
    def first(link):
        stage.origin.read(link)
        link.send(answer())
        link.read_request_head()
        link.reset()

    stage.origin.plays = [first, lambda link: (link.read_request_head(), link.reset())]
    link = stage.connect()
    link.send(stage.request())
    expect(link.read_response().status, 200, "first")
    link.send(stage.request())
    expect(link.read_response().status, 502, "second")
    expect(len(stage.origin.links), 2, "connections to the origin")


@case(proxy=ONE_WORKER)
def fresh_connection_that_is_reset_is_not_tried_again(stage):
    stage.origin.play = lambda link: (link.read_request_head(), link.reset())
    expect(stage.ask().status, 502, "status")
    expect(len(stage.origin.links), 1, "connections to the origin")
    expect(stage.failures(), {"reset": 1}, "failures")


@case(proxy=ONE_WORKER)
def pooled_connection_closed_while_idle_is_not_used(stage):
    stage.origin.plays = [lambda link: (stage.origin.read(link), link.send(answer())), stage.origin.polite]
    link = stage.connect()
    link.send(stage.request())
    expect(link.read_response().status, 200, "first")
    wait_for(lambda: stage.serin.metrics().sum("serin_upstream_connections", service=stage.name) == 0, "pool is empty")
    link.send(stage.request("POST", "/again", body=b"pay 5"))
    expect(link.read_response().status, 200, "second")


if __name__ == "__main__":
    run(__file__, parallel=4)

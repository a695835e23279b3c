"""What goes through between every pair of protocols: heads, bodies, trailers, paces and ends."""

import os
import queue
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from callers import is_http2, is_sealed  # noqa: E402
from pairs import PARALLEL, scenario  # noqa: E402
from play import SLOW, expect, run, wait_for  # noqa: E402

MIB = 1 << 20
SIZE = 48 * MIB
# What kernels and windows may hold between two ends that do not wait for each other.
HELD_MAX = 40 * MIB
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection")


@scenario()
def heads_pass(pair):
    def handle(asked):
        asked.read().answer(203, b"well", [("x-answer", "yes"), ("set-cookie", "a=1"), ("set-cookie", "b=2")])

    pair.stable.handle = handle
    caller = pair.caller()
    fields = [("x-one", "1"), ("x-two", "a"), ("x-two", "b"), ("cookie", "c=d"), ("x-request-id", "abc-123")]
    for number in range(3):
        told = caller.ask(path=f"/a/{number}?b=c&d=%20", fields=fields)
        expect((told.status, told.body, told.is_whole), (203, b"well", True), "answer")
        expect((told.get("x-answer"), told.all("set-cookie")), ("yes", ["a=1", "b=2"]), "its fields")
        expect((told.get("content-length"), told.get("transfer-encoding")), ("4", None), "its length")
    for number, asked in enumerate(pair.stable.asked):
        expect((asked.method, asked.target, asked.authority), ("GET", f"/a/{number}?b=c&d=%20", pair.stage.host), "request")
        expect((asked.get("x-one"), asked.all("x-two"), asked.get("cookie")), ("1", ["a", "b"], "c=d"), "its fields")
        expect((asked.get("x-forwarded-for"), asked.get("x-forwarded-proto"), asked.get("x-request-id")),
               ("127.0.0.1", "https" if is_sealed(pair.front) else "http", "abc-123"), "what the proxy tells")
        expect(asked.get("via"), ("2 " if is_http2(pair.front) else "1.1 ") + "serin", "Via")
        expect([name for name in HOP_BY_HOP if asked.get(name)], [], "hop-by-hop fields")


@scenario()
def every_method_has_its_answer(pair):
    caller = pair.caller()
    for method, body in (("OPTIONS", None), ("DELETE", None), ("PUT", b"put"), ("PATCH", b"patch"), ("POST", b"")):
        told = caller.ask(method, body=body)
        expect((told.status, told.body), (200, b"stable"), method)
    told = caller.ask("HEAD")
    expect((told.status, told.body, told.get("content-length"), told.is_whole), (200, b"", "6", True), "HEAD")
    for status in (204, 304):
        pair.stable.handle = lambda asked, s=status: asked.read().answer(s, b"", [("etag", '"x"')])
        told = caller.ask()
        expect((told.status, told.body, told.get("etag"), told.is_whole), (status, b"", '"x"', True), "without a body")
    expect([(asked.method, asked.body) for asked in pair.stable.asked[2:5]], [("PUT", b"put"), ("PATCH", b"patch"), ("POST", b"")],
           "bodies at the origin")


@scenario()
def bodies_pass_in_every_framing(pair):
    sizes = (0, 1, 16384, 70000, 300000)

    def handle(asked):
        asked.read()
        asked.begin(200, size=len(asked.body) if asked.get("x-sized") else None)
        asked.send(asked.body)
        if not asked.get("x-sized"):
            asked.end()

    pair.stable.handle = handle
    caller = pair.caller()
    for size in sizes:
        body = os.urandom(size)
        for is_told in (True, False):
            for fields in ([("x-sized", "1")], []):
                call = caller.begin("POST", "/", fields, True, size if is_told else None)
                call.send(body)
                call.end()
                told = call.answer()
                expect((told.status, told.body == body, told.is_whole), (200, True, True), f"{size} bytes, told {is_told}, {fields}")
                expect(told.get("content-length"), str(size) if fields else None, f"the length of {size} bytes")
    expect({asked.get("content-length") for asked in pair.stable.asked}, {*map(str, sizes), None}, "lengths at the origin")


@scenario()
def trailers_pass_both_ways(pair):
    def handle(asked):
        asked.read()
        asked.begin()
        asked.send(b"answered")
        asked.end([("x-sum", "8"), ("x-more", "yes")])

    pair.stable.handle = handle
    fields = [("te", "trailers")] + ([] if is_http2(pair.front) else [("connection", "TE")])
    call = pair.caller().begin("POST", "/", fields, True)
    call.send(b"asked")
    call.end([("x-count", "5")])
    told = call.answer()
    expect((told.body, told.trailers, told.is_whole), (b"answered", [("x-sum", "8"), ("x-more", "yes")], True), "answer")
    asked = pair.stable.asked[0]
    expect((asked.body, asked.trailers, asked.get("te")), (b"asked", [("x-count", "5")], "trailers"), "request")


@scenario()
def informational_answers_come_before_the_final_one(pair):
    def handle(asked):
        asked.inform(103, [("link", "</a>")])
        if asked.get("expect"):
            asked.inform(100)
        asked.read().answer(body=asked.body)

    pair.stable.handle = handle
    caller = pair.caller()
    call = caller.begin("POST", "/", [("expect", "100-continue")], True, 4)
    expect((call.inform(), call.inform()), (103, 100), "informational")
    call.send(b"body")
    call.end()
    told = call.answer()
    expect((told.status, told.body, dict(told.informed[0][1]).get("link")), (200, b"body", "</a>"), "answer")
    expect([status for status, _ in caller.ask().informed], [103], "without Expect")


@scenario()
def requests_do_not_wait_for_each_other(pair):
    gate = threading.Event()

    def handle(asked):
        if asked.target == "/slow":
            gate.wait(60 * SLOW)
        asked.read().answer(body=asked.target.encode())

    pair.stable.handle = handle
    caller = pair.caller()
    slow = caller.begin(path="/slow")
    calls = [(number, caller.begin(path=f"/{number}")) for number in range(8)]
    for number, call in calls:
        expect(call.answer().body, f"/{number}".encode(), "answer")
    gate.set()
    expect(slow.answer().body, b"/slow", "the slow one")


@scenario()
def pieces_are_passed_on_at_once(pair):
    heard = queue.Queue()

    def handle(asked):
        asked.read().begin(200, [("content-type", "text/event-stream")])
        for number in range(5):
            asked.send(b"data: %d\n\n" % number)
            heard.get(timeout=60 * SLOW)
        asked.end()

    pair.stable.handle = handle
    call = pair.caller().begin()
    for number in range(5):
        told = call.take(9 * (number + 1))
        expect(told.body[-9:], b"data: %d\n\n" % number, "event")
        heard.put(number)
    expect(call.answer().is_whole, True, "the end")


@scenario()
def request_passes_on_at_once(pair):
    heard = queue.Queue()

    def handle(asked):
        asked.read(heard.put)
        asked.answer()

    pair.stable.handle = handle
    call = pair.caller().begin("POST", "/", [], True)
    for number in range(5):
        call.send(b"piece %d" % number)
        got = b""
        while len(got) < 7:
            got += heard.get(timeout=60 * SLOW)
        expect(got, b"piece %d" % number, "at the origin")
    call.end()
    expect(call.answer().status, 200, "status")


@scenario()
def answer_before_the_end_of_the_body_is_not_lost(pair):
    pair.stable.handle = lambda asked: asked.answer_unread(413, b"too much")
    call = pair.caller().begin("POST", "/", [], True, 1000000)
    call.send(b"x" * 1000)
    told = call.answer()
    expect((told.status, told.body), (413, b"too much"), "answer")
    pair.wait_over()
    expect((pair.caller().ask().status, pair.failures("previous")), (413, {}), "another request, failures")


def is_held(progress):
    """Waits until nothing moves any more; gives how far it came."""
    def is_still():
        before = progress()
        time.sleep(0.3)
        return before > 0 and progress() == before

    wait_for(is_still, "the writer is held back", 60)
    return progress()


@scenario()
def slow_client_holds_back_the_origin(pair):
    sent = [0]

    def handle(asked):
        asked.read().begin(200, size=SIZE)
        while sent[0] < SIZE:
            asked.send(b"x" * 65536)
            sent[0] += 65536

    pair.stable.handle = handle
    call = pair.caller().begin()
    call.hold()
    call.head()
    held = is_held(lambda: sent[0])
    pair.stage.transcript.note("origin", f"held back after {held} bytes")
    expect(held <= HELD_MAX, True, f"{held} bytes were taken while nobody read")
    call.let_go()
    told = call.answer()
    expect((len(told.body), told.is_whole), (SIZE, True), "all of it came")


@scenario()
def slow_origin_holds_back_the_client(pair):
    gate, count = threading.Event(), [0]

    def handle(asked):
        gate.wait(120 * SLOW)
        asked.read(lambda piece: count.__setitem__(0, count[0] + len(piece)))
        asked.answer(body=str(count[0]).encode())

    def push():
        try:
            call.send(bytes(SIZE))
            call.end()
        except Exception as error:
            trouble.append(error)

    pair.stable.handle = handle
    trouble = []
    call = pair.caller().begin("POST", "/", [], True, SIZE)
    pushing = threading.Thread(target=push, daemon=True)
    pushing.start()
    try:
        held = is_held(lambda: call.sent)
        pair.stage.transcript.note("client", f"held back after {held} bytes")
        expect(held <= HELD_MAX, True, f"{held} bytes were taken while nobody read")
    finally:
        gate.set()
    pushing.join(120 * SLOW)
    expect((call.answer().body, trouble), (str(SIZE).encode(), []), "all of it came")


@scenario()
def client_that_goes_lets_the_origin_go(pair):
    gone = []

    def handle(asked):
        asked.read()
        if asked.target == "/begun":
            asked.begin()
            asked.send(b"begun")
        asked.wait_gone()
        gone.append(asked.target)

    pair.stable.handle = handle
    for path in ("/waiting", "/begun"):
        call = pair.caller().begin(path=path)
        wait_for(lambda: pair.stable.asked and pair.stable.asked[-1].target == path, "the origin is asked", 30)
        if path == "/begun":
            call.take(5)
        call.cancel()
        wait_for(lambda: path in gone, f"the origin is let go {path}", 30)
    pair.wait_over()
    expect((pair.failures("previous"), pair.ledger("previous")[1:]), ({}, (0, 0)), "failures")


@scenario()
def answer_that_is_cut_never_looks_whole(pair):
    def handle(asked):
        asked.read()
        asked.begin(200, size=100 if asked.target == "/sized" else None)
        asked.send(b"half")
        taken.wait(30 * SLOW)
        asked.cut()

    pair.stable.handle = handle
    for count, path in enumerate(("/sized", "/open"), 1):
        taken = threading.Event()
        call = pair.caller().begin(path=path)
        expect(call.take(4).body, b"half", "what came before")
        taken.set()
        told = call.answer()
        expect((told.status, told.body, told.is_whole), (200, b"half", False), path)
        wait_for(lambda: pair.failures("previous") == {"bad_response": count}, f"{path} is counted")


if __name__ == "__main__":
    run(__file__, parallel=PARALLEL)

"""HTTP/2 in, HTTP/1.1 out: whatever is put into a field, the origin reads one request, the one that was meant, or none.

The origin keeps every byte and reads strictly: what it objects to fails the case. The same goes for bodies: what was
announced and what comes are one thing or nothing."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import http2 as h2  # noqa: E402
from play import SLOW, answer, case, expect, run, wait_for  # noqa: E402

MARK = "smuggled"
SMUGGLED = f"GET /{MARK} HTTP/1.1\r\nHost: a\r\n\r\n"
ENDS = ["\r\n", "\n", "\r", "\0", "\r\n\r\n", "\n\n", " ", "\t", "\x0b", "\x0c", "\x1f", "\x7f", "\x85", "\xa0"]
PER_CONNECTION = 40


class Asker:
    """Asks on fresh connections now and then, so that no budget is spent; keeps what came of it."""

    def __init__(self, stage):
        self.stage, self.client, self.count, self.served, self.refused = stage, None, 0, 0, 0

    def ask(self, head, body=None, trailers=None, is_last=None):
        """Returns the status, or None for a stream that was reset."""
        if self.count % PER_CONNECTION == 0:
            if self.client:
                self.client.link.close()
            self.client = self.stage.http2()
        self.count += 1
        ends = body is None and trailers is None
        stream = self.client.headers(head, ends if is_last is None else is_last)
        if body is not None:
            self.client.data(stream, body, trailers is None)
        if trailers is not None:
            self.client.headers(trailers, True, stream)
        status = self.client.read_answer(stream).status
        if status == 200:
            self.served += 1
        else:
            self.refused += 1
        return status

    def done(self):
        """Exactly the requests that were answered have reached the origin, and nothing between or behind them."""
        origin = self.stage.origin
        expect(len(origin.requests), self.served, "requests at the origin")
        for request in origin.requests:
            expect(MARK in request.target or MARK in request.method, False, f"a smuggled request: {request.raw!r}")
            expect(request.all("Host"), [self.stage.host], "Host")
            expect(len(request.all("Content-Length")) + len(request.all("Transfer-Encoding")) <= 1, True, "one framing")
        expect(origin.failures, [], "the origin's objections")


def head_of(stage, method="GET", path="/", scheme="http", authority=None, fields=()):
    return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority or stage.host), *fields]


@case(http2=True)
def no_byte_of_a_pseudo_field_ends_the_request_line(stage):
    asker = Asker(stage)
    for end in ENDS:
        for text in (f"{end}{SMUGGLED}", f" HTTP/1.1{end}X: y{end}{end}{SMUGGLED}", end):
            is_text = end in ("\x85", "\xa0")  # above ASCII: no target, method or host either
            for head in (head_of(stage, path=f"/a{text}"), head_of(stage, method=f"GET{text}"),
                         head_of(stage, method=f"GET /{MARK} HTTP/1.1{text}"), head_of(stage, authority=stage.host + text),
                         head_of(stage, scheme=f"http{text}"), head_of(stage, path=f"{text}/a")):
                expect(asker.ask(head) == 200, False, f"{head} ({is_text})")
    expect(asker.ask(head_of(stage)), 200, "a sound one")
    asker.done()


@case(http2=True)
def no_byte_of_a_field_ends_its_line(stage):
    asker = Asker(stage)
    for end in ENDS:
        is_value = end in ("\x85", "\xa0")  # obs-text, which means nothing to anybody
        may_be_inside = is_value or end in (" ", "\t")
        status = asker.ask(head_of(stage, fields=[("x-a", f"b{end}c: d")]))
        expect(status == 200, may_be_inside, f"{end!r} in a value")
        expect(asker.ask(head_of(stage, fields=[("x-a", f"b{end}")])) == 200, is_value, f"{end!r} at a value's end")
        expect(asker.ask(head_of(stage, fields=[("x-a", f"{end}b")])) == 200, is_value, f"{end!r} at a value's start")
        expect(asker.ask(head_of(stage, fields=[(f"x{end}a", "b")])) == 200, False, f"{end!r} in a name")
        expect(asker.ask(head_of(stage, fields=[(f"x-a: b{end}x", "c")])) == 200, False, f"a line before a name, {end!r}")
        if not may_be_inside:
            expect(asker.ask(head_of(stage, fields=[("x-a", f"b{end}{end}{SMUGGLED}")])) == 200, False, f"a request after {end!r}")
            expect(asker.ask(head_of(stage, fields=[("cookie", "a=b"), ("cookie", f"c=d{end}X: y")])) == 200, False, "in a cookie")
            expect(asker.ask(head_of(stage, fields=[("host", f"{stage.host}{end}X: y")])) == 200, False, "in Host")
            expect(asker.ask(head_of(stage, fields=[("te", f"trailers{end}X: y")])) == 200, False, "in TE")
            expect(asker.ask(head_of(stage, "POST"), b"b", [("x", f"y{end}z: a")]) == 200, False, "in a trailer")
    asker.done()
    for request in stage.origin.requests:
        expect(request.get("c"), None, "a field made of a value")


@case(http2=True)
def nothing_frames_a_body_but_us(stage):
    """Every way to announce a body twice, or one that does not come."""
    asker = Asker(stage)
    lengths = ["0", "1", "3", "4", "5", "+4", "-4", "4 ", "4,4", "4, 5", "0x4", "4;a", "", "04", "4\t", "18446744073709551620", "4.0"]
    for length in lengths:
        for body in (b"", b"four"):
            is_right = length.isdigit() and int(length) == len(body)
            status = asker.ask(head_of(stage, "POST", fields=[("content-length", length)]), body)
            expect(status == 200, is_right, f"length {length!r} of {len(body)} bytes")
    for first, second in (("4", "4"), ("4", "0"), ("0", "4")):
        fields = [("content-length", first), ("content-length", second)]
        expect(asker.ask(head_of(stage, "POST", fields=fields), b"four") == 200, False, f"{fields}")
    for name in ("transfer-encoding", "Transfer-Encoding", "transfer-encoding ", "transfer_encoding", "connection", "keep-alive",
                 "proxy-connection", "upgrade", "http2-settings", "te"):
        for value in ("chunked", "identity", "x", "chunked, identity"):
            status = asker.ask(head_of(stage, "POST", fields=[(name, value)]), f"0\r\n\r\n{SMUGGLED}".encode())
            expect(status == 200, name == "transfer_encoding", f"{name}: {value}")
            status = asker.ask(head_of(stage, "POST", fields=[("content-length", "4"), (name, value)]), b"four")
            expect(status == 200, name == "transfer_encoding", f"length and {name}: {value}")
    asker.done()


@case(http2=True)
def bytes_of_a_body_are_a_body(stage):
    """A body that looks like a request, a chunk or the end of one arrives as it is."""
    bodies = [SMUGGLED.encode(), b"0\r\n\r\n" + SMUGGLED.encode(), b"\r\n\r\n" + SMUGGLED.encode(), b"5\r\nhello\r\n0\r\n\r\n",
              bytes(range(256)) * 40, h2.PREFACE]
    asker = Asker(stage)
    for body in bodies:
        for fields in ([], [("content-length", str(len(body)))]):
            expect(asker.ask(head_of(stage, "POST", fields=fields), body), 200, "status")
            expect(stage.origin.requests[-1].body, body, "body")
        expect(asker.ask(head_of(stage, "GET"), body), 200, "a GET with a body")
        expect(stage.origin.requests[-1].body, body, "body")
    asker.done()


@case(http2=True)
def a_body_that_breaks_off_never_looks_whole(stage):
    """The client resets in mid-body: the origin sees a broken connection, not the end of a body."""
    stage.origin.play = lambda link: (link.read_request_head(), link.read_to_end(60 * SLOW))
    for fields in ([], [("content-length", "8")]):
        before = len(stage.origin.links)
        client = stage.http2()
        stream = client.headers(head_of(stage, "POST", fields=fields), False)
        client.data(stream, b"four")
        stage.origin.wait_links(before + 1, 30 * SLOW)
        link = stage.origin.links[before]
        wait_for(lambda: b"four" in bytes(link.received), "the first half")  # noqa: B023
        client.reset(stream)
        wait_for(lambda: not link.is_open, "its end")  # noqa: B023
        raw = bytes(link.received)
        expect(raw.endswith(b"four\r\n") or raw.endswith(b"four"), True, f"no end of the body: {raw[-40:]!r}")


@case(http2=True)
def who_is_meant_is_said_once(stage):
    asker = Asker(stage)
    host = stage.host
    for authority, fields, is_served in (
            (host, [("host", host)], True),
            (host.upper(), [("host", host)], None),
            (host, [("host", host + ":80")], True),
            (host, [("host", host + ":81")], False),
            (host, [("host", "other.test")], False),
            (host, [("host", host), ("host", host)], False),
            (host, [("host", "")], False),
            ("other.test", [("host", host)], False),
            (host + "@other.test", [], False),
            ("user@" + host, [], False),
            (host + "/x", [], False),
            (host + "," + host, [], False),
            (host + ":99999", [], False),
            ("[::1", [], False)):
        stage.origin.requests.clear()
        asker.served = 0
        status = asker.ask(head_of(stage, authority=authority, fields=fields))
        if is_served is not None:
            expect(status == 200, is_served, f"{authority} {fields}: {status}")
            asker.done()
    stage.origin.requests.clear()
    head = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", host)]
    expect(asker.ask(head), 200, "Host alone")
    expect(asker.ask(head[:3]) == 200, False, "nobody is meant")
    expect(asker.ask([*head_of(stage), (":authority", host)]) == 200, False, ":authority twice")
    for target in ("http://other.test/", "//other.test/", "*", "", "other", "?x", "/a#b", "/a b"):
        stage.origin.requests.clear()
        status = asker.ask(head_of(stage, path=target))
        expect(status == 200, target.startswith("//"), f"target {target!r}")
        for request in stage.origin.requests:
            expect((request.target, request.all("Host")), (target, [host]), "as it was sent")


@case(http2=True)
def forwarding_fields_of_strangers_are_replaced(stage):
    client = stage.http2()
    fields = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "other.test"),
              ("forwarded", "for=1.2.3.4"), ("x-forwarded-port", "1")]
    expect(client.read_answer(client.ask(stage.host, fields=fields)).status, 200, "status")
    seen = stage.origin.requests[0]
    expect((seen.all("X-Forwarded-For"), seen.all("X-Forwarded-Proto"), seen.all("X-Forwarded-Host")),
           (["127.0.0.1"], ["http"], [stage.host]), "X-Forwarded-*")
    expect((seen.get("Forwarded"), seen.get("X-Forwarded-Port")), (None, None), "the others")


@case(http2=True, service={"cache": "off"})
def an_answer_cannot_smuggle_either(stage):
    """What an origin puts into its fields reaches the client as fields of its stream, or not at all."""
    stage.expects_origin_failures = True
    for raw, status in ((b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n", 502),
                        (b"HTTP/1.1 200 OK\r\n:status: 500\r\nContent-Length: 0\r\n\r\n", 502),
                        (b"HTTP/1.1 200 OK\r\nX-Y : a\r\nContent-Length: 0\r\n\r\n", 502),
                        (b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n", 200),
                        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 502)):
        stage.origin.reply = raw
        client = stage.http2()
        got = client.read_answer(client.ask(stage.host))
        expect(got.status, status, f"{raw}")
        expect([name for name, _ in got.fields if name in ("connection", "upgrade", "x", "x-y")], [], "fields")
    stage.origin.reply = answer()


if __name__ == "__main__":
    run(__file__)

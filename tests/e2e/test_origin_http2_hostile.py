"""HTTP/2 origins that break off, refuse, stall or flood: each failure is what it is called, counts as it must, is tried
again only where that is safe, and harms no other call."""

import os
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import http2 as h2  # noqa: E402
from http2_origin import Http2Origin  # noqa: E402
from play import SLOW, WireError, add_case, case, expect, run, wait_for  # noqa: E402

ALWAYS = {"origin_http2": "always"}
PATIENTLY = {"timeouts": {"connect": "60s", "response_header": "60s"}}
QUICKLY = {"timeouts": {"connect": "60s", "response_header": f"{int(1500 * SLOW)}ms", "response_body": f"{int(1500 * SLOW)}ms"}}
SETUP = {"service": ALWAYS, "proxy": PATIENTLY, "workers": 1}
frame = h2.Http2.frame_bytes


def violations(stage):
    return stage.serin.metrics().by("serin_upstream_http2_violations_total", "kind", service=stage.name, role="previous")


def attempts(stage):
    return stage.serin.metrics().sum("serin_upstream_requests_total", service=stage.name, role="previous")


# ---- leaving ----

@case(**SETUP)
def goaway_in_mid_flight_loses_nothing(stage):
    """What is above the last stream was not looked at: asked again on another connection, whatever the method. What is
    not above it is finished where it is."""
    back = Http2Origin(stage.origin)

    def leave(served):
        first = served.next_request()
        served.respond(first.stream, body=b"first")
        asked = served.requests(3)
        served.go_away(asked[0].stream)
        served.respond(asked[0].stream, body=b"finished")
        served.read_to_end(600)

    back.plays = [leave, back.polite]
    expect(stage.ask().body, b"first", "the connection is made")
    links = []
    for number, method in enumerate(("GET", "POST", "DELETE")):
        link = stage.connect()
        link.send(stage.request(method, f"/{number}"))
        wait_for(lambda: len(back.served[0].answers) == number + 2 or len(back.served) > 1, "it is asked")  # noqa: B023
        links.append(link)
    expect([link.read_response().body for link in links], [b"finished", b"ok", b"ok"], "bodies")
    expect(sorted(asked.method for asked in back.asked), ["DELETE", "POST"], "asked again")
    expect(len(stage.origin.links), 2, "connections")


@case(**SETUP)
def a_graceful_goaway_sends_new_calls_elsewhere(stage):
    back = Http2Origin(stage.origin)
    seen = threading.Event()

    def leave(served):
        asked = served.next_request()
        served.go_away(2 ** 31 - 1)
        served.synchronise()
        seen.wait(60 * SLOW)
        served.respond(asked.stream, body=b"old")
        served.read_to_end(600)

    back.plays = [leave, back.polite]
    link = stage.connect()
    link.send(stage.request())
    wait_for(lambda: back.served and back.served[0].pongs, "GOAWAY was read")
    expect(stage.ask().body, b"ok", "a new call")
    seen.set()
    expect(link.read_response().body, b"old", "the old one")
    expect(len(stage.origin.links), 2, "connections")
    expect(stage.failures(), {}, "failures")


@case(**SETUP)
def a_refused_stream_is_asked_once_more(stage):
    back = Http2Origin(stage.origin)
    refusals = [1]

    def refuse(served, stream, asked):
        if refusals[0] > 0:
            refusals[0] -= 1
            served.reset(stream, h2.REFUSED_STREAM)
        else:
            served.respond(stream, body=b"ok")

    back.reply = refuse
    expect(stage.ask("POST").body, b"ok", "asked again, although it is no safe method")
    refusals[0] = 2
    expect(stage.ask().status, 502, "refused twice")
    expect(len(stage.origin.links), 1, "the connection is as good as before")
    refusals[0] = 1
    link = stage.connect()
    link.send(stage.request("POST", "/", body=b"gone"))
    expect(link.read_response("POST").status, 502, "a body that is gone is not asked again")


@case(**SETUP)
def a_reset_before_the_head_is_the_origins_answer(stage):
    """Unlike a connection that ends, it says that the request was seen."""
    back = Http2Origin(stage.origin)
    stays, asked = [], []

    def play(served):
        stays.append(served.next_request())
        one = served.next_request()
        asked.append(one)
        served.reset(one.stream, h2.INTERNAL_ERROR)
        served.respond(stays[0].stream, body=b"unharmed")
        back.polite(served)

    back.play = play
    link = stage.connect()
    link.send(stage.request(target="/stays"))
    wait_for(lambda: back.served and len(back.served[0].answers) == 1, "it is asked")
    expect(stage.ask(target="/reset").status, 502, "status")
    expect(link.read_response().body, b"unharmed", "the other call")
    expect(stage.failures(), {"reset": 1}, "failures")
    expect(len(asked), 1, "it was not asked again")
    expect(attempts(stage), 2, "attempts")


@case(**SETUP)
def a_connection_that_ends_is_a_pooled_one_that_closed(stage):
    back = Http2Origin(stage.origin)

    def hang_up(served):
        back.answer_one(served)
        served.next_request()

    back.plays = [hang_up, hang_up, back.polite]
    expect(stage.ask().status, 200, "first")
    expect(stage.ask().status, 200, "an idempotent request is asked again")
    expect(stage.ask("POST").status, 502, "another one is not")
    expect(len(back.asked), 2, "answers")


@case(**SETUP)
def a_body_that_is_broken_off_never_looks_whole(stage):
    back = Http2Origin(stage.origin)

    def play(served):
        first, second = served.requests(2)
        for asked in (first, second):
            served.headers([(":status", "200")], False, asked.stream)
            served.data(asked.stream, b"half of it")
        broken = next(asked for asked in (first, second) if asked.path == "/broken")
        whole = next(asked for asked in (first, second) if asked.path == "/whole")
        served.reset(broken.stream, h2.INTERNAL_ERROR)
        served.data(whole.stream, b", and the rest", True)
        back.polite(served)

    back.play = play
    broken, whole = stage.connect(), stage.connect()
    broken.send(stage.request(target="/broken"))
    whole.send(stage.request(target="/whole"))
    expect(whole.read_response().body, b"half of it, and the rest", "the other call")
    try:
        raise AssertionError(f"looks whole: {broken.read_response().body!r}")
    except WireError:
        pass
    expect(stage.failures(), {"bad_response": 1}, "failures")
    expect(len(stage.origin.links), 1, "connections")


@case(**SETUP)
def bodies_of_another_length_are_bad(stage):
    back = Http2Origin(stage.origin)
    lengths = {"/short": b"abc", "/long": b"abcdefgh", "/none": b""}

    def lie(served, stream, asked):
        body = lengths[asked.path]
        served.headers([(":status", "200"), ("content-length", "5")], not body, stream)
        if body:
            served.data(stream, body, True)

    back.reply = lie
    for target in ("/short", "/long"):
        link = stage.connect()
        link.send(stage.request(target=target))
        try:
            raise AssertionError(f"looks whole: {link.read_response().body!r}")
        except WireError:
            pass
    expect(stage.ask(target="/none").status, 502, "a head that ends the stream")
    expect(stage.failures(), {"bad_response": 3}, "failures")
    expect(len(stage.origin.links), 1, "connections")


# ---- heads ----

def table_of_heads():
    status = (":status", "200")
    return {
        "a_connection_field": [status, ("connection", "close")],
        "a_transfer_coding": [status, ("transfer-encoding", "chunked")],
        "a_te_in_an_answer": [status, ("te", "trailers")],
        "a_name_in_capitals": [status, ("X-Loud", "yes")],
        "no_status": [("x", "y")],
        "two_statuses": [status, status],
        "a_status_behind_fields": [("x", "y"), status],
        "a_short_status": [(":status", "20")],
        "a_long_status": [(":status", "2000")],
        "a_status_of_no_class": [(":status", "600")],
        "a_pseudo_field_of_requests": [status, (":path", "/")],
        "an_unknown_pseudo_field": [status, (":secret", "x")],
        "switching_protocols": [(":status", "101"), ("upgrade", "websocket")],
        "a_line_break_in_a_value": [status, ("x", "a\r\nb: c")],
        "two_lengths": [status, ("content-length", "3"), ("content-length", "4")],
        "a_length_that_is_no_number": [status, ("content-length", "+3")],
        "a_blank_before_a_value": [status, ("x", " y")],
        "a_field_beyond_the_limit": [status, ("x", "y" * 9000)],
        "a_field_too_many": [status, *[(f"x-{number}", "y") for number in range(110)]],
    }


def add_head(name, fields):
    def is_a_bad_response(stage):
        back = Http2Origin(stage.origin)
        back.reply = lambda served, stream, asked: \
            served.headers(fields, True, stream) if asked.path == "/bad" else served.respond(stream, body=b"ok")
        expect(stage.ask(target="/bad").status, 502, "status")
        expect(stage.failures(), {"bad_response": 1}, "failures")
        expect(stage.ask().status, 200, "the next one")
        expect(len(stage.origin.links), 1, "connections")

    add_case(is_a_bad_response, f"{name}_is_a_bad_response", **SETUP)


def table_of_bytes():
    """What a stream (always the first) may not hold."""
    head = h2.block([(":status", "200")])
    return {
        "data_before_the_head": frame(h2.DATA, h2.END_STREAM, 1, b"early"),
        "an_interim_answer_that_ends": frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, h2.block([(":status", "103")])),
        "an_end_without_a_head": frame(h2.HEADERS, h2.END_HEADERS, 1, h2.block([(":status", "103")]))
        + frame(h2.DATA, h2.END_STREAM, 1),
        "too_many_interim_answers": frame(h2.HEADERS, h2.END_HEADERS, 1, h2.block([(":status", "103")])) * 20,
        "a_push": frame(h2.PUSH_PROMISE, h2.END_HEADERS, 1, struct.pack(">I", 2) + head),
        "a_frame_too_large": frame(h2.DATA, 0, 1, b"x" * 20000),
        "a_window_of_no_bytes": frame(h2.WINDOW_UPDATE, 0, 1, struct.pack(">I", 0)),
        "broken_compression": frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff"),
        "a_head_on_no_stream": frame(h2.HEADERS, h2.END_HEADERS, 0, head),
        "a_stream_nobody_opened": frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 7, head),
    }


def add_bytes(name, data):
    def is_a_bad_response(stage):
        back = Http2Origin(stage.origin)

        def play(served):
            served.next_request()
            served.link.send(data)
            served.read_to_end(600)

        back.plays = [play, back.polite]
        link = stage.connect()
        link.send(stage.request())
        expect(link.read_response().status, 502, "status")
        expect(stage.failures(), {"bad_response": 1}, "failures")
        if name in ENDS_ALL:
            expect(stage.ask().status, 200, "the next one")

    add_case(is_a_bad_response, f"{name}_is_a_bad_answer", **SETUP)


# After these the connection is of no use to anybody.
ENDS_ALL = {"a_push", "a_frame_too_large", "broken_compression", "a_head_on_no_stream", "a_stream_nobody_opened"}


@case(**SETUP)
def a_body_where_none_may_be_is_bad(stage):
    back = Http2Origin(stage.origin)

    def reply(served, stream, asked):
        served.headers([(":status", "204" if asked.path == "/204" else "200")], False, stream)
        served.data(stream, b"body", True)

    back.reply = reply
    for method, target in (("HEAD", "/"), ("GET", "/204")):
        link = stage.connect()
        link.send(stage.request(method, target))
        try:
            link.read_response(method)
        except WireError:
            pass
    wait_for(lambda: stage.failures() == {"bad_response": 2}, "both count")


@case(**SETUP)
def trailers_with_a_fault_break_the_answer_off(stage):
    back = Http2Origin(stage.origin)
    trailers = {"/pseudo": [(":status", "200")], "/length": [("content-length", "2")], "/capitals": [("X", "y")]}
    back.reply = lambda served, stream, asked: served.respond(stream, body=b"ok", trailers=trailers[asked.path])
    for target in trailers:
        link = stage.connect()
        link.send(stage.request(target=target))
        try:
            raise AssertionError(f"looks whole: {link.read_response().body!r}")
        except WireError:
            pass
    wait_for(lambda: stage.failures() == {"bad_response": 3}, "all count")


@case(**SETUP)
def a_head_larger_than_the_origin_reads_is_not_sent(stage):
    """Many an origin ends the connection over it, and all that others asked there."""
    back = Http2Origin(stage.origin, settings=[(h2.MAX_HEADER_LIST_SIZE, 8192)])

    def play(served):
        held = served.next_request()
        back.answer_one(served)
        served.respond(held.stream, body=b"unharmed")
        back.polite(served)

    back.play = play
    large = [f"X-Large-{number}: {'y' * 4000}" for number in range(3)]
    held = stage.connect()
    held.send(stage.request(target="/held"))
    wait_for(lambda: back.served and len(back.served[0].answers) == 1, "it is asked")
    before = stage.rejected().get("head_too_long", 0)
    expect(stage.ask(fields=large).status, 431, "status")
    expect(stage.rejected().get("head_too_long", 0), before + 1, "refused")
    expect(stage.ask(fields=large[:1]).status, 200, "a smaller one")
    expect(held.read_response().body, b"unharmed", "the other call")
    expect(stage.failures(), {}, "failures")
    trailers = "".join(f"{line}\r\n" for line in large).encode()
    link = stage.connect()
    link.send(stage.request("POST", "/", ["Transfer-Encoding: chunked"]) + b"1\r\nx\r\n0\r\n" + trailers + b"\r\n")
    expect(link.read_response("POST").status, 200, "with trailers that are too large")
    expect((back.asked[-1].body, back.asked[-1].trailers), (b"x", None), "they are left out")
    expect(len(stage.origin.links), 1, "connections")


# ---- stalling ----

@case(service=ALWAYS, proxy=QUICKLY, workers=1)
def a_window_that_never_opens_is_a_timeout(stage):
    back = Http2Origin(stage.origin, settings=[(h2.INITIAL_WINDOW_SIZE, 0)])
    back.reply = lambda served, stream, asked: served.respond(stream, body=b"ok")
    link = stage.connect()
    link.send(stage.request("POST", "/", body=b"x" * 200000))
    expect(link.read_response("POST").status, 504, "status")
    expect(stage.failures(), {"timeout": 1}, "failures")
    expect(stage.ask().status, 200, "a call without a body")
    expect(len(stage.origin.links), 1, "on the same connection")


@case(service=ALWAYS, proxy=QUICKLY, workers=1)
def heads_and_bodies_that_do_not_come_are_timeouts(stage):
    back = Http2Origin(stage.origin)
    resets = []

    def play(served):
        silent = served.next_request()
        served.read_until(lambda: silent.reset is not None)
        resets.append(silent.reset)
        half = served.next_request()
        served.headers([(":status", "200")], False, half.stream)
        served.data(half.stream, b"half")
        served.read_until(lambda: half.reset is not None)
        resets.append(half.reset)
        back.polite(served)

    back.play = play
    expect(stage.ask().status, 504, "status")
    link = stage.connect()
    link.send(stage.request())
    try:
        raise AssertionError(f"looks whole: {link.read_response().body!r}")
    except WireError:
        pass
    expect(stage.failures(), {"timeout": 2}, "failures")
    wait_for(lambda: resets == [h2.CANCEL, h2.CANCEL], "each is cancelled")
    expect(stage.ask().status, 200, "the next one")
    expect(len(stage.origin.links), 1, "connections")


@case(service=ALWAYS, proxy={"timeouts": {"connect": f"{int(1500 * SLOW)}ms"}}, workers=1)
def an_origin_that_never_greets_is_a_connect_timeout(stage):
    stage.origin.play = lambda link: link.read_to_end(600)
    expect(stage.ask().status, 504, "status")
    expect(stage.failures(), {"connect": 1}, "failures")


@case(**SETUP)
def an_origin_of_another_protocol_is_a_bad_response(stage):
    stage.expects_origin_failures = True
    stage.origin.play = lambda link: (link.read_exactly(24), link.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
                                      link.read_to_end(600))
    expect(stage.ask().status, 502, "status")
    expect(stage.failures(), {"bad_response": 1}, "failures")


@case(**SETUP)
def an_origin_that_takes_no_streams_is_no_connection(stage):
    Http2Origin(stage.origin, settings=[(h2.MAX_CONCURRENT_STREAMS, 0)])
    stage.expects_origin_failures = True
    expect(stage.ask().status, 502, "status")
    expect(stage.failures(), {"connect": 1}, "failures")


@case(**SETUP)
def a_lowered_limit_holds_from_then_on(stage):
    back = Http2Origin(stage.origin)

    def lower(served):
        back.answer_one(served)
        served.link.send(served.settings_bytes([(h2.MAX_CONCURRENT_STREAMS, 1)]))
        served.synchronise()
        held = served.next_request()
        served.read_to_end(600) if held is None else None
        gate.wait(60 * SLOW)
        expect(len(served.answers), 2, "streams on the first connection")
        served.respond(held.stream, body=b"held")
        back.polite(served)

    gate = threading.Event()
    back.plays = [lower, back.polite]
    expect(stage.ask().status, 200, "status")
    wait_for(lambda: back.served[0].pongs, "the limit is known")
    link = stage.connect()
    link.send(stage.request(target="/held"))
    wait_for(lambda: len(back.served[0].answers) == 2, "it is asked")
    expect(stage.ask().status, 200, "another connection serves")
    expect(len(stage.origin.links), 2, "connections")
    gate.set()
    expect(link.read_response().body, b"held", "body")


# ---- floods ----

def table_of_floods():
    return {
        "ping": ("ping", frame(h2.PING, 0, 0, b"12345678")),
        "settings": ("settings", frame(h2.SETTINGS, 0, 0, struct.pack(">HI", h2.INITIAL_WINDOW_SIZE, 65535))),
        "empty_data": ("empty_data", frame(h2.DATA, 0, 1)),
        "priority": ("priority", frame(h2.PRIORITY, 0, 3, struct.pack(">IB", 1, 7))),
        "window_update": ("window_update", frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))),
        "unknown_frame": ("unknown_frame", frame(99, 0, 0, b"?")),
        "reset": ("rapid_reset", frame(h2.RST_STREAM, 0, 1, struct.pack(">I", h2.CANCEL))),
        "continuation": ("continuation", frame(h2.CONTINUATION, 0, 1, h2.block([("x", "y")]))),
    }


def add_flood(name, kind, one):
    def is_stopped(stage):
        back = Http2Origin(stage.origin)

        def flood(served):
            served.next_request()
            served.link.transcript = type(stage.transcript)()  # too much to be told
            if kind == "continuation":
                served.frame(h2.HEADERS, 0, 1, h2.block([(":status", "200")]))
            elif kind != "rapid_reset":
                served.headers([(":status", "200")], False, 1)
            try:
                for _ in range(400):
                    served.link.send(one * 100)
            except (WireError, OSError):
                pass
            served.read_to_end(600)

        back.plays = [flood, back.polite]
        link = stage.connect()
        link.send(stage.request("POST"))
        try:
            link.read_response("POST")
        except WireError:
            pass
        wait_for(lambda: violations(stage).get(kind) == 1, f"{kind} counted")
        expect(stage.ask().status, 200, "another connection serves")
        expect(len(stage.origin.links), 2, "connections")

    add_case(is_stopped, f"{name}_flood_is_stopped", **SETUP)


@case(**SETUP)
def an_origin_that_measures_the_path_is_no_flood(stage):
    """gRPC's servers send a PING for DATA that they get, to learn how much is under way."""
    back = Http2Origin(stage.origin)
    pings = []

    def measure(served):
        served.link.transcript = type(stage.transcript)()  # too much to be told
        asked = served.next_head()
        while not asked.has_ended:
            if served.read_frame().kind == h2.DATA:
                served.ping()
                pings.append(asked.stream)
        served.respond(asked.stream, body=b"measured")
        back.polite(served)

    back.play = measure
    link = stage.connect()
    link.transcript = type(stage.transcript)()
    link.send(stage.request("POST", "/", body=b"x" * (1000 * 16384)))
    expect(link.read_response("POST").body, b"measured", "body")
    expect(len(pings) >= 1000, True, f"{len(pings)} PINGs")
    expect(violations(stage), {}, "violations")
    expect(stage.ask().status, 200, "the next one")
    expect(len(stage.origin.links), 1, "connections")


@case(**SETUP)
def a_head_that_unpacks_to_megabytes_ends_the_connection(stage):
    """HPACK: one entry of the dynamic table, named again and again in a byte each."""
    back = Http2Origin(stage.origin)

    def bomb(served):
        asked = served.next_request()
        entry = h2.literal("x", "y" * 4000, True)
        served.headers(h2.literal(":status", "200") + entry + b"\xbe" * 12000, True, asked.stream)
        served.read_to_end(600)

    back.plays = [bomb, back.polite]
    expect(stage.ask().status, 502, "status")
    expect(violations(stage).get("header_bomb"), 1, "counted")
    expect(stage.failures(), {"bad_response": 1}, "failures")
    expect(stage.ask().status, 200, "another connection serves")


@case(**SETUP)
def what_breaks_the_protocol_is_counted(stage):
    back = Http2Origin(stage.origin)

    def play(served):
        served.next_request()
        served.link.send(frame(h2.PUSH_PROMISE, h2.END_HEADERS, 1, struct.pack(">I", 2) + h2.block([(":method", "GET")])))
        served.read_to_end(600)

    back.plays = [play, back.polite]
    expect(stage.ask().status, 502, "status")
    wait_for(lambda: violations(stage).get("protocol") == 1, "counted")


# ---- what it means to the judge ----

@case(starts_proxy=False)
def a_failing_canary_is_rescued_and_judged(stage):
    """Resets of streams are failures, not those of a connection; a version that is gone is."""
    Http2Origin(stage.origin)
    canary = Http2Origin(stage.canary)
    canary.reply = lambda served, stream, asked: served.reset(stream, h2.INTERNAL_ERROR)
    service = stage.service(weight="50%", rescue={"when": ["connect", "reset"], "budget": "100%"},
                            rollback={"on_breach": "alert", "max_bad_responses": "off"})
    serin = stage.start_serin({**PATIENTLY, "services": [{**service, **ALWAYS}]}, workers=1)
    for _ in range(10):
        expect(stage.ask().status, 200, "status")
    metrics = serin.metrics()
    expect(metrics.by("serin_upstream_failures_total", "kind", service=stage.name, role="current"), {"reset": 5}, "failures")
    expect(metrics.sum("serin_rescues_total", service=stage.name, result="success"), 5, "rescues")


for one_name, one_head in table_of_heads().items():
    add_head(one_name, one_head)
for one_name, one_data in table_of_bytes().items():
    add_bytes(one_name, one_data)
for one_name, (one_kind, one_frame) in table_of_floods().items():
    add_flood(one_name, one_kind, one_frame)

if __name__ == "__main__":
    run(__file__)

"""HTTP/2 clients that break the rules, or wear the proxy down within them: each is stopped, counted by kind, and harms
nobody else."""

import os
import select
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import http2 as h2  # noqa: E402
from play import SLOW, WireError, add_case, answer, case, expect, run, wait_for  # noqa: E402

FLOOD = 20000  # frames: far beyond every budget, however slowly they come


def violations(stage):
    return stage.serin.metrics().by("serin_http2_violations_total", "kind")


def is_served(stage):
    client = stage.http2()
    expect(client.read_answer(client.ask(stage.host)).status, 200, "somebody else is served")


def flood(stage, kind, frames, client=None):
    """Sends the frames (bytes) over and over until the proxy has had enough: GOAWAY, the end, and one more counted."""
    client = client or stage.http2()
    before = violations(stage).get(kind, 0)
    client.link.transcript = type(stage.transcript)()  # too much to be told
    try:
        for _ in range(0, FLOOD, 100):
            client.link.send(frames if isinstance(frames, bytes) else b"".join(next(frames) for _ in range(100)))
            while not client.goaways and (client.link.pending or select.select([client.link.sock], [], [], 0)[0]):
                client.read_frame()
            if client.goaways:
                break
    except (WireError, OSError):
        pass
    code = client.read_to_end(30 * SLOW)
    expect(code in (h2.ENHANCE_YOUR_CALM, None), True, f"GOAWAY, unless it was lost in our own flood: {code}")
    expect(violations(stage).get(kind, 0), before + 1, f"{kind} counted")
    is_served(stage)


@case(http2=True, proxy={"limits": {"body": "1KiB"}})
def heads_behind_an_answer_end_the_stream(stage):
    """Each would be kept for an answer that cannot go out."""
    client = stage.http2(settings=[(4, 0)])
    stream = client.ask(stage.host, "POST", fields=[("content-length", "100000")], is_last=False)
    expect(client.read_head(stream).fields is not None, True, "it is refused")
    client.headers([("x-more", "y" * 1000)], is_last=False, stream=stream)
    expect(client.read_reset(stream), h2.PROTOCOL_ERROR, "the stream")
    is_served(stage)


# ---- floods ----

@case(http2=True)
def rapid_reset_is_stopped(stage):
    """CVE-2023-44487: requests that are cancelled as soon as they are made."""
    client = stage.http2()
    fields = h2.block([(":method", "GET"), (":scheme", "http"), (":authority", stage.host), (":path", "/")])

    def frames():
        stream = 1
        while True:
            yield (client.frame_bytes(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, fields)
                   + client.frame_bytes(h2.RST_STREAM, 0, stream, struct.pack(">I", h2.CANCEL)))
            stream += 2

    stage.expects_origin_failures = True
    flood(stage, "rapid_reset", frames(), client)
    wait_for(lambda: stage.serin.metrics().sum("serin_requests_in_flight", service=stage.name) == 0, "nothing in flight")
    expect(len(stage.origin.links) < FLOOD / 20, True, f"{len(stage.origin.links)} connections to the origin")


@case(http2=True)
def resets_that_we_are_made_to_send_count_too(stage):
    """The same with the proxy as the one who resets: malformed requests, one after the other."""
    client = stage.http2()
    before = violations(stage).get("rapid_reset", 0)
    for _ in range(FLOOD):  # one by one, so that they are never too many at once
        stream = client.ask(stage.host, fields=[("connection", "close")])
        client.read_until(lambda: client.goaways or client.answer(stream).reset is not None)  # noqa: B023
        if client.goaways:
            break
    expect(client.goaways[-1].code, h2.ENHANCE_YOUR_CALM, "GOAWAY")
    expect(violations(stage).get("rapid_reset", 0), before + 1, "counted")
    is_served(stage)
    expect(len(stage.origin.requests), 1, "only the sound one reached the origin")


@case(http2=True)
def cancels_among_answers_are_no_rapid_reset(stage):
    """A balancer in front has many clients on a connection, and some of them leave."""
    stage.expects_origin_failures = True
    client = stage.http2()
    client.link.transcript = type(stage.transcript)()  # too much to be told
    for _ in range(400):
        client.reset(client.ask(stage.host))
        expect(client.read_answer(client.ask(stage.host)).status, 200, "the answer beside it")
    expect(client.goaways, [], "GOAWAY")


@case(http2=True, proxy={"limits": {"streams": 1000}})
def resets_of_all_streams_by_one_frame_count_too(stage):
    """SETTINGS that overflow windows which are full: no frame of a stream is invalid, and all streams are reset."""
    client = stage.http2()
    client.synchronise()
    before = violations(stage).get("rapid_reset", 0)
    for _ in range(300):  # that wait for their bodies: no request is opened for them
        stream = client.ask(stage.host, "POST", fields=[("content-length", "0")], is_last=False)
        client.window_update(stream, 0x7fffffff - 65535)
    client.link.send(client.settings_bytes([(h2.INITIAL_WINDOW_SIZE, 65536)]))
    expect(client.read_to_end(30 * SLOW), h2.ENHANCE_YOUR_CALM, "GOAWAY")
    expect(violations(stage).get("rapid_reset", 0), before + 1, "counted")
    is_served(stage)


def table_of_floods():
    frame = h2.Http2.frame_bytes
    return {
        "ping": ("ping", frame(h2.PING, 0, 0, b"12345678") * 100),
        "settings": ("settings", frame(h2.SETTINGS, 0, 0, struct.pack(">HI", h2.INITIAL_WINDOW_SIZE, 65535)) * 100),
        "empty_settings": ("settings", frame(h2.SETTINGS, 0, 0) * 100),
        "priority": ("priority", frame(h2.PRIORITY, 0, 3, struct.pack(">IB", 1, 7)) * 100),
        "priority_update": ("priority", frame(16, 0, 0, struct.pack(">I", 1) + b"u=1") * 100),
        "window_update": ("window_update", frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 100),
        "unknown_frame": ("unknown_frame", frame(99, 0, 0, b"?") * 100),
    }


def add_flood(name, kind, frames):
    def is_stopped(stage):
        flood(stage, kind, frames)

    add_case(is_stopped, f"{name}_flood_is_stopped", http2=True)


for flood_name, (flood_kind, flood_frames) in table_of_floods().items():
    add_flood(flood_name, flood_kind, flood_frames)


@case(http2=True)
def a_client_that_measures_the_path_is_no_flood(stage):
    """gRPC's clients send a PING for DATA that they get, to learn how much is under way. Nothing is saved up by that."""
    before = violations(stage).get("ping", 0)
    stage.origin.reply = answer(body=b"x" * (1000 * 16384))
    client = stage.http2()
    client.link.transcript = type(stage.transcript)()
    stream, pings = client.ask(stage.host), 0
    while not client.answer(stream).has_ended:
        if client.read_frame().kind == h2.DATA:
            client.ping()
            pings += 1
    expect(client.answer(stream).size, 1000 * 16384, "bytes")
    expect(pings >= 1000, True, f"{pings} PINGs")
    client.synchronise()
    expect(violations(stage).get("ping", 0), before, "violations")
    stage.origin.reply = answer(body=b"ok")
    flood(stage, "ping", h2.Http2.frame_bytes(h2.PING, 0, 0, b"12345678") * 100, client)


@case(http2=True)
def empty_data_flood_is_stopped(stage):
    client = stage.http2()
    stream = client.ask(stage.host, "POST", is_last=False)
    stage.expects_origin_failures = True
    flood(stage, "empty_data", client.frame_bytes(h2.DATA, 0, stream) * 100, client)


@case(http2=True)
def continuation_flood_is_stopped(stage):
    client = stage.http2()
    fields = h2.block([(":method", "GET"), (":scheme", "http"), (":authority", stage.host), (":path", "/")])
    client.frame(h2.HEADERS, h2.END_STREAM, 1, fields)
    flood(stage, "continuation", client.frame_bytes(h2.CONTINUATION, 0, 1, h2.literal("x", "y")) * 100, client)
    expect([request for request in stage.origin.requests if request.has("x")], [], "nothing of it was forwarded")


@case(http2=True)
def empty_continuation_flood_is_stopped(stage):
    client = stage.http2()
    client.frame(h2.HEADERS, h2.END_STREAM, 1, h2.literal(":method", "GET"))
    flood(stage, "continuation", client.frame_bytes(h2.CONTINUATION, 0, 1) * 100, client)


@case(http2=True)
def header_bomb_is_defused(stage):
    """One field of four kilobytes in the dynamic table, then a byte for each copy of it."""
    client = stage.http2()
    before = stage.serin.rss_kib()
    bomb = h2.literal("x", "y" * 3900, True) + b"\xbe" * 12000
    client.headers(bomb)
    expect(client.read_to_end(30 * SLOW), h2.ENHANCE_YOUR_CALM, "GOAWAY")
    expect(violations(stage).get("header_bomb", 0) >= 1, True, "counted")
    expect(stage.serin.rss_kib() - before < 8 << 10, True, "memory")
    is_served(stage)


@case(http2=True, proxy={"limits": {"streams": 4}})
def one_stream_too_many_is_refused(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), link.expect_closed(patience_s=60 * SLOW))
    client = stage.http2()
    client.synchronise()
    expect(client.settings[h2.MAX_CONCURRENT_STREAMS], 4, "announced")
    client.is_polite = False
    streams = [client.ask(stage.host) for _ in range(4)]
    stage.origin.wait_requests(4, 30 * SLOW)
    client.ask(stage.host)
    client.read_until(lambda: client.goaways or client.answers.get(9) and client.answers[9].reset is not None)
    expect(len(stage.origin.requests), 4, "requests at the origin")
    counted = violations(stage)
    expect(counted.get("streams", 0) + counted.get("protocol", 0) >= 1, True, f"counted: {counted}")
    expect([stream for stream in streams if client.answer(stream).fields], [], "the others wait on")


@case(http2=True, proxy={"limits": {"streams": 4}})
def streams_before_the_settings_are_known_are_refused_one_by_one(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), link.expect_closed(patience_s=60 * SLOW))
    client = stage.http2(is_polite=False)  # never says that it has read our settings
    before = violations(stage).get("streams", 0)
    streams = [client.ask(stage.host) for _ in range(10)]
    for stream in streams[4:]:
        expect(client.read_reset(stream), h2.REFUSED_STREAM, "refused")
    wait_for(lambda: violations(stage).get("streams", 0) == before + 6, "each is counted")
    stage.origin.wait_requests(4, 30 * SLOW)


@case(http2=True, proxy={"timeouts": {"client_header": f"{int(1000 * SLOW)}ms"}})
def a_head_that_never_ends_is_ended(stage):
    client = stage.http2()
    client.synchronise()
    client.frame(h2.HEADERS, h2.END_STREAM, 1, h2.literal(":method", "GET"))
    expect(client.read_to_end(60 * SLOW), h2.ENHANCE_YOUR_CALM, "GOAWAY")
    expect(stage.rejected().get("head_timeout", 0) >= 1, True, "counted")


@case(http2=True, proxy={"timeouts": {"client_header": f"{int(1000 * SLOW)}ms"}})
def a_client_that_says_nothing_is_ended(stage):
    stage.connect().expect_closed(patience_s=60 * SLOW)
    link = stage.connect()
    link.send(h2.PREFACE[:10])
    link.expect_closed(patience_s=60 * SLOW)
    link = stage.connect()
    link.send(h2.PREFACE)
    link.read_to_end(60 * SLOW)


@case(http2=True, proxy={"timeouts": {"client_body": f"{int(1000 * SLOW)}ms"}})
def a_client_that_reads_nothing_at_all_is_ended(stage):
    """Its windows are open, its socket is full."""
    stage.origin.reply = answer(body=b"x" * (32 << 20))
    client = stage.http2(settings=[(h2.INITIAL_WINDOW_SIZE, 0x7fffffff)], window=0x7fff0000 - 65535)
    client.ask(stage.host)
    wait_for(lambda: violations(stage).get("stalled", 0) >= 1, "it is counted", 60)
    wait_for(lambda: stage.serin.metrics().sum("serin_requests_in_flight", service=stage.name) == 0, "nothing in flight")
    is_served_small(stage)


def is_served_small(stage):
    stage.origin.reply = answer()
    is_served(stage)


# ---- connection errors: RFC 9113 ----

def add_connection_error(name, code, make):
    def ends_the_connection(stage):
        stage.expects_origin_failures = True
        client = stage.http2()
        before = violations(stage).get("protocol", 0)
        make(stage, client)
        expect(client.read_to_end(30 * SLOW), code, "GOAWAY")
        wait_for(lambda: violations(stage).get("protocol", 0) > before, "it is counted")
        is_served(stage)

    add_case(ends_the_connection, name, http2=True)


def opened(stage, client):
    return client.ask(stage.host, "POST", is_last=False)


CONNECTION_ERRORS = {
    "data_on_stream_zero": (h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.DATA, 0, 0, b"x")),
    "headers_on_stream_zero": (h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.HEADERS, h2.END_HEADERS, 0, b"\x82")),
    "headers_on_an_even_stream": (h2.PROTOCOL_ERROR, lambda stage, client: client.ask_on(stage.host, 2)),
    "data_on_an_idle_stream": (h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.DATA, 0, 5, b"x")),
    "reset_of_an_idle_stream": (h2.PROTOCOL_ERROR, lambda stage, client: client.reset(7)),
    "window_update_of_an_idle_stream": (h2.PROTOCOL_ERROR, lambda stage, client: client.window_update(7, 1)),
    "push_promise": (h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.PUSH_PROMISE, h2.END_HEADERS, opened(stage, client),
                                                                          struct.pack(">I", 2) + b"\x82")),
    "continuation_of_nothing": (h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.CONTINUATION, h2.END_HEADERS, 1, b"\x82")),
    "another_frame_within_a_head": (h2.PROTOCOL_ERROR, lambda stage, client: (
        client.frame(h2.HEADERS, 0, 1, b"\x82"), client.frame(h2.PING, 0, 0, b"12345678"))),
    "ping_of_the_wrong_size": (h2.FRAME_SIZE_ERROR, lambda stage, client: client.frame(h2.PING, 0, 0, b"1234567")),
    "ping_on_a_stream": (h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.PING, 0, 1, b"12345678")),
    "settings_of_the_wrong_size": (h2.FRAME_SIZE_ERROR, lambda stage, client: client.frame(h2.SETTINGS, 0, 0, b"12345")),
    "settings_answer_with_a_payload": (h2.FRAME_SIZE_ERROR, lambda stage, client: client.frame(h2.SETTINGS, h2.ACK, 0, b"123456")),
    "settings_on_a_stream": (h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.SETTINGS, 0, 1)),
    "enable_push_of_two": (h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 2, 2))),
    "initial_window_over_the_top": (
        h2.FLOW_CONTROL_ERROR, lambda stage, client: client.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31))),
    "frame_size_setting_too_small": (
        h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 5, 16383))),
    "goaway_on_a_stream": (h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.GOAWAY, 0, 1, b"\0" * 8)),
    "a_connection_window_over_the_top": (h2.FLOW_CONTROL_ERROR, lambda stage, client: client.window_update(0, 0x7fffffff)),
    "a_connection_window_update_of_zero": (h2.PROTOCOL_ERROR, lambda stage, client: client.window_update(0, 0)),
    "a_stream_window_update_of_zero": (h2.PROTOCOL_ERROR, lambda stage, client: client.window_update(opened(stage, client), 0)),
    "window_update_of_the_wrong_size": (h2.FRAME_SIZE_ERROR, lambda stage, client: client.frame(h2.WINDOW_UPDATE, 0, 0, b"123")),
    "reset_of_the_wrong_size": (h2.FRAME_SIZE_ERROR, lambda stage, client: client.frame(h2.RST_STREAM, 0, opened(stage, client), b"1")),
    "a_frame_over_the_size": (h2.FRAME_SIZE_ERROR, lambda stage, client: client.frame(h2.DATA, 0, opened(stage, client), b"x" * 16385)),
    "padding_longer_than_the_frame": (
        h2.PROTOCOL_ERROR, lambda stage, client: client.frame(h2.DATA, h2.PADDED, opened(stage, client), b"\x08123")),
    "an_index_that_does_not_exist": (h2.COMPRESSION_ERROR, lambda stage, client: client.headers(b"\xff\x80\x01")),
    "a_string_cut_short": (h2.COMPRESSION_ERROR, lambda stage, client: client.headers(b"\x00\x05ab")),
    "an_integer_without_end": (h2.COMPRESSION_ERROR, lambda stage, client: client.headers(b"\xff" * 20)),
    "a_table_over_the_size": (h2.COMPRESSION_ERROR, lambda stage, client: client.headers(b"\x3f\xe1\xff\x03" + b"\x82")),
}


def ask_on(client, host, stream, is_last=False):
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", "/")]
    client.headers(fields, is_last, stream)


h2.Http2.ask_on = ask_on
for error_name, (error_code, error_make) in CONNECTION_ERRORS.items():
    add_connection_error(error_name + "_ends_the_connection", error_code, error_make)


@case(http2=True)
def a_preface_without_settings_ends_the_connection(stage):
    link = stage.connect()
    link.send(h2.PREFACE + h2.Http2.frame_bytes(h2.PING, 0, 0, b"12345678"))
    link.read_to_end(30 * SLOW)
    is_served(stage)


# ---- stream errors: only the stream ends ----

def add_stream_error(name, codes, make, reason=None):
    def ends_the_stream(stage):
        stage.expects_origin_failures = True
        client = stage.http2()
        before = stage.rejected().get(reason, 0)
        stream = make(stage, client)
        expect(client.read_reset(stream, 30 * SLOW) in codes, True, f"reset: {client.answer(stream)}")
        if reason:
            expect(stage.rejected().get(reason, 0), before + 1, f"{reason} counted")
        expect(client.read_answer(client.ask(stage.host)).status, 200, "the connection lives on")
        expect(client.goaways, [], "GOAWAY")

    add_case(ends_the_stream, name, http2=True)


def after(stream, act):
    act(stream)
    return stream


def with_fields(*fields, **more):
    return lambda stage, client: client.ask(stage.host, fields=fields, **more)


def connect(stage, client, *fields):
    return client.headers([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                           (":authority", stage.host), (":path", "/"), *fields], False)


def unanswered(stage, client):
    """A tunnel that the origin has not agreed to, nor refused."""
    stage.origin.plays = [lambda link: (stage.origin.read(link), link.read_to_end()), stage.origin.polite]
    return connect(stage, client)


STREAM_ERRORS = {
    "a_stream_window_over_the_top": ({h2.FLOW_CONTROL_ERROR}, lambda stage, client: after(
        opened(stage, client), lambda stream: client.window_update(stream, 0x7fffffff))),
    "data_beyond_the_length": ({h2.PROTOCOL_ERROR}, lambda stage, client: after(
        client.ask(stage.host, "POST", fields=[("content-length", "3")], is_last=False),
        lambda stream: client.data(stream, b"four")), "content_length"),
    "data_short_of_the_length": ({h2.PROTOCOL_ERROR}, lambda stage, client: after(
        client.ask(stage.host, "POST", fields=[("content-length", "5")], is_last=False),
        lambda stream: client.data(stream, b"four", True)), "content_length"),
    "a_length_without_a_body": ({h2.PROTOCOL_ERROR}, with_fields(("content-length", "5")), "content_length"),
    "trailers_that_do_not_end_the_stream": ({h2.PROTOCOL_ERROR}, lambda stage, client: after(
        opened(stage, client), lambda stream: client.headers([("x", "y")], False, stream)), "trailer"),
    "pseudo_fields_in_trailers": ({h2.PROTOCOL_ERROR}, lambda stage, client: after(
        opened(stage, client), lambda stream: client.headers([(":path", "/")], True, stream)), "pseudo_field"),
    "a_length_in_trailers": ({h2.PROTOCOL_ERROR}, lambda stage, client: after(
        opened(stage, client), lambda stream: client.headers([("content-length", "0")], True, stream)), "trailer"),
    "a_name_in_capitals": ({h2.PROTOCOL_ERROR}, with_fields(("X-Capital", "1")), "field_name"),
    "a_field_of_the_connection": ({h2.PROTOCOL_ERROR}, with_fields(("connection", "close")), "connection_field"),
    "a_protocol_without_connect": ({h2.PROTOCOL_ERROR}, with_fields((":protocol", "websocket")), "pseudo_field"),
    "a_tunnel_with_a_length": ({h2.PROTOCOL_ERROR}, lambda stage, client: connect(stage, client, ("content-length", "5")),
                               "content_length"),
    "a_tunnel_without_a_path": ({h2.PROTOCOL_ERROR}, lambda stage, client: client.headers(
        [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", stage.host)], False),
        "pseudo_field"),
    "a_second_head_in_a_tunnel": ({h2.PROTOCOL_ERROR}, lambda stage, client: after(
        unanswered(stage, client), lambda stream: client.headers([("x", "y")], True, stream)), "trailer"),
}
for error_name, error in STREAM_ERRORS.items():
    add_stream_error(error_name + "_ends_the_stream", *error)


@case(http2=True)
def frames_on_a_closed_stream_do_no_harm(stage):
    client = stage.http2()
    stream = client.ask(stage.host)
    expect(client.read_answer(stream).status, 200, "status")
    client.window_update(stream, 1)
    client.reset(stream)
    client.next_stream = 9
    client.read_answer(client.ask(stage.host))
    client.ask_on(stage.host, 5, True)  # closed by the one above, without ever having been open
    expect(client.read_answer(client.ask(stage.host)).status, 200, "the connection lives on")
    expect(len(stage.origin.requests), 3, "requests at the origin")


@case(http2=True)
def empty_data_on_a_closed_stream_is_stopped_too(stage):
    client = stage.http2()
    stream = client.ask(stage.host, "POST", is_last=False)
    client.reset(stream)
    stage.expects_origin_failures = True
    flood(stage, "empty_data", client.frame_bytes(h2.DATA, 0, stream) * 100, client)


@case(http2=True)
def data_after_the_end_is_refused(stage):
    stage.origin.plays = [lambda link: (stage.origin.read(link), link.expect_closed(patience_s=60 * SLOW)), stage.origin.polite]
    client = stage.http2()
    stream = client.ask(stage.host)
    client.frame(h2.DATA, 0, stream, b"more")
    expect(client.read_goaway(30 * SLOW), h2.STREAM_CLOSED, "GOAWAY")
    stage.origin.wait_links(1, 30 * SLOW)
    is_served(stage)


@case(http2=True)
def padding_counts_but_carries_nothing(stage):
    stage.origin.reply = lambda request: answer(body=request.body)
    client = stage.http2()
    stream = client.ask(stage.host, "POST", is_last=False)
    for number in range(2000):
        client.frame(h2.DATA, h2.PADDED | (h2.END_STREAM if number == 1999 else 0), stream, b"\xc8x" + b"\0" * 200)
        if number % 100 == 99:
            client.synchronise()
    expect(client.read_answer(stream).body, b"x" * 2000, "body")


if __name__ == "__main__":
    run(__file__)

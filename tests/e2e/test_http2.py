"""HTTP/2 in front: the same exchange as HTTP/1.1 has, at the pace of both sides, to a good end."""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import http2 as h2  # noqa: E402
from certificates import Authority  # noqa: E402
from play import SLOW, TooLate, answer, case, chunked, expect, free_port, run, wait_for  # noqa: E402

SHORT = {"timeouts": {"client_body": f"{int(1000 * SLOW)}ms", "client_idle": f"{int(1000 * SLOW)}ms"}}
RESCUE = {"weight": "100%", "rescue": {"when": [500], "budget": "100%"}}


def tool(*command):
    if shutil.which(command[0]) is None:
        raise AssertionError(f"{command[0]} is needed: .ci/setup test")
    done = subprocess.run(command, capture_output=True, timeout=60 * SLOW, check=False)
    return done.returncode, done.stdout.decode("latin-1") + done.stderr.decode("latin-1")


def violations(stage):
    return stage.serin.metrics().by("serin_http2_violations_total", "kind")


# ---- what goes through ----

@case(http2=True)
def a_request_and_its_answer_pass(stage):
    stage.origin.reply = answer(body=b"hello", fields=["X-Odd-Case: yes", "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: 5"])
    client = stage.http2()
    got = client.read_answer(client.ask(stage.host, path="/a?b=c", fields=[("x-one", "1")]))
    expect((got.status, got.body, got.has_ended), (200, b"hello", True), "answer")
    expect(got.get("content-length"), "5", "content-length")
    expect(got.get("x-odd-case"), "yes", "a name in lower case")
    expect([name for name in ("connection", "keep-alive", "x-hop", "transfer-encoding") if got.get(name)], [], "hop-by-hop")
    seen = stage.origin.requests[0]
    expect((seen.method, seen.target, seen.get("Host")), ("GET", "/a?b=c", stage.host), "at the origin")
    expect((seen.get("Via"), seen.get("X-Forwarded-Proto"), seen.get("x-one")), ("2 serin", "http", "1"), "fields")
    wait_for(lambda: any(line["host"] == stage.host for line in stage.serin.access_log()), "the access log")
    line = next(line for line in stage.serin.access_log() if line["host"] == stage.host)
    expect((line["protocol"], line["status"]), ("HTTP/2.0", 200), "access log")


@case(http2=True)
def bodies_pass_both_ways(stage):
    stage.origin.reply = lambda request: answer(body=request.body)
    client = stage.http2()
    body = os.urandom(60000)
    for fields in ([], [("content-length", str(len(body)))]):
        got = client.read_answer(client.ask(stage.host, "POST", "/", fields, body))
        expect((got.status, got.body == body), (200, True), "the body came back")
    expect([request.get("Transfer-Encoding") for request in stage.origin.requests], ["chunked", None], "framing")
    got = client.read_answer(client.ask(stage.host, "POST", "/", [("content-length", "0")], None))
    expect((got.status, got.body), (200, b""), "an empty one")


@case(http2=True)
def a_chunked_answer_and_its_trailers_pass(stage):
    stage.origin.reply = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                          + chunked(b"one", b"two", trailers=b"X-Sum: 7\r\nConnection: x\r\n"))
    client = stage.http2()
    got = client.read_answer(client.ask(stage.host))
    expect((got.body, got.trailers, got.get("content-length")), (b"onetwo", [("x-sum", "7")], None), "answer")


@case(http2=True)
def trailers_of_a_request_reach_the_origin(stage):
    client = stage.http2()
    stream = client.ask(stage.host, "POST", fields=[("te", "trailers")], is_last=False)
    client.data(stream, b"body")
    client.headers([("x-sum", "7"), ("authorization", "not here")], True, stream)
    expect(client.read_answer(stream).status, 200, "status")
    seen = stage.origin.requests[0]
    expect((seen.body, seen.trailers), (b"body", [("x-sum", "7")]), "at the origin")
    expect(seen.get("TE"), "trailers", "TE")


@case(http2=True)
def answers_without_a_body_have_none(stage):
    client = stage.http2()
    stage.origin.reply = answer(body=b"hello")
    got = client.read_answer(client.ask(stage.host, "HEAD"))
    expect((got.status, got.body, got.get("content-length")), (200, b"", "5"), "HEAD")
    for head in (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"):
        stage.origin.reply = head
        got = client.read_answer(client.ask(stage.host))
        expect((got.status, got.body, got.has_ended), (int(head[9:12]), b"", True), "status")


@case(http2=True)
def early_hints_and_continue_come_before_the_answer(stage):
    def play(link):
        request = link.read_request_head()
        stage.origin.note_request(request)
        link.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        link.read_body(request)
        link.send(answer(body=request.body))

    stage.origin.play = play
    client = stage.http2()
    stream = client.ask(stage.host, "POST", fields=[("expect", "100-continue"), ("content-length", "4")], is_last=False)
    got = client.answer(stream)
    client.read_until(lambda: len(got.informed) == 2)
    expect([dict(one)[":status"] for one in got.informed], ["103", "100"], "informational")
    expect(dict(got.informed[0])["link"], "</a>", "hint")
    client.data(stream, b"body", True)
    expect(client.read_answer(stream).body, b"body", "answer")
    expect(stage.origin.requests[0].get("Expect"), "100-continue", "Expect")


@case(http2=True)
def streams_do_not_wait_for_each_other(stage):
    gate = threading.Event()

    def play(link):
        request = stage.origin.read(link)
        if request.target == "/slow":
            gate.wait(30 * SLOW)
        link.send(answer(body=request.target.encode()))

    stage.origin.play = play
    client = stage.http2()
    slow = client.ask(stage.host, path="/slow")
    for number in range(20):
        expect(client.read_answer(client.ask(stage.host, path=f"/{number}")).body, f"/{number}".encode(), "answer")
    expect(client.answer(slow).fields, None, "the slow one is still waited for")
    gate.set()
    expect(client.read_answer(slow).body, b"/slow", "answer")


@case(http2=True)
def an_answer_before_the_end_of_the_body_is_not_lost(stage):
    def play(link):
        stage.origin.note_request(link.read_request_head())
        link.send(answer(413, b"too much", fields=["Connection: close"]))

    stage.origin.play = play
    client = stage.http2()
    stream = client.ask(stage.host, "POST", is_last=False)
    client.data(stream, b"x" * 1000)
    got = client.read_answer(stream)
    expect((got.status, got.body, got.has_ended), (413, b"too much", True), "answer")
    expect(client.read_reset(stream, 20 * SLOW), h2.NO_ERROR, "the client is asked to stop")


@case(http2=True)
def our_own_answers_come_through(stage):
    client = stage.http2()
    got = client.read_answer(client.ask("nowhere.test"))
    expect((got.status, got.body), (404, b"404 Not Found\n"), "no route")
    got = client.read_answer(client.headers([(":method", "CONNECT"), (":authority", "a:1")]))
    expect(got.status, 405, "CONNECT")
    got = client.read_answer(client.ask(stage.host, "BREW"))
    expect(got.status, 501, "unknown method")
    got = client.read_answer(client.ask(stage.host, path="/" + "a" * 9000))
    expect(got.status, 414, "target too long")
    got = client.read_answer(client.ask(stage.host, fields=[("x", "a" * 9000)]))
    expect(got.status, 431, "field too long")
    expect(client.read_answer(client.ask(stage.host)).status, 200, "the connection lives on")


# ---- the same exchange ----

@case(http2=True, service={"weight": "50%"})
def the_split_is_exact_over_streams(stage):
    client = stage.http2()
    streams = [client.ask(stage.host) for _ in range(40)]
    for stream in streams:
        expect(client.read_answer(stream).status, 200, "status")
    for origin in (stage.origin, stage.canary):
        expect(18 <= len(origin.requests) <= 22, True, f"{len(origin.requests)} of 40")


@case(http2=True, service=RESCUE)
def a_failed_canary_is_rescued(stage):
    stage.canary.reply = answer(500, b"broken")
    stage.origin.reply = answer(body=b"well")
    client = stage.http2()
    expect(client.read_answer(client.ask(stage.host)).body, b"well", "answer")
    expect(stage.serin.metrics().by("serin_rescues_total", "result", service=stage.name), {"success": 1}, "rescues")
    expect(stage.serin.metrics().sum("serin_client_bad_responses_total", service=stage.name), 0, "bad for the client")


@case(http2=True)
def a_truncated_answer_never_looks_whole(stage):
    stage.expects_origin_failures = True

    def play(link):
        stage.origin.read(link)
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")

    stage.origin.play = play
    client = stage.http2()
    got = client.read_answer(client.ask(stage.host))
    expect((got.has_ended, got.reset), (False, h2.INTERNAL_ERROR), "the stream is reset")
    expect(stage.failures(), {"bad_response": 1}, "failures")


@case(http2=True)
def a_client_that_cancels_frees_the_origin(stage):
    ended = threading.Event()

    def play(link):
        stage.origin.read(link)
        link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"first")[:-5])
        link.expect_closed(patience_s=30 * SLOW)
        ended.set()

    stage.origin.play = play
    client = stage.http2()
    stream = client.ask(stage.host)
    client.read_until(lambda: client.answer(stream).body == b"first")
    client.reset(stream)
    expect(ended.wait(30 * SLOW), True, "the origin's connection was closed")
    wait_for(lambda: stage.serin.metrics().sum("serin_requests_in_flight", service=stage.name) == 0, "nothing in flight")


# ---- pace ----

@case(http2=True)
def a_closed_window_stops_the_origin(stage):
    """Sixteen megabytes for a client that gives no window: what is in memory stays far below."""
    stage.origin.reply = answer(body=b"x" * (16 << 20))
    client = stage.http2()
    client.gives_windows = False
    before = stage.serin.rss_kib()
    stream = client.ask(stage.host)
    client.read_until(lambda: len(client.answer(stream).body) == 65535)
    for _ in range(20):
        client.synchronise()
    expect(len(client.answer(stream).body), 65535, "not a byte beyond the window")
    grown = stage.serin.rss_kib() - before
    expect(grown < 12 << 10, True, f"{grown} KiB more is little")
    client.gives_windows = True
    client.link.keeps = False
    client.window_update(0, 1 << 24)
    client.window_update(stream, 1 << 24)
    expect(len(client.read_answer(stream).body), 16 << 20, "bytes")


@case(http2=True)
def an_origin_that_does_not_read_stops_the_client(stage):
    """More than a window is given only for what the origin took, and then all of it is."""
    gate, size = threading.Event(), 24 << 20

    def play(link):
        head = link.read_request_head()
        stage.origin.note_request(head)
        gate.wait(60 * SLOW)
        count = 0

        def sink(piece):
            nonlocal count
            count += len(piece)

        link.keeps = False
        link.read_body(head, sink=sink)
        link.send(answer(body=str(count).encode()))

    stage.origin.play = play
    client = stage.http2()
    stream = client.ask(stage.host, "POST", fields=[("content-length", str(size))], is_last=False)
    client.synchronise()
    windows = {0: 65535, stream: client.settings[h2.INITIAL_WINDOW_SIZE]}
    seen = sent = 0

    def count_windows():
        nonlocal seen
        for frame in client.frames[seen:]:
            if frame.kind == h2.WINDOW_UPDATE:
                windows[frame.stream] += int.from_bytes(frame.payload, "big")
        seen = len(client.frames)

    while sent < size:
        count_windows()
        room = min(16384, size - sent, windows[0] - sent, windows[stream] - sent)
        if room > 0:
            client.frame(h2.DATA, h2.END_STREAM if sent + room == size else 0, stream, b"x" * room)
            sent += room
        else:
            try:
                client.read_frame(30 * SLOW if gate.is_set() else SLOW)
            except TooLate:
                expect(gate.is_set(), False, "the origin reads, and the client may not send")
                gate.set()
    expect(gate.is_set(), True, "the client was stopped before all was sent")
    expect(client.read_answer(stream, 60 * SLOW).body, str(size).encode(), "all of it came")


@case(http2=True)
def who_writes_before_it_reads_is_read(stage):
    """The socket is full of an answer that nobody takes; what its client says meanwhile is heard."""
    stage.origin.reply = lambda request: answer(body=b"x" * (32 << 20) if request.method == "GET" else b"ok")
    client = stage.http2(settings=[(h2.INITIAL_WINDOW_SIZE, 0x7fffffff)], window=0x7fff0000 - 65535)
    download = client.ask(stage.host)
    waiting = [-1, 0]
    while waiting[-1] == 0 or waiting[-1] != waiting[-2]:  # until no more comes
        time.sleep(0.3)
        waiting.append(struct.unpack("i", fcntl.ioctl(client.link.sock, termios.FIONREAD, bytes(4)))[0])
    body = os.urandom(60000)
    client.ask(stage.host, "POST", body=body)
    wait_for(lambda: [request.body for request in stage.origin.requests[1:]] == [body], "the origin has the body")
    client.reset(download)
    wait_for(lambda: stage.serin.metrics().sum("serin_requests_in_flight", service=stage.name) == 0, "nothing in flight")


@case(http2=True, proxy=SHORT)
def who_stops_reading_is_reset_and_counted(stage):
    stage.origin.reply = answer(body=b"x" * 200000)
    client = stage.http2()
    client.gives_windows = False
    stalled = client.ask(stage.host)
    expect(client.read_reset(stalled, 60 * SLOW), h2.CANCEL, "the stream")
    expect(violations(stage).get("stalled", 0) >= 1, True, "counted")


@case(http2=True, proxy=SHORT)
def who_owes_a_body_is_told_so(stage):
    client = stage.http2()
    stream = client.ask(stage.host, "POST", fields=[("content-length", "10")], is_last=False)
    client.data(stream, b"half")
    empty = client.ask(stage.host, "POST", fields=[("content-length", "0")], is_last=False)
    expect(client.read_answer(stream, 60 * SLOW).status, 408, "status")
    expect(client.read_answer(empty, 60 * SLOW).status, 408, "status of one that may be empty or not")
    wait_for(lambda: stage.rejected().get("body_timeout", 0) >= 1, "it is counted")


@case(http2=True, proxy=SHORT)
def a_lively_client_puts_off_no_deadline(stage):
    client = stage.http2()
    stream = client.ask(stage.host, "POST", fields=[("content-length", "10")], is_last=False)
    client.data(stream, b"half")
    deadline = time.monotonic() + 60 * SLOW
    while client.answer(stream).fields is None and time.monotonic() < deadline:
        client.ping()
        try:
            client.read_until(lambda: client.answer(stream).fields is not None, 0.2)
        except TooLate:
            pass
    expect(client.read_answer(stream).status, 408, "status, whatever else was said meanwhile")


@case(http2=True, proxy={"limits": {"header_size": "128KiB", "header_line": "128KiB"}})
def a_head_larger_than_usual_and_its_body_harm_nobody(stage):
    fields = [f"X-{number}: {'x' * 6000}" for number in range(15)]
    stage.origin.reply = answer(body=b"y" * 65536, fields=fields)
    client = stage.http2()
    got = client.read_answer(client.ask(stage.host))
    expect((got.status, len(got.body)), (200, 65536), "answer")
    stage.origin.reply = answer(body=b"after")
    client = stage.http2()
    expect(client.read_answer(client.ask(stage.host)).body, b"after", "somebody else")


@case(http2=True, proxy=SHORT)
def an_idle_connection_is_ended_in_good_order(stage):
    client = stage.http2()
    expect(client.read_answer(client.ask(stage.host)).status, 200, "status")
    expect(client.read_to_end(60 * SLOW), h2.NO_ERROR, "GOAWAY")
    expect(client.goaways[-1].last_stream, 1, "the last stream")


@case(http2=True, proxy={"limits": {"requests_per_connection": 3}})
def a_connection_ends_after_so_many_requests(stage):
    client = stage.http2()
    for _ in range(3):
        expect(client.read_answer(client.ask(stage.host)).status, 200, "status")
    expect(client.read_to_end(60 * SLOW), h2.NO_ERROR, "GOAWAY")


# ---- the end ----

@case(starts_proxy=False)
def a_drain_says_goaway_twice_and_lets_requests_finish(stage):
    gate = threading.Event()

    def play(link):
        request = stage.origin.read(link)
        if request.target == "/slow":
            gate.wait(60 * SLOW)
        link.send(answer(body=b"done"))

    stage.origin.play = play
    serin = stage.start_serin({"timeouts": {"drain": f"{int(60 * SLOW)}s"}}, http2=True)
    client = stage.http2()
    slow = client.ask(stage.host, path="/slow")
    stage.origin.wait_requests(1, 20 * SLOW)
    client.is_polite = False  # the notice's ping stays unanswered until we say so
    serin.signal(signal.SIGTERM)
    expect(client.read_goaway(30 * SLOW), h2.NO_ERROR, "the notice")
    expect(client.goaways[0].last_stream, 0x7fffffff, "no stream is refused yet")
    client.read_until(lambda: any(frame.kind == h2.PING and not frame.flags & h2.ACK for frame in client.frames))
    late = client.ask(stage.host, path="/late")
    client.ping([frame for frame in client.frames if frame.kind == h2.PING][-1].payload, h2.ACK)
    expect(client.read_answer(late, 30 * SLOW).body, b"done", "who did not know yet is served")
    client.read_until(lambda: client.goaways[-1].last_stream != 0x7fffffff, 30 * SLOW)
    expect(client.goaways[-1].last_stream, late, "the last stream")
    gate.set()
    expect(client.read_answer(slow, 30 * SLOW).body, b"done", "who was first is served")
    client.read_to_end(30 * SLOW)
    serin.process.wait(30 * SLOW)


# ---- who speaks what ----

@case(http2=True)
def one_address_speaks_both(stage):
    stage.origin.reply = answer(body=b"both")
    expect(stage.ask().body, b"both", "HTTP/1.1")
    link = stage.connect()
    link.send_in_cuts(stage.request())
    expect(link.read_response().body, b"both", "HTTP/1.1, byte by byte")
    link = stage.connect()
    link.send(b"PRI ")
    link.send(b"/ HTTP/1.1\r\nHost: " + stage.host.encode() + b"\r\n\r\n")
    expect(link.read_response().status, 501, "a method that only begins like the preface")
    link = stage.connect()
    link.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX")
    expect(link.read_response().status >= 400, True, "a preface with a wrong end")
    link = stage.connect()
    link.send_in_cuts(h2.PREFACE[:20])
    link.send(h2.PREFACE[20:] + h2.Http2.frame_bytes(h2.SETTINGS, 0, 0))
    expect(link.read_exactly(9)[3], h2.SETTINGS, "a preface in pieces")


@case()
def without_http2_the_preface_is_a_bad_request(stage):
    link = stage.connect()
    link.send(h2.PREFACE)
    expect(link.read_response().status >= 400, True, "status")
    link.expect_closed()


@case(http2=True)
def curl_nghttp_and_h2load_are_served(stage):
    stage.origin.reply = answer(body=b"hello")
    host = ("--resolve", f"{stage.host}:{stage.serin.port}:127.0.0.1", f"http://{stage.host}:{stage.serin.port}/")
    code, out = tool("curl", "-sS", "--http2-prior-knowledge", "-w", " %{http_version} %{http_code}", *host)
    expect((code, out), (0, "hello 2 200"), "curl")
    code, out = tool("curl", "-sS", "-w", " %{http_version} %{http_code}", *host)
    expect((code, out), (0, "hello 1.1 200"), "curl with HTTP/1.1")
    code, out = tool("nghttp", "-v", "-H", f":authority: {stage.host}", f"http://127.0.0.1:{stage.serin.port}/")
    expect((code, ":status: 200" in out), (0, True), f"nghttp {out}")
    code, out = tool("h2load", "-n", "300", "-c", "3", "-m", "10", "-H", f":authority: {stage.host}",
                     f"http://127.0.0.1:{stage.serin.port}/")
    expect((code, "300 succeeded, 0 failed" in out), (0, True), f"h2load {out}")
    expect(violations(stage).get("protocol", 0), 0, "nothing to object to")


@case(starts_proxy=False)
def alpn_chooses_over_tls(stage):
    authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
    site = authority.make("site", f"DNS:{stage.host}")
    ports = {"auto": free_port(), "off": free_port()}
    stage.origin.reply = answer(body=b"hello")
    listen = [{"address": f"127.0.0.1:{port}", "tls": [site], "http2": word} for word, port in ports.items()]
    stage.start_serin({"listen": listen})
    for word, option, version in (("auto", "--http2", "2"), ("auto", "--http1.1", "1.1"), ("off", "--http2", "1.1")):
        code, out = tool("curl", "-sS", option, "--cacert", authority.path("ca.pem"), "-w", " %{http_version} %{http_code}", "--resolve",
                         f"{stage.host}:{ports[word]}:127.0.0.1", f"https://{stage.host}:{ports[word]}/")
        expect((code, out), (0, f"hello {version} 200"), f"{option} where http2 is {word}")
    expect({request.get("X-Forwarded-Proto") for request in stage.origin.requests}, {"https"}, "X-Forwarded-Proto")


if __name__ == "__main__":
    run(__file__)

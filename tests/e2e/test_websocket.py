"""WebSockets by HTTP/2 (RFC 8441): the stream is the tunnel, and an origin of HTTP/1.1 knows no difference. And the
clients that people use, by HTTP/1.1 and by HTTP/2."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import http2 as h2  # noqa: E402
from browser import Browser  # noqa: E402
from certificates import Authority  # noqa: E402
from clients import CLIENTS, NODE  # noqa: E402
from http2 import Tunnel  # noqa: E402
from play import SLOW, Closed, Reset, answer, case, expect, free_port, run, wait_for  # noqa: E402
from websocket import CLOSE, TEXT, close_frame, frame, header, read_close, read_frame, switch_for  # noqa: E402

SOON = {"deadline": f"{int(30 * SLOW)}s", "jitter": "0s"}
WHOLE = {"weight": "100%", "rollback": {"move": SOON}}
TIGHT = {"weight": "100%", "rollback": {"move": {"deadline": f"{int(1000 * SLOW)}ms", "jitter": "0s"}}}
QUICK = {"timeouts": {"client_body": f"{int(500 * SLOW)}ms", "client_idle": f"{int(60 * SLOW)}s"}, "limits": {"body": "1KiB"}}


def switching(origin, then, *fields):
    def play(link):
        link.patience_s = 60 * SLOW
        link.send(switch_for(origin.read(link), *fields))
        then(link)

    return play


def echo(link):
    """Sends each frame back and answers a Close, as servers do."""
    while True:
        opcode, payload = read_frame(link)
        link.send(frame(payload, opcode))
        if opcode == CLOSE:
            return


def open_socket(stage, fields=(), client=None):
    tunnel = Tunnel(client or stage.http2(), stage.host, fields=[("sec-websocket-version", "13"), *fields])
    expect(tunnel.read_head().status, 200, "status")
    return tunnel


def says(link, word):
    link.send(frame(word, TEXT, masked=True))
    expect(read_frame(link), (TEXT, word), "echo")


def until_end(link):
    try:
        while True:
            link.read_some()
    except Closed:
        return True


def lines(stage, count, status=101):
    def finished():
        return [line for line in stage.serin.access_log() if line["service"] == stage.name and line["status"] == status]

    return wait_for(lambda: len(finished()) >= count and finished(), f"{count} lines in the access log")


# ---- what goes through ----

@case(http2=True)
def a_stream_becomes_a_tunnel_to_an_origin_of_http_1_1(stage):
    stage.origin.play = switching(stage.origin, echo, "Sec-WebSocket-Protocol: chat")
    client = stage.http2()
    tunnel = Tunnel(client, stage.host, "/chat?room=1", [
        ("origin", "https://shop.test"), ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat, other"),
        ("sec-websocket-key", "the client's own"), ("cookie", "a=b"), ("te", "trailers")])
    expect(client.settings[h2.ENABLE_CONNECT_PROTOCOL], 1, "what SETTINGS announce")
    head = tunnel.read_head()
    expect((head.status, head.get("sec-websocket-protocol")), (200, "chat"), "answer")
    expect([name for name in ("upgrade", "connection", "sec-websocket-accept", "content-length") if head.get(name)], [],
           "fields of HTTP/1.1")
    seen = stage.origin.requests[0]
    expect((seen.method, seen.target, seen.get("Host")), ("GET", "/chat?room=1", stage.host), "what the origin is asked")
    expect((seen.get("Upgrade"), seen.all("Connection"), seen.get("Via")), ("websocket", ["upgrade"], "2 serin"), "how")
    expect(len(base64.b64decode(seen.get("Sec-WebSocket-Key"), validate=True)), 16, "a key of ours")
    expect(len(seen.all("Sec-WebSocket-Key")), 1, "and only that")
    expect((seen.get("Sec-WebSocket-Version"), seen.get("Origin"), seen.get("Cookie")), ("13", "https://shop.test", "a=b"),
           "what passes")
    for word in (b"one", b"", b"\x00\xff" * 40000):
        says(tunnel, word)
    tunnel.send(close_frame(1000, masked=True))
    expect(read_close(tunnel), 1000, "the origin's Close")
    expect(tunnel.read_to_end(), b"", "and its end")
    tunnel.finish_sending()
    line = lines(stage, 1)[0]
    expect((line["protocol"], line["method"], line["failure"]), ("HTTP/2.0", "GET", None), "line")
    client.synchronise()
    expect(tunnel.answer.reset, None, "nobody reset it")


@case(http2=True)
def each_tunnel_has_a_key_of_its_own(stage):
    stage.origin.play = switching(stage.origin, echo)
    client = stage.http2()
    for _ in range(3):
        open_socket(stage, client=client)
    expect(len({request.get("Sec-WebSocket-Key") for request in stage.origin.requests}), 3, "keys")


@case(http2=True)
def tunnels_and_requests_share_a_connection(stage):
    stage.origin.plays = [switching(stage.origin, echo), switching(stage.origin, echo), stage.origin.polite]
    client = stage.http2()
    one, two = open_socket(stage, client=client), open_socket(stage, client=client)
    says(one, b"1")
    expect(client.read_answer(client.ask(stage.host)).status, 200, "a request between")
    says(two, b"2")
    says(one, b"3")


@case(http2=True)
def megabytes_go_both_ways_at_the_pace_of_both(stage):
    size = 4 << 20

    def play(link):
        link.keeps = False
        total = 0
        while total < size:
            total += len(link.read_some())
        link.send(b"y" * size)
        link.finish_sending()
        link.read_to_end()

    stage.origin.play = switching(stage.origin, play)
    tunnel = open_socket(stage)
    tunnel.send(b"x" * size)
    expect(len(tunnel.read_exactly(size, 60 * SLOW)), size, "bytes back")
    tunnel.finish_sending()


@case(http2=True)
def the_clients_end_reaches_the_origin_and_the_answer_still_comes(stage):
    def play(link):
        expect(link.read_to_end(), b"question", "until the end")
        link.send(b"answer")

    stage.origin.play = switching(stage.origin, play)
    tunnel = open_socket(stage)
    tunnel.send(b"question")
    tunnel.finish_sending()
    expect(tunnel.read_to_end(), b"answer", "after it")


@case(http2=True)
def the_origins_end_reaches_the_client_who_may_go_on(stage):
    got = []

    def play(link):
        link.send(b"last words")
        link.finish_sending()
        got.append(link.read_to_end())

    stage.origin.play = switching(stage.origin, play)
    tunnel = open_socket(stage)
    expect(tunnel.read_to_end(), b"last words", "until the end")
    tunnel.send(b"still here")
    tunnel.finish_sending()
    wait_for(lambda: got, "the origin has all")
    expect(got, [b"still here"], "what came after")


@case(http2=True)
def an_end_within_the_head_is_the_clients_end(stage):
    got = []
    stage.origin.play = switching(stage.origin, lambda link: (got.append(link.read_to_end()), link.send(b"bye")))
    client = stage.http2()
    stream = client.headers([(":method", "CONNECT"), (":protocol", "WebSocket"), (":scheme", "http"),
                             (":authority", stage.host), (":path", "/")], is_last=True)
    seen = client.read_answer(stream)
    expect((seen.status, seen.body, got), (200, b"bye", [b""]), "answer, what the origin got")


@case(http2=True)
def a_reset_of_the_client_ends_the_origins_connection(stage):
    ended = []
    stage.origin.play = switching(stage.origin, lambda link: ended.append(until_end(link)))
    tunnel = open_socket(stage)
    tunnel.client.reset(tunnel.stream)
    wait_for(lambda: ended, "the origin sees the end")


@case(http2=True)
def a_reset_of_the_origin_resets_the_stream(stage):
    stage.origin.play = switching(stage.origin, lambda link: (link.read_exactly(1), link.reset()))
    tunnel = open_socket(stage)
    tunnel.send(b"x")
    expect(tunnel.client.read_reset(tunnel.stream), h2.CANCEL, "code")


@case(http2=True, proxy=QUICK)
def a_tunnel_is_no_body_and_may_be_silent(stage):
    stage.origin.play = switching(stage.origin, echo)
    tunnel = open_socket(stage)
    says(tunnel, b"much more than limits.body" * 100)
    tunnel.client.link.expect_silence(1.5 * SLOW)
    says(tunnel, b"still here")


# ---- who does not switch ----

@case(http2=True)
def frames_before_the_answer_wait_for_it(stage):
    asked, go_on = threading.Event(), threading.Event()

    def play(link):
        request = stage.origin.read(link)
        asked.set()
        go_on.wait(60 * SLOW)
        link.send(switch_for(request) + b"hello")
        expect(link.read_exactly(5), b"early", "what the client sent before the answer")
        link.send(b"!")

    stage.origin.play = play
    tunnel = Tunnel(stage.http2(), stage.host)
    tunnel.send(b"early")
    expect(asked.wait(10 * SLOW), True, "the origin has the request")
    tunnel.client.synchronise()
    expect(stage.origin.links[0].pending, b"", "nothing behind its head")
    go_on.set()
    expect(tunnel.read_exactly(6), b"hello!", "both ways")


@case(http2=True)
def a_refusal_is_an_ordinary_answer(stage):
    stage.origin.reply = lambda request: answer(403 if request.has("Upgrade") else 200, b"not here")
    client = stage.http2()
    tunnel = Tunnel(client, stage.host)
    tunnel.send(b"too early")
    seen = client.read_answer(tunnel.stream)
    expect((seen.status, seen.body, seen.get("content-length")), (403, b"not here", "8"), "answer")
    tunnel.finish_sending()
    expect(client.read_answer(client.ask(stage.host)).status, 200, "the connection lives on")
    expect(stage.failures(), {}, "failures")


@case(http2=True)
def a_2xx_that_is_no_switch_would_be_taken_for_one(stage):
    client = stage.http2()
    for status in (200, 204, 206):
        stage.origin.reply = answer(status, b"" if status == 204 else b"a page")
        seen = client.read_answer(Tunnel(client, stage.host).stream)
        expect(seen.status, 502, f"in the place of {status}")
    expect((stage.failures(), stage.rejected().get("not_switched")), ({}, 3), "failures, refusals")


@case(http2=True, service=WHOLE, workers=1)
def a_canary_that_does_not_switch_did_clients_no_harm(stage):
    seen = stage.http2()
    expect(seen.read_answer(Tunnel(seen, stage.host).stream).status, 502, "status")
    wait_for(lambda: stage.serin.service(stage.name)["current"]["requests"] == 1, "it is counted")
    version = stage.serin.service(stage.name)["current"]
    expect((version["failures"], version["client_bad"]), (0, 0), "failures, bad answers")
    expect(stage.serin.metrics().sum("serin_client_bad_responses_total", service=stage.name), 0, "bad answers in metrics")


@case(http2=True, starts_proxy=False)
def no_file_of_a_challenge_is_taken_for_a_socket(stage):
    path = "/.well-known/acme-challenge/token"
    webroot = os.path.join(stage.folder, stage.name, "webroot")
    os.makedirs(os.path.dirname(webroot + path))
    with open(webroot + path, "w", encoding="ascii") as out:
        out.write("token.thumb")
    stage.start_serin({"acme": {"webroot": webroot}}, http2=True)
    client = stage.http2()
    expect(client.read_answer(Tunnel(client, stage.host, path).stream).status, 404, "a WebSocket")
    expect(client.read_answer(client.ask(stage.host, path=path)).body, b"token.thumb", "a request")


def add_bad_switch(name, make):
    def play(stage):
        stage.origin.play = lambda link: (link.send(make(stage.origin.read(link))), until_end(link))
        client = stage.http2()
        tunnel = Tunnel(client, stage.host)
        expect(client.read_answer(tunnel.stream).status, 502, "status")
        wait_for(lambda: stage.failures() == {"bad_response": 1}, "one bad answer")

    play.__name__ = name
    case(http2=True)(play)


add_bad_switch("an_accept_of_another_key_is_a_bad_answer", lambda request: switch_for(request).replace(b"Accept: ", b"Accept: A"))
add_bad_switch("no_accept_is_a_bad_answer", lambda request: b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
               b"Upgrade: websocket\r\n\r\n")
add_bad_switch("a_switch_to_something_else_is_a_bad_answer",
               lambda request: switch_for(request).replace(b"Upgrade: websocket", b"Upgrade: echo"))
add_bad_switch("a_switch_without_connection_is_a_bad_answer",
               lambda request: switch_for(request).replace(b"Connection: Upgrade\r\n", b""))


@case(http2=True)
def an_answer_that_breaks_off_is_a_bad_gateway(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), link.send(b"HTTP/1.1 101 Switching Pro"), link.close())
    client = stage.http2()
    expect(client.read_answer(Tunnel(client, stage.host).stream).status, 502, "status")


@case(http2=True)
def other_protocols_are_not_implemented(stage):
    client = stage.http2()
    for protocol in ("connect-udp", "webtransport", "h2c", "HTTP/1.1"):
        seen = client.read_answer(Tunnel(client, stage.host, protocol=protocol).stream)
        expect(seen.status, 501 if "/" not in protocol else None, protocol)
    stream = client.headers([(":method", "CONNECT"), (":authority", f"{stage.host}:443")], is_last=False)
    expect(client.read_answer(stream).status, 405, "a plain CONNECT")
    expect(len(stage.origin.requests), 0, "requests at the origin")
    expect(stage.rejected().get("protocol_unknown", 0) >= 3, True, "refusals")


@case(http2=True, service={"weight": "100%", "rescue": {"when": [503], "budget": "100%"}})
def a_canary_that_cannot_is_made_good_by_the_stable_version(stage):
    stage.canary.reply = answer(503)
    stage.origin.play = switching(stage.origin, echo)
    tunnel = open_socket(stage)
    says(tunnel, b"rescued")


# ---- how it ends ----

@case(http2=True, service=WHOLE)
def a_canarys_socket_is_closed_with_1012_when_its_weight_is_gone(stage):
    got = []
    stage.canary.play = switching(stage.canary, lambda link: (got.append(read_close(link)), link.send(close_frame(1012))))
    tunnel = open_socket(stage)
    expect(stage.serin.set_weight(stage.name, 0).status, 200, "weight 0")
    expect(read_close(tunnel), 1012, "code")
    tunnel.send(close_frame(1012, masked=True))
    expect(tunnel.read_to_end(), b"", "the end")
    tunnel.finish_sending()
    wait_for(lambda: got, "the origin has the client's answer")
    expect((got, lines(stage, 1)[0]["ended"]), ([1012], "moved"), "what the origin was told, line")


@case(http2=True, service=WHOLE, workers=1)
def a_frame_under_way_comes_whole_before_the_close(stage):
    payload = os.urandom(5000)
    go_on = threading.Event()

    def play(link):
        link.send(header(len(payload)) + payload[:1000])
        go_on.wait(60 * SLOW)
        link.send(payload[1000:] + frame(b"this one is nobody's"))
        until_end(link)

    stage.canary.plays = [switching(stage.canary, play), switching(stage.canary, echo)]
    tunnel, bell = open_socket(stage), open_socket(stage)
    expect(tunnel.read_exactly(1004)[4:], payload[:1000], "its beginning")
    expect(stage.serin.set_weight(stage.name, 0).status, 200, "weight 0")
    expect(read_close(bell), 1012, "the bell's code")
    go_on.set()
    expect(tunnel.read_exactly(4000), payload[1000:], "the rest of the frame")
    expect(read_close(tunnel), 1012, "code")


@case(http2=True, service=TIGHT)
def a_socket_stuck_within_a_frame_is_reset_at_the_deadline(stage):
    stage.canary.play = switching(stage.canary, lambda link: (link.send(header(100) + b"half"), until_end(link)))
    tunnel = open_socket(stage)
    tunnel.read_exactly(6)
    expect(stage.serin.set_weight(stage.name, 0).status, 200, "weight 0")
    try:
        tunnel.read_exactly(1)
    except Reset:
        expect((tunnel.answer.reset, lines(stage, 1)[0]["ended"]), (h2.CANCEL, "cut"), "code, line")
        return
    raise AssertionError("a torn frame looks like an orderly end")


@case(starts_proxy=False)
def a_drain_says_goaway_and_closes_sockets_with_1001(stage):
    serin = stage.start_serin({"timeouts": {"drain": f"{int(60 * SLOW)}s"}}, http2=True)
    stage.origin.play = switching(stage.origin, echo)
    client = stage.http2()
    tunnel = open_socket(stage, client=client)
    serin.signal(signal.SIGTERM)
    client.read_until(lambda: any(last.last_stream == tunnel.stream for last in client.goaways))
    expect(read_close(tunnel), 1001, "code")
    tunnel.send(close_frame(1001, masked=True))
    tunnel.read_to_end()
    tunnel.finish_sending()
    expect(serin.process.wait(30 * SLOW), 0, "exit long before the drain's deadline")
    expect([line["ended"] for line in serin.access_log()], ["drained"], "lines")


# ---- the clients that people use ----

class Node:
    """websocket.cjs; its origin ends with the play."""

    def __init__(self):
        self.command = [NODE, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "websocket.cjs"), CLIENTS]
        self.process = subprocess.Popen([*self.command, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def talk(self, url, environment=None):
        done = subprocess.run([*self.command, "talk", url], capture_output=True, text=True, timeout=120 * SLOW, check=False,
                              env={**os.environ, **(environment or {})})
        expect(done.returncode, 0, f"the client: {done.stderr}")
        return json.loads(done.stdout)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30 * SLOW)
        self.process.stdout.close()


@case(starts_proxy=False)
def the_library_of_node_talks_to_itself(stage):
    node = Node()
    try:
        endpoints = [f"http://127.0.0.1:{node.port}"]
        service = stage.service(hosts=["*"], previous={"deployment": "stable", "endpoints": endpoints})
        serin = stage.start_serin({"services": [service]})
        seen = node.talk(f"ws://127.0.0.1:{serin.port}/chat")
    finally:
        node.stop()
    expect(seen["asked"], {"via": "1.1 serin", "url": "/chat"}, "it went through")
    expect((seen["protocol"], "permessage-deflate" in seen["extensions"]), ("chat", True), "what was agreed on")
    expect((seen["text"], seen["big"], seen["pong"], seen["fragments"]),
           ("g\u00fcnther", True, "are you there?", "one message"), "what came back")
    expect(seen["close"], [4001, "as you wish"], "Close")


@case(starts_proxy=False)
def chromium_takes_the_connection_that_it_has(stage):
    authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
    port = free_port()
    page_text = b"<!doctype html><title>shop</title><p>a page</p>"

    def play(link):
        link.patience_s = 600
        while True:
            request = stage.origin.read(link)
            if request.has("Upgrade"):
                link.send(switch_for(request))
                echo(link)
                return
            link.send(answer(body=page_text, fields=["Content-Type: text/html"]))

    stage.origin.play = play
    listen = [{"address": f"127.0.0.1:{port}", "tls": [authority.make("site", "DNS:localhost")]}]
    serin = stage.start_serin({"listen": listen, "services": [stage.service(hosts=["*"])]})
    browser = Browser()
    try:
        page = browser.open(trusting=True)
        page.goto(f"https://localhost:{port}/")
        got = page.evaluate("""new Promise((done) => {
            const socket = new WebSocket(`wss://${location.host}/chat`);
            const got = [];
            socket.onopen = () => socket.send("hello from a browser");
            socket.onmessage = (event) => { got.push(event.data); socket.close(4002, "enough"); };
            socket.onclose = (event) => done([...got, event.code]);
        })""")
    finally:
        browser.stop()
    expect(got, ["hello from a browser", 4002], "what the page saw")
    wait_for(lambda: [line for line in serin.access_log() if line["status"] == 101], "the socket's line")
    line = [line for line in serin.access_log() if line["status"] == 101][0]
    expect((line["protocol"], line["path"] if "path" in line else line.get("target")), ("HTTP/2.0", "/chat"), "line")


if __name__ == "__main__":
    run(__file__, parallel=4)

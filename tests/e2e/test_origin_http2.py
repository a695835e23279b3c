"""HTTP/2 to origins: which protocol is spoken, what many calls on one connection look like, and at whose pace."""

import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import http2 as h2  # noqa: E402
from certificates import Authority  # noqa: E402
from http2_origin import Http2Origin  # noqa: E402
from play import SLOW, case, expect, free_port, health, run, wait_for  # noqa: E402
from sealed import server_context  # noqa: E402
from wire import Closed  # noqa: E402

ALWAYS = {"origin_http2": "always"}
BOTH = ("h2", "http/1.1")
PATIENTLY = {"timeouts": {"connect": "60s", "response_header": "60s"}}


def sealed(stage, protocols):
    """The origin behind TLS, offering these protocols; and the service that reaches it."""
    authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
    site = authority.make("origin", "DNS:localhost")
    back = Http2Origin(stage.origin, context=server_context(site, protocols))
    service = stage.service(origin_tls={"ca": authority.path("ca.pem")},
                            previous={"deployment": "stable", "endpoints": [back.url]})
    return back, service


def reload(serin, service):
    serin.change({"services": [service]})
    before = serin.log().count("reload: done")
    serin.signal(1)
    wait_for(lambda: serin.log().count("reload: done") > before, "a reload")


def start(stage, service, **changes):
    return stage.start_serin({**PATIENTLY, "services": [{**service, **changes}]}, workers=1)


def ask_all(stage, targets, method="GET"):
    """One request per connection, at once; the links."""
    links = []
    for target in targets:
        link = stage.connect()
        link.send(stage.request(method, target))
        links.append(link)
    return links


# ---- what is said ----

@case(service={**ALWAYS, "host": "keep"}, proxy=PATIENTLY, workers=1)
def a_plain_endpoint_is_spoken_to_by_prior_knowledge(stage):
    back = Http2Origin(stage.origin)
    link = stage.connect()
    link.send(stage.request("GET", "/a?b=c", ["Cookie: a=1", "Cookie: b=2", "X-Mixed-Case: Yes", "TE: trailers, gzip",
                                              "Connection: te, x-hop", "X-Hop: stays", "Keep-Alive: 9"]))
    expect(link.read_response().status, 200, "status")
    asked = back.asked[-1]
    expect(asked.fields[:4], [(":method", "GET"), (":scheme", "http"), (":authority", stage.host), (":path", "/a?b=c")],
           "pseudo-header fields")
    expect(asked.all("te"), ["trailers"], "TE")
    expect(asked.all("x-mixed-case"), ["Yes"], "names go in lower case")
    expect("; ".join(asked.all("cookie")), "a=1; b=2", "cookies")
    names = {name for name, _ in asked.fields}
    expect(names & {"host", "connection", "x-hop", "keep-alive", "upgrade", "transfer-encoding"}, set(), "hop-by-hop fields")
    expect(asked.get("via"), "1.1 serin", "Via")
    for number in range(20):
        link.send(stage.request(target=f"/{number}"))
        expect(link.read_response().body, b"ok", "body")
    expect(len(back.served), 1, "connections")


@case(service=ALWAYS, proxy=PATIENTLY, workers=1, http2=True)
def what_no_table_may_keep_is_kept_by_none(stage):
    """The connection to the origin has one table for all clients."""
    back = Http2Origin(stage.origin)
    said = h2.block([(":status", "200"), ("x-plain", "said")])
    back.reply = lambda served, stream, asked: served.headers(said + h2.literal("x-token", "word", is_secret=True), True, stream)
    client = stage.http2()
    fields = h2.block([(":method", "GET"), (":scheme", "http"), (":authority", stage.host), (":path", "/")])
    for path in (fields, fields + h2.literal("x-token", "key", is_secret=True)):
        client.read_answer(client.headers(path))
    expect(("x-token", "key") in back.served[0].decoder.secrets, True, "towards the origin")
    expect(("x-token", "word") in client.decoder.secrets, True, "towards the client")
    kept = [name for name, _ in back.served[0].decoder.table + client.decoder.table]
    expect(("x-token" in kept, "via" in kept), (False, True), "what the tables keep")


@case(service=ALWAYS, proxy=PATIENTLY, workers=1)
def bodies_and_trailers_pass_both_ways(stage):
    back = Http2Origin(stage.origin)
    body = os.urandom(700000)

    def echo(served, stream, asked):
        served.inform(stream, 103, [("link", "</a.css>")])
        served.respond(stream, body=asked.body, trailers=[("x-sum", "7"), *(asked.trailers or [])])

    back.reply = echo
    link = stage.connect()
    for framing in ([f"Content-Length: {len(body)}"], ["Transfer-Encoding: chunked"]):
        link.send(stage.request("POST", "/", [*framing, "TE: trailers", "Connection: te"]))
        if framing[0].startswith("Content"):
            link.send(body)
        else:
            for at in range(0, len(body), 50000):
                piece = body[at:at + 50000]
                link.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            link.send(b"0\r\nX-Late: yes\r\n\r\n")
        answer = link.read_response("POST")
        expect(answer.status, 200, "status")
        expect([one.status for one in answer.interim], [103], "1xx")
        expect(answer.body == body, True, "the body comes back")
        trailers = dict((name.lower(), value) for name, value in answer.trailers)
        expect(trailers.get("x-sum"), "7", "the answer's trailers")
        if not framing[0].startswith("Content"):
            expect(trailers.get("x-late"), "yes", "the request's trailers")
    expect(back.asked[0].get("content-length"), str(len(body)), "a length that was said")
    expect(back.asked[1].get("content-length"), None, "one that was not")


@case(service=ALWAYS, proxy=PATIENTLY, workers=1, http2=True)
def clients_of_both_protocols_see_the_same(stage):
    back = Http2Origin(stage.origin)
    back.reply = lambda served, stream, asked: served.respond(stream, 200, [("x-a", "b")], b"answer", [("x-t", "u")])
    client = stage.http2()
    answer = client.read_answer(client.ask(stage.host, "POST", "/", body=b"x" * 60000))
    expect((answer.status, answer.get("x-a"), answer.body, answer.trailers), (200, "b", b"answer", [("x-t", "u")]), "HTTP/2")
    expect(back.asked[-1].body, b"x" * 60000, "its body")
    expect(back.asked[-1].get("via"), "2 serin", "Via")
    expect(answer.get("via"), "2 serin", "Via of the answer")
    answer = stage.ask()
    expect((answer.status, answer.get("x-a"), answer.body), (200, "b", b"answer"), "HTTP/1.1")


@case(service=ALWAYS, proxy=PATIENTLY, workers=1)
def answers_without_a_body_end_where_they_are(stage):
    back = Http2Origin(stage.origin)
    answers = {"/none": (204, []), "/same": (304, [("etag", "x"), ("content-length", "10")]), "/empty": (200, []),
               "/length": (200, [("content-length", "0")])}
    back.reply = lambda served, stream, asked: served.respond(stream, *answers.get(asked.path, (200, [("content-length", "99")])))
    link = stage.connect()
    for target, (status, _) in answers.items():
        link.send(stage.request(target=target))
        answer = link.read_response()
        expect((answer.status, answer.body), (status, b""), target)
    link.send(stage.request("HEAD", "/head"))
    answer = link.read_response("HEAD")
    expect((answer.status, answer.get("Content-Length")), (200, "99"), "HEAD")
    expect(len(back.served), 1, "connections")


@case(service=ALWAYS, proxy=PATIENTLY, workers=1, http2=True)
def many_that_leave_wear_no_connection_out(stage):
    """Origins end a connection on which too many streams are reset, with whatever else is under way there."""
    back = Http2Origin(stage.origin)
    back.play = lambda served: served.read_to_end(600)
    held, client = stage.connect(), stage.http2()
    held.send(stage.request(target="/held"))
    wait_for(lambda: back.served and len(back.served[0].answers) == 1, "it is asked")

    def seen(is_so):
        return sum(is_so(asked) for served in list(back.served) for asked in list(served.answers.values()))

    for number in range(10, 131, 10):
        streams = [client.ask(stage.host) for _ in range(10)]
        wait_for(lambda: seen(lambda asked: asked.has_ended) == number + 1, "all are asked")  # noqa: B023
        for stream in streams:
            client.reset(stream)
        wait_for(lambda: seen(lambda asked: asked.reset == h2.CANCEL) == number, "all are cancelled")  # noqa: B023
    first, second = back.served
    expect([len(first.answers), len(second.answers)], [1 + 100, 30], "calls on the connections")
    first.respond(1, body=b"unharmed")
    expect(held.read_response().body, b"unharmed", "the call that stayed")
    wait_for(lambda: [frame.code for frame in first.goaways] == [h2.NO_ERROR], "and then it is ended")
    expect(stage.failures(), {}, "failures")


@case(service=ALWAYS, proxy=PATIENTLY, workers=1)
def who_lost_a_connection_goes_on_a_shared_one(stage):
    back = Http2Origin(stage.origin, [(h2.MAX_CONCURRENT_STREAMS, 1)])
    both, broken = threading.Barrier(2), []

    def reply(served, stream, asked):
        if asked.path == "/pair":
            both.wait(120)
        if asked.path == "/break" and not broken:
            broken.append(stream)
            served.link.reset()
            raise Closed("as the play wants it")
        served.respond(stream, body=b"ok")

    back.reply = reply
    for link in ask_all(stage, ["/pair", "/pair"]):
        expect(link.read_response().status, 200, "status")
    expect(len(back.served), 2, "connections for two at once")
    expect(stage.ask(target="/break").status, 200, "asked once more")
    expect((len(broken), len(back.served)), (1, 2), "broken, and made")


# ---- which protocol ----

@case(starts_proxy=False)
def alpn_chooses_where_nothing_is_said(stage):
    back, service = sealed(stage, BOTH)
    start(stage, service)
    for _ in range(3):
        expect(stage.ask().status, 200, "status")
    expect(back.protocols, ["h2"], "protocols of the connections")
    expect(back.asked[0].get(":scheme"), "https", ":scheme")


@case(starts_proxy=False)
def an_endpoint_that_chooses_http1_gets_it_and_nobody_waits(stage):
    back, service = sealed(stage, ("http/1.1",))
    gate = threading.Event()

    def hold(link):
        while True:
            request = stage.origin.read(link)
            if request.target != "/first":
                gate.wait(60 * SLOW)
            link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    stage.origin.polite = hold
    start(stage, service)
    expect(stage.ask(target="/first").status, 200, "status")
    links = ask_all(stage, [f"/{number}" for number in range(6)])
    wait_for(lambda: len(back.protocols) == 6, "each has a connection of its own")
    gate.set()
    for link in links:
        expect(link.read_response().status, 200, "status")
    expect(set(back.protocols), {"http/1.1"}, "protocols")


@case(starts_proxy=False)
def calls_before_the_first_handshake_share_its_connection(stage):
    back, service = sealed(stage, BOTH)
    gate = threading.Event()
    perform = stage.origin.play

    def late(link):
        gate.wait(60 * SLOW)
        perform(link)

    stage.origin.play = late
    serin = start(stage, service)
    links = ask_all(stage, [f"/{number}" for number in range(30)])
    wait_for(lambda: serin.metrics().sum("serin_requests_in_flight", service=stage.name) == 30, "all are under way")
    gate.set()
    for link in links:
        expect(link.read_response().status, 200, "status")
    expect(len(stage.origin.links), 1, "handshakes")


@case(starts_proxy=False)
def off_speaks_http1_alone(stage):
    back, service = sealed(stage, BOTH)
    start(stage, service, origin_http2="off")
    expect(stage.ask().status, 200, "status")
    expect(back.protocols, ["http/1.1"], "protocols")


@case(starts_proxy=False)
def always_wants_it_chosen(stage):
    back, service = sealed(stage, ("http/1.1",))
    stage.expects_origin_failures = True
    serin = start(stage, service, origin_http2="always")
    expect(stage.ask().status, 502, "status")
    wait_for(lambda: stage.failures().get("tls") == 1, "a failed handshake")
    wait_for(lambda: "did not agree on HTTP/2" in serin.log() or "no_protocol" in serin.log(), "the log says why")
    expect(stage.origin.requests, [], "requests that the origin saw")


@case(starts_proxy=False)
def an_upgrade_is_made_by_http1(stage):
    back, service = sealed(stage, BOTH)

    def switch(link):
        request = stage.origin.read(link)
        expect(request.get("Upgrade"), "echo", "Upgrade")
        link.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        link.send(link.read_exactly(5))
        link.read_to_end()

    stage.origin.polite = switch
    start(stage, service)
    expect(stage.ask().status, 200, "an ordinary request")
    link = stage.connect()
    link.send(stage.request("GET", "/", ["Connection: upgrade", "Upgrade: echo"]) + b"hello")
    expect(link.read_response_head().status, 101, "status")
    expect(link.read_exactly(5), b"hello", "through the tunnel")
    expect(back.protocols, ["h2", "http/1.1"], "protocols")


@case(service=ALWAYS, proxy=PATIENTLY, workers=1, http2=True)
def where_http1_is_not_spoken_no_upgrade_is_made(stage):
    """A client may offer one at any time: it says nothing about the origin."""
    back = Http2Origin(stage.origin)
    link = stage.connect()
    websocket = ["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    for method, fields, body in (("GET", ["Connection: upgrade", "Upgrade: x"], b""), ("GET", websocket, b""),
                                 ("POST", ["Connection: upgrade", "Upgrade: h2c"], b"body")):
        link.send(stage.request(method, "/", fields, body))
        answer = link.read_response(method)
        expect((answer.status, answer.body), (200, b"ok"), f"{fields[1]}")
        asked = back.asked[-1]
        expect((asked.method, asked.body, asked.get("upgrade"), asked.get("connection")), (method, body, None, None), "asked")
    before = stage.rejected().get("protocol_unknown", 0)
    client = stage.http2()
    expect(h2.Tunnel(client, stage.host).read_head().status, 501, "CONNECT")
    expect(stage.rejected().get("protocol_unknown", 0), before + 1, "refused")
    expect(client.read_answer(client.ask(stage.host)).status, 200, "the next one")
    expect(stage.failures(), {}, "failures")
    expect(stage.serin.metrics().sum("serin_upstream_requests_total", service=stage.name, role="previous"), 4, "attempts")
    expect(len(stage.origin.links), 1, "connections")


@case(starts_proxy=False)
def a_reload_changes_the_protocol(stage):
    back, service = sealed(stage, BOTH)
    serin = start(stage, service)
    expect(stage.ask().status, 200, "status")
    reload(serin, {**service, "origin_http2": "off"})
    expect(stage.ask().status, 200, "status")
    expect(back.protocols, ["h2", "http/1.1"], "protocols")


# ---- many on one ----

@case(service=ALWAYS, proxy=PATIENTLY, workers=1)
def answers_come_in_any_order(stage):
    back = Http2Origin(stage.origin)

    def all_at_once(served):
        first = served.next_request()
        served.respond(first.stream, body=b"first")
        asked = served.requests(40)
        for one in reversed(asked):
            served.respond(one.stream, body=one.path.encode())
        back.polite(served)

    back.play = all_at_once
    expect(stage.ask().body, b"first", "the connection is made")
    links = ask_all(stage, [f"/{number}" for number in range(40)])
    for number, link in enumerate(links):
        expect(link.read_response().body, f"/{number}".encode(), "body")
    expect(len(stage.origin.links), 1, "connections")
    expect(stage.serin.metrics().sum("serin_upstream_connections", service=stage.name), 1, "connections counted")


@case(service=ALWAYS, proxy={**PATIENTLY, "limits": {"origin_streams": 4}}, workers=1)
def a_full_connection_is_joined_by_another(stage):
    back = Http2Origin(stage.origin)
    back.play = lambda served: served.read_to_end(600)
    links = ask_all(stage, [f"/{number}" for number in range(10)])
    wait_for(lambda: sum(asked.has_ended for served in list(back.served) for asked in list(served.answers.values())) == 10,
             "all are asked")
    expect(sorted(len(served.answers) for served in back.served), [2, 4, 4], "streams on the connections")
    for served in back.served:
        for asked in list(served.answers.values()):
            served.respond(asked.stream, body=b"ok")
    for link in links:
        expect(link.read_response().status, 200, "status")


@case(service=ALWAYS, proxy=PATIENTLY, workers=1)
def the_origins_own_limit_holds(stage):
    back = Http2Origin(stage.origin, settings=[(h2.MAX_CONCURRENT_STREAMS, 1)])
    gate = threading.Event()

    def one_by_one(served):
        while True:
            asked = served.next_request()
            expect(len([one for one in served.answers.values() if one not in done]), 1, "streams at once")
            if len(back.served) >= 5:
                gate.set()
            gate.wait(60 * SLOW)
            done.append(asked)
            served.respond(asked.stream, body=b"ok")

    done = []
    back.play = one_by_one
    for link in ask_all(stage, [f"/{number}" for number in range(5)]):
        expect(link.read_response().status, 200, "status")
    expect(len(stage.origin.links), 5, "connections")


@case(service=ALWAYS, proxy={**PATIENTLY, "limits": {"origin_streams": 1, "upstream_connections": 2}}, workers=1)
def connections_to_an_endpoint_stay_bounded(stage):
    back = Http2Origin(stage.origin)
    gate = threading.Event()

    def hold(served):
        asked = served.next_request()
        gate.wait(60 * SLOW)
        served.respond(asked.stream, body=b"ok")
        back.polite(served)

    back.play = hold
    links = ask_all(stage, ["/1", "/2"])
    wait_for(lambda: sum(len(served.answers) for served in back.served) == 2, "both are under way")
    expect(stage.ask().status, 503, "a third")
    expect(stage.failures(), {}, "failures of the origin")
    gate.set()
    for link in links:
        expect(link.read_response().status, 200, "status")


@case(service=ALWAYS, proxy={**PATIENTLY, "timeouts": {**PATIENTLY["timeouts"], "upstream_idle": "300ms"}}, workers=1)
def an_idle_connection_is_ended_in_good_order(stage):
    back = Http2Origin(stage.origin)
    codes = []

    def until_the_end(served):
        back.answer_one(served)
        codes.append(served.read_to_end(60 * SLOW))

    back.play = until_the_end
    expect(stage.ask().status, 200, "status")
    wait_for(lambda: codes == [h2.NO_ERROR], "GOAWAY")
    wait_for(lambda: stage.serin.metrics().sum("serin_upstream_connections", service=stage.name) == 0, "it is gone")
    expect(stage.ask().status, 200, "another one serves")


# ---- pace ----

@case(service=ALWAYS, proxy=PATIENTLY, workers=1)
def a_clients_pace_is_the_origins(stage):
    """What a client does not read is not asked of the origin, and harms no other call on the connection."""
    back = Http2Origin(stage.origin)
    size, sent = 64 << 20, []

    def pour(served):
        big = served.next_request()
        served.gives_windows = False
        served.headers([(":status", "200"), ("content-length", str(size))], False, big.stream)
        while True:
            windows = served.windows
            room = min(windows.get(big.stream, 65535), windows.get(0, 65535))
            piece = min(room, 16384, size - sum(sent))
            if piece > 0 and len(served.answers) == 1:
                served.data(big.stream, b"x" * piece, sum(sent) + piece == size)
                served.spend(big.stream, piece)
                sent.append(piece)
            else:
                served.read_frame(600)
                for asked in list(served.answers.values()):
                    if asked is not big and asked.has_ended and asked not in done:
                        done.append(asked)
                        served.respond(asked.stream, body=b"ok")

    done = []
    back.play = pour
    slow = stage.connect()
    slow.send(stage.request(target="/big"))
    expect(slow.read_response_head().status, 200, "status")
    wait_for(lambda: len(back.served) == 1 and sent and back.served[0].windows.get(1, 65535) == 0, "the window is closed")
    expect(sum(sent) < 32 << 20, True, f"{sum(sent)} bytes asked of the origin")
    for _ in range(5):
        expect(stage.ask().body, b"ok", "another call on the connection")
    expect(len(stage.origin.links), 1, "connections")


@case(service=ALWAYS, proxy=PATIENTLY, workers=1)
def an_origins_pace_is_the_clients(stage):
    """A body goes out as the origin's window opens, and whole."""
    back = Http2Origin(stage.origin, settings=[(h2.INITIAL_WINDOW_SIZE, 10)])
    body = os.urandom(400000)

    def sip(served):
        served.gives_windows = False
        asked = served.next_head()
        step = 1
        while not asked.has_ended:
            before = len(asked.body)
            served.window_update(asked.stream, step)
            served.window_update(0, step)
            served.read_until(lambda: len(asked.body) > before or asked.has_ended)
            step = min(step * 3, 60000)
        expect(asked.body == body, True, "the body is whole")
        served.respond(asked.stream, body=b"thanks")

    back.play = sip
    expect(stage.ask("POST", "/", body=body).body, b"thanks", "body")


@case(service=ALWAYS, proxy=PATIENTLY, workers=1, http2=True)
def a_client_that_leaves_cancels_its_call_alone(stage):
    back = Http2Origin(stage.origin)
    resets = []

    def play(served):
        asked = {one.path: one for one in served.requests(2)}
        served.read_until(lambda: asked["/leaves"].reset is not None)
        resets.append(asked["/leaves"].reset)
        served.respond(asked["/stays"].stream, body=b"stayed")
        back.polite(served)

    back.play = play
    client = stage.http2()
    leaving, staying = client.ask(stage.host, path="/leaves"), client.ask(stage.host, path="/stays")
    wait_for(lambda: back.served and len(back.served[0].answers) == 2, "both are under way")
    client.reset(leaving)
    expect(client.read_answer(staying).body, b"stayed", "the other one")
    expect(resets, [h2.CANCEL], "the code")
    expect(stage.ask().status, 200, "the connection lives on")
    expect(len(stage.origin.links), 1, "connections")


# ---- the other askers ----

@case(starts_proxy=False)
def health_checks_speak_what_requests_speak(stage):
    back = Http2Origin(stage.origin)
    canary = Http2Origin(stage.canary)
    canary.reply = lambda served, stream, asked: served.respond(stream, 503)
    serin = start(stage, stage.service(health=health(), rollback={"on_breach": "alert"}), **ALWAYS)
    wait_for(lambda: any(asked.path == "/up" for asked in back.asked), "a check")
    wait_for(lambda: serin.metrics().sum("serin_endpoint_up", service=stage.name, role="current") == 0, "the canary is down")
    expect(serin.metrics().sum("serin_endpoint_up", service=stage.name, role="previous"), 1, "the stable version is up")
    expect(stage.ask().status, 200, "status")


@case(starts_proxy=False)
def copies_are_mirrored_by_it(stage):
    Http2Origin(stage.origin)
    canary = Http2Origin(stage.canary)
    service = stage.service(mirror="100%", rollout={"steps": ["30%", "100%"], "min_time": "10m", "max_time": "1h"})
    del service["weight"]
    serin = start(stage, service, **ALWAYS)
    wait_for(lambda: serin.service(stage.name)["mirror"]["active"], "copies are made")
    expect(stage.ask(target="/copied").status, 200, "status")
    wait_for(lambda: any(asked.path == "/copied" and asked.get("serin-mirror") == "1" for asked in canary.asked),
             "the copy, marked")
    wait_for(lambda: serin.metrics().sum("serin_mirrored_requests_total", service=stage.name) == 1, "counted")


@case(service={**ALWAYS, "previous": {"proxy_protocol": "v1"}}, starts_proxy=False)
def a_proxy_header_makes_a_connection_its_clients_own(stage):
    first_lines = []

    def play(link):
        first_lines.append(link.read_until(b"\r\n"))
        perform(link)

    Http2Origin(stage.origin)
    perform = stage.origin.play
    stage.origin.play = play
    service = stage.service()
    service["previous"]["proxy_protocol"] = "v1"
    start(stage, service, **ALWAYS)
    for _ in range(3):
        expect(stage.ask().status, 200, "status")
    expect([line[:10] for line in first_lines], [b"PROXY TCP4"] * 3, "headers")


# ---- a real one ----

NGINX = """daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; http2_max_concurrent_streams 16; keepalive_requests 50;
  server {{ listen 127.0.0.1:{plain} http2; root {folder}/site; }}
  server {{ listen 127.0.0.1:{secure} ssl http2; root {folder}/site; ssl_certificate {certificate}; ssl_certificate_key {key}; }}
}}
"""


@case(starts_proxy=False)
def nginx_is_an_origin(stage):
    """Whole files over both ways, through its GOAWAYs after every 50 requests, many at a time."""
    authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
    site = authority.make("origin", "DNS:localhost")
    folder = os.path.join(stage.folder, stage.name, "nginx")
    os.makedirs(os.path.join(folder, "site"))
    big = os.urandom(3000000)
    with open(os.path.join(folder, "site", "big"), "wb") as file:
        file.write(big)
    ports = {"plain": free_port(), "secure": free_port()}
    with open(os.path.join(folder, "conf"), "w") as file:
        file.write(NGINX.format(folder=folder, certificate=site["certificate"], key=site["key"], **ports))
    nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", os.path.join(folder, "conf"), "-p", folder],
                             stderr=subprocess.DEVNULL)
    try:
        previous = {"deployment": "a", "endpoints": [f"http://127.0.0.1:{ports['plain']}"]}
        secure = {"deployment": "b", "endpoints": [f"https://localhost:{ports['secure']}"]}
        service = stage.service(previous=previous, origin_tls={"ca": authority.path("ca.pem")}, origin_http2="always")
        serin = start(stage, service)
        wait_for(lambda: stage.ask(target="/big").status == 200, "nginx is up")
        for _ in range(2):
            answers = []

            def ask_many():
                link = stage.connect()
                for _ in range(20):
                    link.send(stage.request(target="/big"))
                    answers.append(link.read_response(patience_s=60 * SLOW).body == big)

            threads = [threading.Thread(target=ask_many) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(120 * SLOW)
            expect(answers, [True] * 120, "whole files")
            reload(serin, {**service, "previous": secure})
    finally:
        nginx.terminate()
        nginx.wait()


if __name__ == "__main__":
    run(__file__)

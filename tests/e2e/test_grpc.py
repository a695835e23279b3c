"""gRPC: a call that fails is a 200, and everything that judges, counts or answers knows it."""

import json
import os
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from clients import CLIENTS, NODE  # noqa: E402
from http2_origin import Http2Origin  # noqa: E402
from play import SLOW, Closed, answer, case, expect, run, wait_for  # noqa: E402

HALF = {"weight": "50%", "rollback": {"on_breach": "alert"}}
WHOLE = {"weight": "100%", "rollback": {"on_breach": "alert"}}
TYPE = "Content-Type: application/grpc"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n\r\n"
SOON = f"{int(1000 * SLOW)}m"
CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, NOT_FOUND, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 1, 2, 4, 5, 12, 13, 14


def message(text):
    return b"\0" + struct.pack(">I", len(text)) + text


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def end(status, *more):
    lines = [] if status is None else [f"grpc-status: {status}"]
    return b"0\r\n" + "".join(f"{line}\r\n" for line in [*lines, *more]).encode() + b"\r\n"


def unary(status=0, *more):
    return HEAD + chunk(message(b"hello")) + end(status, *more)


def trailers_only(status):
    return (f"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: {status}\r\ngrpc-message: no\r\n"
            "Content-Length: 0\r\n\r\n").encode()


def call(client, stage, fields=(), body=message(b"ask"), is_last=True, path="/shop.Cart/Add"):
    stream = client.ask(stage.host, "POST", path, [("content-type", "application/grpc"), ("te", "trailers"), *fields],
                        is_last=False)
    client.data(stream, body, is_last)
    return stream


def ends(client, stage, **more):
    """One call, to its end: the status of HTTP, and of gRPC with where it stood."""
    seen = client.read_answer(call(client, stage, **more))
    expect((seen.status, seen.reset), (200, None), "status of HTTP, reset")
    place = "trailers" if seen.trailers is not None else "head"
    return place, int(dict(seen.trailers or seen.fields).get("grpc-status", -1))


def ledger(stage, role="current"):
    """As the judge counts them: requests, failures, bad answers that clients saw."""
    version = stage.serin.service(stage.name)[role]
    return version["requests"], version["failures"], version["client_bad"]


def lines(stage, count):
    def finished():
        return [line for line in stage.serin.access_log() if line["service"] == stage.name]

    return wait_for(lambda: len(finished()) >= count and finished(), f"{count} lines in the access log")


def held_until(event):
    expect(event.wait(60 * SLOW), True, "let go on")


def until_end(link):
    try:
        while True:
            link.read_some()
    except Closed:
        return True


# ---- what goes through ----

@case(http2=True)
def a_call_and_its_trailers_pass(stage):
    stage.origin.reply = unary(0, "grpc-message: fine", "x-cost: 3")
    client = stage.http2()
    stream = call(client, stage, [("grpc-encoding", "identity"), ("x-trace-bin", "AAEC")])
    seen = client.read_answer(stream)
    expect((seen.status, seen.body, seen.get("content-type")), (200, message(b"hello"), "application/grpc+proto"), "answer")
    expect(seen.trailers, [("grpc-status", "0"), ("grpc-message", "fine"), ("x-cost", "3")], "trailers")
    asked = stage.origin.requests[0]
    expect((asked.method, asked.target, asked.body), ("POST", "/shop.Cart/Add", message(b"ask")), "request")
    expect((asked.get("TE"), asked.get("grpc-encoding"), asked.get("x-trace-bin")), ("trailers", "identity", "AAEC"), "fields")
    line = lines(stage, 1)[0]
    expect((line["status"], line["grpc_status"], line["failure"]), (200, 0, None), "line")


@case(http2=True)
def an_answer_without_a_message_ends_with_its_head(stage):
    stage.origin.reply = trailers_only(NOT_FOUND)
    client = stage.http2()
    stream = call(client, stage)
    seen = client.read_answer(stream)
    expect((seen.get("grpc-status"), seen.trailers, seen.body), ("5", None, b""), "answer")
    expect([frame for frame in client.frames if frame.stream == stream and frame.kind == 0], [], "DATA")


@case(http2=True)
def other_requests_have_no_status_of_grpc(stage):
    stage.origin.reply = answer(fields=["grpc-status: 13"])
    client = stage.http2()
    expect(client.read_answer(client.ask(stage.host)).status, 200, "status")
    line = lines(stage, 1)[0]
    expect((line["grpc_status"], line["failure"]), (None, None), "line")


# ---- what counts ----

@case(http2=True, service=HALF, workers=1)
def listed_statuses_are_failures_wherever_they_stand(stage):
    stage.origin.reply = unary(0)
    stage.canary.plays = []
    stage.canary.reply = lambda request: replies.pop(0)
    replies = [unary(INTERNAL), trailers_only(UNAVAILABLE), HEAD + end(UNKNOWN), unary(None), unary(99), unary(NOT_FOUND),
               unary(CANCELLED), unary(0)]
    client = stage.http2()
    got = [ends(client, stage) for _ in range(16)]
    expect(sorted(status for _, status in got if status), [-1, 1, 2, 5, 13, 14, 99], "statuses")
    wait_for(lambda: ledger(stage)[0] == 8, "eight calls of the canary")
    expect(ledger(stage), (8, 5, 5), "requests, failures, bad answers")
    expect(stage.failures("current"), {"grpc_status": 5}, "failures by kind")
    metrics = stage.serin.metrics()
    expect(metrics.by("serin_requests_total", "code", service=stage.name), {"200": 16}, "answers by status of HTTP")
    expect(metrics.sum("serin_client_bad_responses_total", service=stage.name, role="current"), 5, "bad answers")
    bad = [line for line in lines(stage, 16) if line["failure"] == "grpc_status"]
    expect(sorted(line["grpc_status"] for line in bad), [2, 2, 2, 13, 14], "lines")


def add_list(name, listed, wanted):
    def play(stage):
        replies = [unary(NOT_FOUND), unary(INTERNAL)]
        stage.canary.reply = lambda request: replies.pop(0)
        client = stage.http2()
        for _ in range(2):
            ends(client, stage)
        wait_for(lambda: ledger(stage)[0] == 2, "two calls")
        expect(ledger(stage), (2, wanted, wanted), "requests, failures, bad answers")

    play.__name__ = name
    case(http2=True, service={**WHOLE, "failures": {"grpc_status": listed}})(play)


add_list("a_list_of_ones_own_by_name_and_number", ["not_found", 8], 1)
add_list("an_empty_list_leaves_it_to_http", [], 0)


@case(http2=True, service=WHOLE)
def a_web_client_keeps_its_end_in_its_body(stage):
    stage.canary.reply = HEAD.replace(b"grpc+proto", b"grpc-web+proto") + chunk(message(b"hello")) + end(13)
    client = stage.http2()
    client.read_answer(call(client, stage, body=b""))
    wait_for(lambda: ledger(stage)[0] == 1, "counted")
    expect(ledger(stage), (1, 0, 0), "requests, failures, bad answers")


@case(service=WHOLE)
def clients_of_http_1_1_may_call_too(stage):
    stage.canary.reply = unary(INTERNAL)
    got = stage.ask("POST", "/x.Y/Z", [TYPE, "TE: trailers"], message(b"ask"))
    expect((got.status, got.trailers), (200, [("grpc-status", "13")]), "answer")
    expect(ledger(stage), (1, 1, 1), "requests, failures, bad answers")


@case(http2=True, service=WHOLE)
def a_stream_that_fails_late_is_one_more_failure(stage):
    go_on = threading.Event()

    def play(link):
        stage.canary.read(link)
        link.send(HEAD + chunk(message(b"1")))
        held_until(go_on)
        link.send(chunk(message(b"2")) + end(INTERNAL))

    stage.canary.play = play
    client = stage.http2()
    stream = call(client, stage)
    client.read_head(stream)
    wait_for(lambda: ledger(stage) == (1, 0, 0), "it has settled as good")
    go_on.set()
    expect(dict(client.read_answer(stream).trailers), {"grpc-status": "13"}, "trailers")
    wait_for(lambda: ledger(stage)[1:] == (1, 1), "and then it failed")


@case(http2=True, service={**WHOLE, "rollback": {"on_breach": "alert", "max_bad_responses": 20}}, workers=1)
def a_canary_of_failing_calls_is_contained(stage):
    stage.canary.reply, stage.origin.reply = unary(INTERNAL), unary(0)
    client = stage.http2()

    def is_contained():
        ends(client, stage)
        return stage.serin.metrics().sum("serin_contained", service=stage.name) == 1

    wait_for(is_contained, "the worker holds it back", 60, 0)


@case(http2=True, service={"weight": "50%"})
def a_canary_of_failing_calls_is_rolled_back(stage):
    stage.canary.reply, stage.origin.reply = unary(INTERNAL), unary(0)
    client = stage.http2()

    def is_back():
        for _ in range(20):
            ends(client, stage)
        return stage.serin.service(stage.name)["phase"] == "rolled_back"

    wait_for(is_back, "it is rolled back", 90, 0)
    row = stage.serin.rollback_of(stage.name)
    expect(row["trigger"], "error_rate", f"record {row}")


# ---- what Serin has to say itself ----

@case(http2=True, service=WHOLE)
def an_origin_that_is_away_is_unavailable(stage):
    stage.canary.stop_listening()
    client = stage.http2()
    expect(ends(client, stage), ("head", UNAVAILABLE), "answer")
    seen = client.read_answer(call(client, stage))
    expect((seen.get("content-type"), seen.get("grpc-message"), seen.body), ("application/grpc", "Bad Gateway", b""), "head")
    expect(stage.failures("current"), {"connect": 2}, "failures by kind")
    expect(ledger(stage), (2, 2, 2), "requests, failures, bad answers")
    line = lines(stage, 2)[0]
    expect((line["status"], line["grpc_status"], line["failure"]), (200, UNAVAILABLE, "connect"), "line")


@case(http2=True)
def an_answer_that_is_no_http_is_unavailable(stage):
    stage.origin.play = lambda link: (stage.origin.read(link), link.send(b"HTTP/1.1 2000 OK\r\n\r\n"), until_end(link))
    expect(ends(stage.http2(), stage), ("head", UNAVAILABLE), "answer")


@case(http2=True)
def a_host_that_nobody_has_is_unimplemented(stage):
    client = stage.http2()
    stream = client.ask("nobody.test", "POST", "/", [("content-type", "application/grpc")], is_last=False)
    client.data(stream, message(b"ask"), True)
    seen = client.read_answer(stream)
    expect((seen.status, seen.get("grpc-status")), (200, str(UNIMPLEMENTED)), "answer")


@case(http2=True)
def an_origins_own_error_of_http_passes(stage):
    stage.origin.reply = answer(503, b"down")
    client = stage.http2()
    seen = client.read_answer(call(client, stage))
    expect((seen.status, seen.body, seen.get("grpc-status")), (503, b"down", None), "answer")


@case(http2=True, service=WHOLE)
def a_body_that_breaks_off_is_a_reset(stage):
    stage.canary.play = lambda link: (stage.canary.read(link), link.send(HEAD + chunk(message(b"1"))), link.close())
    client = stage.http2()
    seen = client.read_answer(call(client, stage))
    expect((seen.reset is not None, seen.trailers), (True, None), "reset")
    expect(stage.failures("current"), {"bad_response": 1}, "failures by kind")


# ---- deadlines ----

def silent(origin, first=b""):
    def play(link):
        origin.read(link)
        link.send(first)
        until_end(link)

    return play


@case(http2=True, service=WHOLE)
def the_clients_deadline_ends_a_call_and_is_no_evidence(stage):
    stage.canary.play = silent(stage.canary)
    client = stage.http2()
    expect(ends(client, stage, fields=[("grpc-timeout", SOON)]), ("head", DEADLINE_EXCEEDED), "answer")
    expect((stage.failures("current"), ledger(stage)), ({}, (0, 0, 0)), "failures, ledger")
    expect(lines(stage, 1)[0]["grpc_status"], DEADLINE_EXCEEDED, "line")
    expect(stage.canary.requests[0].get("grpc-timeout"), SOON, "the origin knows it too")


@case(http2=True, service=WHOLE)
def the_clients_deadline_ends_a_stream_with_trailers(stage):
    stage.canary.play = silent(stage.canary, HEAD + chunk(message(b"1")))
    expect(ends(stage.http2(), stage, fields=[("grpc-timeout", SOON)]), ("trailers", DEADLINE_EXCEEDED), "answer")
    expect(ledger(stage)[1:], (0, 0), "failures, bad answers")


@case(http2=True, service=WHOLE)
def an_origin_that_went_by_the_clients_deadline_has_not_failed(stage):
    """The same word at once is the origin's own."""
    stage.canary.reply = unary(DEADLINE_EXCEEDED)
    client = stage.http2()
    ends(client, stage, fields=[("grpc-timeout", "1n")])
    expect(ledger(stage)[1], 0, "failures")
    ends(client, stage, fields=[("grpc-timeout", "1H")])
    expect(ledger(stage)[1], 1, "failures")


@case(http2=True, service=WHOLE)
def whatever_an_origin_says_when_the_clients_time_is_over_is_no_evidence(stage):
    """Handlers that wrap what their context says end with `unknown` or `internal`. Good evidence it is not either: else
    clients could hide the failures of others behind their own."""
    client = stage.http2()
    for status in (UNKNOWN, INTERNAL, UNAVAILABLE, DEADLINE_EXCEEDED):
        for stage.canary.reply in (unary(status), trailers_only(status)):
            _, got = ends(client, stage, fields=[("grpc-timeout", "1n")])
            expect(got in (status, DEADLINE_EXCEEDED), True, f"{got}: the origin's status, or the deadline's")
    expect((stage.failures("current"), ledger(stage)), ({}, (0, 0, 0)), "failures, ledger")
    stage.canary.reply = unary(INTERNAL)
    ends(client, stage, fields=[("grpc-timeout", "1H")])
    expect(ledger(stage), (1, 1, 1), "in time it is one: ledger")


@case(http2=True, service={**WHOLE, "origin_http2": "always"})
def an_origin_that_resets_the_call_when_the_clients_time_is_over_has_not_failed(stage):
    """As servers of Java do."""
    back = Http2Origin(stage.canary)

    def cancel(served, stream, asked):
        if asked.get("x-begins"):
            served.headers([(":status", "200"), ("content-type", "application/grpc")], False, stream)
            served.data(stream, message(b"1"))
        served.reset(stream)

    back.reply = cancel
    client = stage.http2()
    for fields in ([], [("x-begins", "yes")]):
        _, got = ends(client, stage, fields=[("grpc-timeout", "1n"), *fields])
        expect(got, DEADLINE_EXCEEDED, "status")
    expect((stage.failures("current"), ledger(stage)), ({}, (0, 0, 0)), "failures, ledger")
    expect(ends(client, stage, fields=[("grpc-timeout", "1H")]), ("head", UNAVAILABLE), "in time: answer")
    expect((stage.failures("current"), ledger(stage)), ({"reset": 1}, (1, 1, 1)), "failures, ledger")


@case(http2=True, service=WHOLE, proxy={"timeouts": {"total": f"{int(500 * SLOW)}ms"}})
def a_nearer_deadline_of_ours_counts(stage):
    stage.canary.play = silent(stage.canary)
    expect(ends(stage.http2(), stage, fields=[("grpc-timeout", "1H")]), ("head", UNAVAILABLE), "answer")
    expect((stage.failures("current"), ledger(stage)), ({"timeout": 1}, (1, 1, 1)), "failures, ledger")


# ---- long ones ----

@case(http2=True, service={"weight": "100%", "rollback": {"move": {"deadline": f"{int(1000 * SLOW)}ms", "jitter": "0s"}}})
def a_stream_on_a_canary_that_is_withdrawn_ends_unavailable(stage):
    stage.canary.play = silent(stage.canary, HEAD + chunk(message(b"1")))
    client = stage.http2()
    stream = call(client, stage)
    client.read_head(stream)
    expect(stage.serin.set_weight(stage.name, 0).status, 200, "weight 0")
    seen = client.read_answer(stream)
    expect(dict(seen.trailers).get("grpc-status"), str(UNAVAILABLE), "trailers")
    line = lines(stage, 1)[0]
    expect((line["ended"], line["failure"], line["grpc_status"]), ("moved", None, UNAVAILABLE), "line")
    expect(ledger(stage)[1:], (0, 0), "failures, bad answers")


# ---- the client that people use ----

def node(stage, *words):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "grpc.cjs")
    verb, *more = words
    done = subprocess.run([NODE, script, CLIENTS, verb, f"127.0.0.1:{stage.serin.port}", stage.host, *more],
                          capture_output=True, text=True, timeout=120 * SLOW, check=False)
    expect(done.returncode, 0, f"the client: {done.stderr}")
    return json.loads(done.stdout)


def messages(body):
    found = []
    while body:
        size = struct.unpack(">I", body[1:5])[0]
        found.append(body[5:5 + size])
        body = body[5 + size:]
    return found


def shop(stage, left):
    """An origin with the methods that grpc.cjs calls; `left` hears of calls that nobody waits for any more."""
    def play(link):
        link.patience_s = 60 * SLOW
        while True:
            request = stage.origin.read(link)
            method = request.target.rpartition("/")[2]
            said = b" ".join(messages(request.body))
            if method in ("Slow", "Forever"):
                link.send(HEAD + chunk(message(b"1")) if method == "Forever" else b"")
                until_end(link)
                left.append(method)
                return
            link.send({
                "Add": HEAD + chunk(message(said + b" " + (request.get("x-asked") or "").encode())) + end(0, "x-cost: 3"),
                "List": HEAD + chunk(message(b"1") + message(b"2")[:3]) + chunk(message(b"2")[3:] + message(b"3")) + end(0),
                "Fill": HEAD + chunk(message(said)) + end(0),
                "Fail": HEAD + end(INTERNAL, "grpc-message: it%20broke", "grpc-status-details-bin: AAEC"),
                "None": trailers_only(NOT_FOUND),
            }[method])

    return play


class Server:
    """A real server of gRPC, which speaks nothing but HTTP/2. Ends with the play."""

    def __init__(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "grpc.cjs")
        self.process = subprocess.Popen([NODE, script, CLIENTS, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.left = []
        self._reader = threading.Thread(target=lambda: self.left.extend(line.strip() for line in self.process.stdout), daemon=True)

    def order(self, word):
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        expect(self.process.stdout.readline().strip(), word, "obeyed")

    def listen(self):
        """From now on hears of calls that were left; no more orders."""
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30 * SLOW)


def served(stage, stable, canary=None, **more):
    """A proxy before real servers."""
    versions = {"previous": {"deployment": "s", "endpoints": [stable.url]}}
    if canary:
        versions["current"] = {"deployment": "c", "endpoints": [canary.url]}
    stage.start_serin({"services": [stage.service(**versions, origin_http2="always", **more)]}, http2=True)


@case(starts_proxy=False)
def the_library_of_node_calls_its_own_server(stage):
    with Server() as server:
        server.listen()
        served(stage, server)
        makes_every_kind_of_call(stage, node(stage, "talk"), server.left)


@case(starts_proxy=False)
def both_sides_of_a_call_talk_in_turns(stage):
    with Server() as server:
        served(stage, server)
        seen = node(stage, "chat")
        expect((seen["got"], seen["code"]), (["one", "two", "three", "four"], 0), "what came back")


@case(starts_proxy=False)
def a_real_canary_that_breaks_is_rolled_back(stage):
    with Server() as stable, Server() as canary:
        served(stage, stable, canary, weight="50%")
        client = stage.http2()
        body = message(b"ask")
        expect({ends(client, stage, body=body) for _ in range(20)}, {("trailers", 0)}, "while both are well")
        canary.order("fail")
        seen = set()

        def is_back():
            seen.update(ends(client, stage, body=body)[1] for _ in range(20))
            return stage.serin.service(stage.name)["phase"] == "rolled_back"

        wait_for(is_back, "it is rolled back", 90, 0)
        expect(seen, {0, INTERNAL}, "what clients saw")
        expect({ends(client, stage, body=body)[1] for _ in range(20)}, {0}, "and see now")
        expect(set(stage.failures("current")), {"grpc_status"}, "failures by kind")
        expect(stage.serin.rollback_of(stage.name)["trigger"], "error_rate", "record")


def makes_every_kind_of_call(stage, seen, left):
    def outcome(name):
        return seen[name]["got"], seen[name]["code"]

    expect(outcome("unary"), (["ask yes"], 0), "unary")
    expect(seen["unary"]["metadata"].get("x-cost"), "3", "metadata of its trailers")
    expect(outcome("stream"), (["1", "2", "3"], 0), "stream of the server")
    expect(outcome("upload"), (["one two three"], 0), "stream of the client")
    expect((outcome("failed"), seen["failed"]["details"]), (([], INTERNAL), "it broke"), "a failure")
    expect("grpc-status-details-bin" in seen["failed"]["metadata"], True, "its details")
    expect((outcome("none"), seen["none"]["details"]), (([], NOT_FOUND), "no"), "an answer without a message")
    expect(outcome("late"), ([], DEADLINE_EXCEEDED), "one that is late")
    expect(outcome("cancelled"), (["1"], CANCELLED), "one that is cancelled")
    wait_for(lambda: sorted(left) == ["Forever", "Slow"], "the origin is left alone")
    wait_for(lambda: ledger(stage, "previous")[1] == 1, "one failure")
    expect(stage.failures(), {"grpc_status": 1}, "failures by kind")


@case(http2=True)
def the_library_of_node_makes_every_kind_of_call(stage):
    left = []
    stage.origin.play = shop(stage, left)
    makes_every_kind_of_call(stage, node(stage, "talk"), left)


@case(http2=True)
def the_library_of_node_takes_our_word(stage):
    stage.origin.stop_listening()
    seen = node(stage, "ask", "Add")
    expect((seen["code"], seen["details"]), (UNAVAILABLE, "Bad Gateway"), "an origin that is away")


if __name__ == "__main__":
    run(__file__, parallel=4)

"""A canary that loses its weight loses its long-lived connections too: WebSockets by a Close between two frames, others
by a visible cut, spread over a while; what is not on it, and every ordinary request, is left alone."""

import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Closed, Reset, WireError, case, expect, run, wait_for  # noqa: E402
from websocket import (ASK, BINARY, PING, SWITCH, TEXT, close_frame, ends_orderly, frame, header, read_close, read_frame,  # noqa: E402
                       read_until_close)

SOON = {"deadline": f"{int(30 * SLOW)}s", "jitter": "0s"}  # what ends by itself has all the time
TIGHT = {"deadline": f"{int(1000 * SLOW)}ms", "jitter": "0s"}
WHOLE = {"weight": "100%", "rollback": {"move": SOON}}
WHOLE_TIGHT = {"weight": "100%", "rollback": {"move": TIGHT}}


def open_socket(stage, fields=(), name="client"):
    link = stage.connect(name)
    link.send(stage.request(fields=[*ASK, *fields]))
    response = link.read_response()
    expect(response.status, 101, "status")
    link.response = response
    return link


def switching(origin, then, switch=SWITCH):
    def play(link):
        link.patience_s = 60 * SLOW
        origin.read(link)
        link.send(switch)
        then(link)

    return play


def echo(link):
    """Sends each frame back and answers a Close, as servers do."""
    while True:
        opcode, payload = read_frame(link)
        link.send(frame(payload, opcode))
        if opcode == 8:
            return


def set_weight(stage, percent):
    expect(stage.serin.set_weight(stage.name, percent).status, 200, f"weight {percent}")


def lines(stage, count, status=101):
    def finished():
        return [line for line in stage.serin.access_log() if line["service"] == stage.name and line["status"] == status]

    return wait_for(lambda: len(finished()) >= count and finished(), f"{count} lines in the access log")


def says(link, word):
    link.send(frame(word, TEXT, masked=True))
    expect(read_frame(link), (TEXT, word), "echo")


# --- WebSockets ------------------------------------------------------------------------------------------------------
@case(service=WHOLE)
def idle_socket_is_closed_with_1012(stage):
    got = []

    def play(link):
        got.append(read_close(link))
        link.send(close_frame(1012))

    stage.canary.play = switching(stage.canary, play)
    link = open_socket(stage)
    set_weight(stage, 0)
    expect(read_close(link), 1012, "code")
    ends_orderly(link)
    wait_for(lambda: got, "the origin has the client's answer")
    expect(got, [1012], "what the origin was told")
    line = lines(stage, 1)[0]
    expect((line["ended"], line["failure"], line["role"]), ("moved", None, "current"), "line")


def ring_at_zero(stage, bell):
    """Sets the weight to 0 and waits until the moment of all has come: `bell` is an idle one, opened last. One worker."""
    set_weight(stage, 0)
    expect(read_close(bell), 1012, "the bell's code")


@case(service=WHOLE, workers=1)
def frame_under_way_comes_whole_before_the_close(stage):
    payload = os.urandom(5000)
    go_on = threading.Event()

    def play(link):
        link.send(header(len(payload)) + payload[:1000])
        go_on.wait(60 * SLOW)
        link.send_in_cuts(payload[1000:1040])
        link.send(payload[1040:] + frame(b"this one is nobody's"))
        expect(read_close(link), 1012, "the client's answer")

    stage.canary.plays = [switching(stage.canary, play), switching(stage.canary, echo)]
    link, bell = open_socket(stage), open_socket(stage, name="bell")
    link.read_exactly(4)
    expect(link.read_exactly(1000), payload[:1000], "its beginning")
    ring_at_zero(stage, bell)
    go_on.set()
    expect(link.read_exactly(4000), payload[1000:], "the rest of the frame")
    expect(read_close(link), 1012, "code")
    ends_orderly(link)


@case(service=WHOLE, workers=1)
def close_stands_between_the_fragments_of_a_message(stage):
    go_on = threading.Event()

    def play(link):
        link.send(frame(b"one", TEXT, final=False) + header(3, 0, final=False) + b"t")
        go_on.wait(60 * SLOW)
        link.send(b"wo" + frame(b"three", 0))
        read_close(link)

    stage.canary.plays = [switching(stage.canary, play), switching(stage.canary, echo)]
    link, bell = open_socket(stage), open_socket(stage, name="bell")
    expect(read_frame(link), (TEXT, b"one"), "first fragment")
    ring_at_zero(stage, bell)
    go_on.set()
    expect(read_frame(link), (0, b"two"), "second fragment")
    expect(read_close(link), 1012, "code")
    ends_orderly(link)


@case(service=WHOLE)
def every_way_to_write_a_length_is_followed(stage):
    sizes = [(0, None), (5, None), (125, None), (126, None), (65535, None), (65536, None), (3, 2), (3, 8), (0, 8)]
    said = [os.urandom(size) for size, _ in sizes]
    wire = b"".join(frame(payload, BINARY, length_size=length_size) for payload, (_, length_size) in zip(said, sizes))
    stop = threading.Event()

    def play(link):
        for start in range(0, 600):
            link.send(wire[start : start + 1])
        link.send(wire[600:])
        while not stop.is_set():
            link.send(wire)
        read_close(link)

    stage.canary.play = switching(stage.canary, play)
    link = open_socket(stage)
    link.keeps = False
    for payload in said:
        expect(read_frame(link)[1] == payload, True, f"frame of {len(payload)} bytes")
    set_weight(stage, 0)
    payloads, code = read_until_close(link)
    stop.set()
    expect(code, 1012, "code")
    for i, payload in enumerate(payloads):
        expect(payload == said[i % len(said)], True, f"frame {i}")
    ends_orderly(link)


@case(service=WHOLE)
def client_that_does_not_read_gets_whole_frames_when_it_does(stage):
    stop, sent = threading.Event(), []

    def is_stuck():
        before = len(sent)
        time.sleep(0.3)
        return len(sent) == before > 10

    def play(link):
        link.keeps = False
        try:
            while not stop.is_set() and len(sent) < 20000:
                link.send(frame(len(sent).to_bytes(4, "big") * 1500))
                sent.append(1)
        except WireError:
            pass

    stage.canary.play = switching(stage.canary, play)
    link = open_socket(stage)
    link.keeps = False
    queued = lambda: stage.serin.admin("GET", f"/api/v1/services/{stage.name}").json["current"]["in_flight"]  # noqa: E731
    wait_for(lambda: queued() == 1, "in flight")
    wait_for(is_stuck, "the buffers are full", 30)
    set_weight(stage, 0)
    wait_for(lambda: stage.serin.service(stage.name)["weight"]["set"] == 0, "weight 0")
    payloads, code = read_until_close(link, 30 * SLOW)
    stop.set()
    expect(code, 1012, "code")
    expect(len(payloads) > 10, True, f"{len(payloads)} frames")
    for i, payload in enumerate(payloads):
        expect(payload == i.to_bytes(4, "big") * 1500, True, f"frame {i}")


@case(service=WHOLE_TIGHT)
def socket_stuck_within_a_frame_is_cut_at_the_deadline(stage):
    stage.canary.play = switching(stage.canary, lambda link: (link.send(header(100) + b"half"), link.read_to_end()))
    stage.expects_origin_failures = True
    link = open_socket(stage)
    link.read_exactly(6)
    set_weight(stage, 0)
    try:
        link.read_exactly(1)
    except Reset:
        expect(lines(stage, 1)[0]["ended"], "cut", "line")
        return
    except Closed:
        pass
    raise AssertionError("a torn frame looks like an orderly end")


@case(service=WHOLE_TIGHT)
def lengths_that_cannot_be_are_cut_at_the_deadline(stage):
    stage.canary.play = switching(stage.canary, lambda link: (link.send(b"\x82\x7f" + b"\xff" * 8 + b"\x88\x00"), link.read_to_end()))
    stage.expects_origin_failures = True
    link = open_socket(stage)
    expect(link.read_exactly(12)[:2], b"\x82\x7f", "passed on")
    set_weight(stage, 0)
    try:
        link.read_exactly(1)
    except Reset:
        return
    raise AssertionError("not reset")


@case(service=WHOLE_TIGHT)
def client_that_never_answers_the_close_is_hung_up_on(stage):
    ended = []
    stage.canary.play = switching(stage.canary, lambda link: ended.append(until_end(link)))
    link = open_socket(stage)
    set_weight(stage, 0)
    expect(read_close(link), 1012, "code")
    wait_for(lambda: ended, "the origin sees the end")
    expect(link.read_to_end(), b"", "and so does the client, in good order")


def until_end(link):
    try:
        while True:
            link.read_some()
    except Closed:
        return True


@case(service=WHOLE, workers=1)
def origin_that_closed_first_has_the_last_word(stage):
    stage.canary.plays = [switching(stage.canary, lambda link: (link.send(close_frame(4000)), read_close(link))),
                          switching(stage.canary, echo)]
    link, bell = open_socket(stage), open_socket(stage, name="bell")
    expect(read_close(link), 4000, "the origin's code")
    ring_at_zero(stage, bell)
    link.send(close_frame(4000, masked=True))
    link.expect_closed()


@case(service=WHOLE)
def client_that_closed_first_gets_our_close_and_the_end(stage):
    seen = threading.Event()
    stage.canary.play = switching(stage.canary, lambda link: (read_close(link), seen.set(), until_end(link)))
    link = open_socket(stage)
    link.send(close_frame(1000, masked=True))
    expect(seen.wait(10 * SLOW), True, "the origin has it")
    set_weight(stage, 0)
    expect(read_close(link), 1012, "code")
    expect(link.read_to_end(), b"", "the end")


@case(service=WHOLE)
def frames_of_the_client_go_on_to_the_origin_until_its_close(stage):
    got = []

    def play(link):
        while True:
            opcode, payload = read_frame(link)
            got.append(payload)
            if opcode == 8:
                return

    stage.canary.play = switching(stage.canary, play)
    link = open_socket(stage)
    set_weight(stage, 0)
    expect(read_close(link), 1012, "code")
    link.send(frame(b"draft, not sent yet", TEXT, masked=True))
    ends_orderly(link)
    wait_for(lambda: len(got) == 2, "both frames")
    expect(got, [b"draft, not sent yet", b"\x03\xf4"], "what the origin got")


@case(service=WHOLE)
def socket_that_opens_after_the_shift_is_closed_too(stage):
    asked, go_on = threading.Event(), threading.Event()

    def play(link):
        stage.canary.read(link)
        asked.set()
        go_on.wait(60 * SLOW)
        link.send(SWITCH)
        read_close(link)

    stage.canary.play = play
    link = stage.connect()
    link.send(stage.request(fields=ASK))
    expect(asked.wait(10 * SLOW), True, "the canary has the request")
    set_weight(stage, 0)
    go_on.set()
    expect(link.read_response().status, 101, "status")
    expect(read_close(link), 1012, "code")
    ends_orderly(link)


# --- others ----------------------------------------------------------------------------------------------------------
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(text):
    return b"%x\r\n%s\r\n" % (len(text), text)


def streaming(stage, first):
    def play(link):
        stage.canary.read(link)
        link.send(first)
        until_end(link)

    return play


@case(service=WHOLE_TIGHT)
def event_stream_is_cut_without_its_last_chunk(stage):
    stage.canary.play = streaming(stage, STREAM + event(b"data: 1\n\n"))
    link = stage.connect()
    link.send(stage.request())
    head = link.read_response_head()
    expect(head.framing, "chunked", "framing")
    set_weight(stage, 0)
    expect(rest_of(link), b"9\r\ndata: 1\n\n\r\n", "what came")
    line = lines(stage, 1, 200)[0]
    expect((line["ended"], line["failure"]), ("cut", None), "line")
    metrics = stage.serin.metrics()
    expect(metrics.sum("serin_client_bad_responses_total", service=stage.name), 0, "nobody's fault")


def rest_of(link):
    got = bytearray()
    try:
        while True:
            got += link.read_some()
    except Closed:
        return bytes(got)


@case(service=WHOLE_TIGHT)
def event_stream_of_an_old_client_is_reset(stage):
    stage.canary.play = streaming(stage, STREAM + event(b"data: 1\n\n"))
    link = stage.connect()
    link.send(stage.request(version="HTTP/1.0"))
    expect(link.read_response_head().framing, "close", "framing")
    link.read_exactly(9)
    set_weight(stage, 0)
    try:
        link.read_to_end()
    except Reset:
        return
    raise AssertionError("it looks whole")


@case(service=WHOLE_TIGHT)
def tunnel_of_another_protocol_is_reset(stage):
    switch = SWITCH.replace(b"Upgrade: websocket", b"Upgrade: echo/1")
    stage.canary.play = switching(stage.canary, lambda link: (link.send(b"\x88\x00 hello"), until_end(link)), switch)
    link = stage.connect()
    link.send(stage.request(fields=["Connection: Upgrade", "Upgrade: echo/1"]))
    expect(link.read_response().status, 101, "status")
    expect(link.read_exactly(8), b"\x88\x00 hello", "bytes")
    set_weight(stage, 0)
    try:
        link.read_exactly(1)
    except Reset:
        return
    raise AssertionError("not reset")


@case(service=WHOLE_TIGHT)
def ordinary_answers_end_where_they_began(stage):
    go_on = threading.Event()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"

    def play(link):
        stage.canary.read(link)
        link.send(head + event(b"slowly "))
        go_on.wait(60 * SLOW)
        link.send(event(b"but whole") + b"0\r\n\r\n")

    def ended(link):
        stage.canary.read(link)
        link.send(STREAM + event(b"data: 1\n\n"))
        until_end(link)

    stage.canary.plays = [play, ended]
    slow, stream = stage.connect("slow"), stage.connect("stream")
    slow.send(stage.request())
    response = slow.read_response_head()
    stream.send(stage.request())
    stream.read_response_head()
    set_weight(stage, 0)
    rest_of(stream)
    go_on.set()
    slow.read_body(response)
    expect(response.body, b"slowly but whole", "body")


# --- which -----------------------------------------------------------------------------------------------------------
@case(service={"weight": "50%", "rollback": {"move": SOON}})
def sockets_of_the_stable_version_are_left_alone(stage):
    stage.origin.play = switching(stage.origin, echo)
    stage.canary.play = switching(stage.canary, echo)
    stable = open_socket(stage, ["Serin-Version: previous"], "stable")
    canary = open_socket(stage, ["Serin-Version: current"], "canary")
    says(stable, b"a")
    set_weight(stage, 0)
    expect(read_close(canary), 1012, "code")
    says(stable, b"b")
    ends_orderly(canary)
    says(stable, b"c")


@case(service={"weight": "50%", "rollback": {"move": SOON}})
def nothing_ends_on_the_way_up(stage):
    stage.origin.play = switching(stage.origin, echo)
    stage.canary.play = switching(stage.canary, echo)
    links = [open_socket(stage, [f"Serin-Version: {version}"]) for version in ("previous", "current")]
    set_weight(stage, 100)
    for link in links:
        link.expect_silence(0.3)
        says(link, b"still here")


@case(service={"weight": "100%", "rollback": {"move": "off"}})
def off_leaves_them_where_they_are(stage):
    stage.canary.play = switching(stage.canary, echo)
    link = open_socket(stage)
    set_weight(stage, 0)
    link.expect_silence(0.3)
    says(link, b"still here")


def fall_by_half(stage, count, fields=()):
    """Opens `count` sockets at 40 %, goes to 20 %, and gives those that were closed and those that were not."""
    stage.origin.play = switching(stage.origin, echo)
    stage.canary.play = switching(stage.canary, echo)
    links = []
    for i in range(count):
        role = len(stage.canary.links)
        link = open_socket(stage, fields)
        link.is_canary = len(stage.canary.links) > role
        links.append(link)
    set_weight(stage, 20)
    gone, kept = [], []
    for link in links:
        link.send(frame(b"?", PING, masked=True))
    wait_for(lambda: stage.serin.service(stage.name)["current"]["in_flight"] < sum(link.is_canary for link in links), "some go")
    for link in links:
        try:
            opcode, payload = read_frame(link)
            if opcode == PING:
                opcode, payload = None, link.expect_silence(0.02)
        except WireError:
            opcode, payload = read_frame(link)
        (gone if opcode == 8 else kept).append(link)
    return gone, kept


@case(service={"weight": "40%", "sticky": {"by": "none"}, "rollback": {"move": SOON}}, workers=1)
def half_the_weight_keeps_half_of_them(stage):
    gone, kept = fall_by_half(stage, 50)
    expect(all(link.is_canary for link in gone), True, "only the canary's go")
    expect(abs(len(gone) - 10) <= 1, True, f"{len(gone)} of 20 go")
    for link in kept:
        says(link, b"still here")
    set_weight(stage, 0)
    for link in kept:
        if link.is_canary:
            expect(read_close(link), 1012, "the rest at 0")
        else:
            says(link, b"for good")


@case(service={"weight": "40%", "sticky": {"by": "cookie"}, "rollback": {"move": SOON}}, workers=1)
def clients_whose_bucket_stays_inside_stay(stage):
    gone, kept = fall_by_half(stage, 60)

    def bucket(link):
        return int(link.response.get("Set-Cookie").split(";")[0].rpartition(".")[2])

    expect([bucket(link) for link in gone if not 200000 <= bucket(link) < 400000], [], "buckets of those that went")
    expect([bucket(link) for link in kept if 200000 <= bucket(link) < 400000], [], "buckets of those that stayed")


@case(service={"weight": "100%", "rollback": {"move": {"deadline": f"{int(20 * SLOW)}s", "jitter": f"{int(3 * SLOW)}s"}}})
def many_go_one_by_one(stage):
    stage.canary.play = switching(stage.canary, echo)
    links = [open_socket(stage) for _ in range(60)]
    times, lock = [], threading.Lock()

    def follow(link):
        expect(read_close(link), 1012, "code")
        with lock:
            times.append(time.monotonic())

    threads = [threading.Thread(target=follow, args=(link,)) for link in links]
    for thread in threads:
        thread.start()
    set_weight(stage, 0)
    for thread in threads:
        thread.join(30 * SLOW)
    expect(len(times), 60, "closed")
    moments = {int((moment - min(times)) * 10 / SLOW) for moment in times}
    expect(len(moments) >= 5, True, f"they are spread: {sorted(moments)}")


# --- the whole story -------------------------------------------------------------------------------------------------
# what its origins say by heart is no answer to a question
@case(service={"weight": "50%", "rollback": {"verify": "off", "move": {"deadline": f"{int(6 * SLOW)}s", "jitter": "1s"}}})
def rollback_has_drained_when_the_last_of_them_is_gone(stage):
    stage.origin.play = switching(stage.origin, echo)
    stage.canary.plays = [switching(stage.canary, echo), streaming(stage, STREAM + event(b"data: 1\n\n")),
                          switching(stage.canary, lambda link: (link.send(header(9) + b"half"), until_end(link)))]
    socket = open_socket(stage, ["Serin-Version: current"])
    stream = stage.connect("stream")
    stream.send(stage.request(fields=["Serin-Version: current"]))
    stream.read_response_head()
    stuck = open_socket(stage, ["Serin-Version: current"])
    path = f"/api/v1/services/{stage.name}/rollback"
    expect(stage.serin.admin("POST", path, {"reason": "a test", "mode": "instant"}).status, 202, "rollback")
    expect(read_close(socket), 1012, "code")
    ends_orderly(socket)
    rest_of(stream)

    def record():
        rows = [row for row in stage.serin.admin("GET", "/api/v1/rollbacks").json["rollbacks"] if row["service"] == stage.name]
        return rows[0] if rows and rows[0]["phases"]["drain_s"] is not None else None

    row = wait_for(record, "the record has drained", 30)
    until_end(stuck)
    expect(row["status"], "success", "status")
    expect(row["duration_s"] >= row["phases"]["drain_s"], True, f"duration of {row}")
    metrics = stage.serin.metrics()
    expect(metrics.sum("serin_rollbacks_total", service=stage.name), 1, "counted once")


@case(starts_proxy=False)
def drain_of_the_process_tells_sockets_that_it_goes_away(stage):
    serin = stage.start_serin({"services": [stage.service(weight="50%")], "timeouts": {"drain": f"{int(60 * SLOW)}s"}})
    go_on = threading.Event()

    def half(link):
        link.send(header(4) + b"ha")
        go_on.wait(60 * SLOW)
        link.send(b"lf")
        until_end(link)

    stage.origin.plays = [switching(stage.origin, echo), switching(stage.origin, half)]
    stage.canary.play = switching(stage.canary, echo)
    links = [open_socket(stage, ["Serin-Version: current"]), open_socket(stage, ["Serin-Version: previous"]),
             open_socket(stage, ["Serin-Version: previous"])]
    links[2].read_exactly(4)
    serin.signal(signal.SIGTERM)
    for link in links[:2]:
        expect(read_close(link), 1001, "code")
        ends_orderly(link)
    go_on.set()
    expect(links[2].read_exactly(2), b"lf", "the rest of the frame")
    expect(read_close(links[2]), 1001, "code")
    ends_orderly(links[2])
    expect(serin.process.wait(30 * SLOW), 0, "exit long before the drain's deadline")
    expect([line["ended"] for line in serin.access_log()], ["drained"] * 3, "lines")


if __name__ == "__main__":
    run(__file__, parallel=4)

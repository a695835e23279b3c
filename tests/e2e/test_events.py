"""Server-sent events: each one reaches its reader before the next is sent, by HTTP/1.1 and HTTP/2, also while versions
change, the process drains, and for as long as events come."""

import os
import queue
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from certificates import Authority  # noqa: E402
from http2 import Http2  # noqa: E402
from play import SLOW, Closed, case, expect, free_port, run, wait_for  # noqa: E402

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = HEAD + b"Connection: close\r\n\r\n"
ROUNDS = 20


def event(number):
    return f"id: {number}\ndata: {'.' * (number % 7)}\n\n".encode()


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Source:
    """An origin that sends an event only when it is told that the one before has arrived."""

    def __init__(self, origin, head=CHUNKED, cut=chunk):
        self._orders, self._head, self._cut = queue.Queue(), head, cut
        self._origin = origin
        origin.play = self._play

    def _play(self, link):
        link.patience_s = 60 * SLOW
        self._origin.read(link)
        link.send(self._head)
        while True:
            order = self._orders.get(timeout=60 * SLOW)
            if order is None:
                link.send(b"0\r\n\r\n" if self._head == CHUNKED else b"")
                return
            link.send(self._cut(order))

    def send(self, data):
        self._orders.put(data)

    def end(self):
        self._orders.put(None)


class Reader1:
    """Events by HTTP/1.1."""

    def __init__(self, stage, link=None):
        self.link = link or stage.connect()
        self.link.send(stage.request(fields=["Accept: text/event-stream"]))
        self.head = self.link.read_response_head()

    def read(self, size):
        got = b""
        while len(got) < size:
            length = int(self.link.read_until(b"\r\n"), 16)
            got += self.link.read_exactly(length + 2)[:-2]
        return got

    def read_end(self):
        expect(self.link.read_until(b"\r\n\r\n"), b"0\r\n\r\n", "the end")


class Reader2:
    """Events by HTTP/2."""

    def __init__(self, stage, link=None, scheme="http"):
        self.client = Http2(link or stage.connect())
        self.stream = self.client.ask(stage.host, fields=[("accept", "text/event-stream")], scheme=scheme)
        self.head = self.client.read_head(self.stream)
        self._taken = 0

    def read(self, size):
        answer = self.head
        self.client.read_until(lambda: len(answer.body) >= self._taken + size)
        piece = answer.body[self._taken:self._taken + size]
        self._taken += size
        return piece

    def read_end(self):
        answer = self.client.read_answer(self.stream)
        expect((len(answer.body), answer.reset), (self._taken, None), "the end")


READERS = {"http_1_1": Reader1, "http_2": Reader2}


def follow(source, reader, numbers):
    for number in numbers:
        source.send(event(number))
        expect(reader.read(len(event(number))), event(number), f"event {number}")


def add_pace(name, reader, head, cut):
    def play(stage):
        source = Source(stage.origin, head, cut)
        follow_one = reader(stage)
        expect(follow_one.head.get("content-type"), "text/event-stream", "type")
        follow(source, follow_one, range(ROUNDS))
        source.end()
        follow_one.read_end()

    play.__name__ = name
    case(http2=True)(play)


for version, make in READERS.items():
    add_pace(f"each_event_arrives_before_the_next_is_sent_by_{version}", make, CHUNKED, chunk)
    add_pace(f"so_does_each_from_an_origin_that_ends_by_closing_by_{version}", make, ENDLESS, bytes)
    add_pace(f"so_does_each_piece_of_one_by_{version}", make, CHUNKED, lambda data: b"".join(
        chunk(data[at:at + 1]) for at in range(len(data))))


@case(starts_proxy=False)
def so_does_each_over_tls(stage):
    authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
    port = free_port()
    listen = [{"address": f"127.0.0.1:{port}", "tls": [authority.make("site", f"DNS:{stage.host}")]}]
    stage.start_serin({"listen": listen})
    for protocol, make in (("http/1.1", Reader1), ("h2", Reader2)):
        source = Source(stage.origin)
        link = stage.connect(port=port)
        link.sock = authority.context(protocols=[protocol]).wrap_socket(link.sock, server_hostname=stage.host)
        expect(link.sock.selected_alpn_protocol(), protocol, "ALPN")
        reader = make(stage, link) if make is Reader1 else make(stage, link, "https")
        follow(source, reader, range(ROUNDS))
        source.end()
        reader.read_end()


def add_change(name, reader, change):
    def play(stage):
        source = Source(stage.origin)
        one = reader(stage)
        follow(source, one, range(3))
        change(stage)
        follow(source, one, range(3, 6))
        source.end()
        one.read_end()

    play.__name__ = name
    case(http2=True)(play)


def shift(stage):
    for percent in (50, 0, 10):
        expect(stage.serin.set_weight(stage.name, percent).status, 200, f"weight {percent}")


def reload(stage):
    expect(stage.serin.admin("POST", "/api/v1/reload").status, 200, "reload")


for version, make in READERS.items():
    add_change(f"weights_may_move_under_a_reader_of_stable_by_{version}", make, shift)
    add_change(f"a_reload_leaves_readers_alone_by_{version}", make, reload)


def add_drain(name, reader):
    def play(stage):
        serin = stage.start_serin({"timeouts": {"drain": f"{int(60 * SLOW)}s"}}, http2=True)
        source = Source(stage.origin)
        one = reader(stage)
        follow(source, one, range(3))
        serin.signal(signal.SIGTERM)
        wait_for(lambda: serin.admin("GET", "/readyz").status == 503, "it drains")
        follow(source, one, range(3, 8))
        source.end()
        one.read_end()
        one.link.close() if reader is Reader1 else one.client.link.close()
        expect(serin.process.wait(30 * SLOW), 0, "exit when the last reader has its end")

    play.__name__ = name
    case(starts_proxy=False)(play)


for version, make in READERS.items():
    add_drain(f"events_go_on_while_the_process_drains_by_{version}", make)


@case(http2=True, service={"weight": "100%", "rollback": {"move": {"deadline": f"{int(1000 * SLOW)}ms", "jitter": "0s"}}})
def readers_of_a_withdrawn_canary_are_cut_after_their_last_event(stage):
    sources = Source(stage.canary)
    stage.expects_origin_failures = True
    reader = Reader2(stage)
    follow(sources, reader, range(3))
    expect(stage.serin.set_weight(stage.name, 0).status, 200, "weight 0")
    reader.client.read_reset(reader.stream)
    expect(reader.head.body, b"".join(event(number) for number in range(3)), "all that was sent")
    expect(reader.head.has_ended, False, "it does not look whole")
    sources.end()


@case(http2=True, proxy={"timeouts": {"response_body": f"{int(3000 * SLOW)}ms", "client_body": f"{int(1500 * SLOW)}ms",
                                      "client_idle": f"{int(1500 * SLOW)}ms"}})
def a_stream_lives_as_long_as_events_come(stage):
    """Well beyond each deadline; the pauses between events are the stimulus."""
    source = Source(stage.origin)
    readers = [Reader2(stage)]
    pause = threading.Event()
    for number in range(8):
        pause.wait(0.5 * SLOW)
        follow(source, readers[0], [number])
    source.end()
    readers[0].read_end()


def until_end(link):
    try:
        while True:
            link.read_some()
    except Closed:
        return True


@case(http2=True)
def a_reader_that_leaves_frees_its_origin(stage):
    ended = []

    def play(link):
        stage.origin.read(link)
        link.send(CHUNKED + chunk(event(1)))
        ended.append(until_end(link))

    stage.origin.play = play
    reader = Reader2(stage)
    reader.read(len(event(1)))
    reader.client.reset(reader.stream)
    wait_for(lambda: ended, "the origin sees the end")


if __name__ == "__main__":
    run(__file__, parallel=4)

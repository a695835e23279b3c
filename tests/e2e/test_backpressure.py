"""A slow reader holds back the writer at the other end; the proxy stores almost nothing in between."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Closed, case, chunked, expect, run, wait_for  # noqa: E402

MIB = 1 << 20
SIZE = 64 * MIB
# What the kernel may hold: two sockets' send and receive buffers at their automatic maximum.
KERNEL_MAX = 36 * MIB
GROWTH_KIB_MAX = 12 * 1024
PIECE = bytes(range(256)) * 1024


class Pump:
    """Sends `size` bytes of a known pattern and knows how far it came."""

    def __init__(self, size):
        self.size, self.sent = size, 0

    def __call__(self, link):
        while self.sent < self.size:
            piece = PIECE[: min(len(PIECE), self.size - self.sent)]
            link.sock.settimeout(60 * SLOW)
            try:
                self.sent += link.sock.send(piece)
            except ConnectionError as error:
                raise Closed(f"after {self.sent} bytes: {error}") from error

    def wait_stalled(self):
        """Until nothing has moved for half a second."""
        def is_still():
            before = self.sent
            time.sleep(0.5)
            return self.sent == before and before > 0

        wait_for(is_still, "the writer is held back", 60)


def drain(link, size):
    """Reads `size` bytes and checks the pattern."""
    total = 0
    while total < size:
        piece = link.read_some()
        offset = total % len(PIECE)
        if piece != (PIECE + PIECE)[offset : offset + len(piece)]:
            raise AssertionError(f"other bytes near {total}")
        total += len(piece)
    expect(total, size, "bytes")


def pieces_of(link):
    """read_some, in pieces no longer than the pattern."""
    link.keeps = False
    read = link.read_some
    rest = bytearray()

    def read_some(patience_s=None):
        if not rest:
            rest.extend(read(patience_s))
        piece = bytes(rest[: len(PIECE)])
        del rest[: len(piece)]
        return piece

    link.read_some = read_some
    return link


def holds_little(stage, before_kib, pump):
    pump.wait_stalled()
    if pump.sent > KERNEL_MAX:
        raise AssertionError(f"{pump.sent} bytes were taken from the writer while nobody read")
    grown = stage.serin.rss_kib() - before_kib
    if SLOW == 1 and grown > GROWTH_KIB_MAX:
        raise AssertionError(f"the proxy grew by {grown} KiB")


def warm(stage):
    expect(stage.ask().status, 200, "status")
    stage.origin.requests.clear()
    return stage.serin.rss_kib()


@case()
def slow_client_holds_back_the_origin(stage):
    def play(link):
        stage.origin.read(link)
        link.send(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")
        pump(link)
        stage.origin.polite(link)

    before, pump = warm(stage), Pump(SIZE)
    stage.origin.plays = [play]
    for link in stage.origin.links:
        link.interrupt()
    link = pieces_of(stage.connect())
    link.send(stage.request())
    expect(link.read_response_head().status, 200, "status")
    holds_little(stage, before, pump)
    drain(link, SIZE)
    stage.origin.plays = []
    link.send(stage.request())
    expect(link.read_response().body, b"ok", "the next answer")


@case()
def slow_client_holds_back_an_origin_that_chunks(stage):
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        link.patience_s = 60 * SLOW
        while count[0] < 512:
            link.send(b"20000\r\n" + b"x" * 0x20000 + b"\r\n")
            count[0] += 1
        link.send("0\r\n\r\n")

    count = [0]
    stage.origin.play = play
    link = stage.connect()
    link.keeps = False
    link.send(stage.request())
    head = link.read_response_head()

    def is_still():
        seen = count[0]
        time.sleep(0.5)
        return count[0] == seen

    wait_for(is_still, "the origin is held back", 60)
    expect(count[0] * 0x20000 <= KERNEL_MAX, True, f"the proxy took {count[0]} chunks of 128 KiB")
    total = []
    link.read_body(head, sink=lambda piece: total.append(len(piece)))
    expect(sum(total), 512 * 0x20000, "bytes")


@case()
def slow_origin_holds_back_the_client(stage):
    def play(link):
        request = link.read_request_head()
        go.wait(60 * SLOW)
        drain(pieces_of(link), int(request.get("Content-Length")))
        link.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def upload():
        try:
            pump(link)
        except Closed as error:
            stage.transcript.note("client", f"upload failed: {error}")

    before, pump, go = warm(stage), Pump(SIZE), threading.Event()
    stage.origin.play = play
    for link in stage.origin.links:
        link.interrupt()
    link = stage.connect()
    link.send(stage.request("POST", fields=[f"Content-Length: {SIZE}"]))
    thread = threading.Thread(target=upload, daemon=True)
    thread.start()
    holds_little(stage, before, pump)
    go.set()
    expect(link.read_response(patience_s=60 * SLOW).status, 200, "status")
    thread.join()


@case()
def slow_end_of_a_tunnel_holds_back_the_other(stage):
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        pump(link)
        link.finish_sending()
        link.read_to_end(60)

    before, pump = warm(stage), Pump(SIZE)
    stage.origin.play = play
    for link in stage.origin.links:
        link.interrupt()
    link = pieces_of(stage.connect())
    link.send(stage.request(fields=["Connection: Upgrade", "Upgrade: x"]))
    expect(link.read_response_head().status, 101, "status")
    holds_little(stage, before, pump)
    drain(link, SIZE)
    link.finish_sending()


@case()
def many_slow_clients_cost_little_each(stage):
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        pump = Pump(100000000)
        pumps.append(pump)
        pump(link)

    pumps = []
    before = warm(stage)
    stage.origin.play = play
    for link in stage.origin.links:
        link.interrupt()
    links = [stage.connect(f"c{number}") for number in range(40)]
    for link in links:
        link.send(stage.request())
    for link in links:
        link.read_response_head()
    wait_for(lambda: len(pumps) == 40, "all answers began")

    def are_still():
        seen = [pump.sent for pump in pumps]
        time.sleep(0.5)
        return [pump.sent for pump in pumps] == seen

    wait_for(are_still, "all are held back", 60)
    grown = stage.serin.rss_kib() - before
    if SLOW == 1 and grown > 40 * 512:
        raise AssertionError(f"40 slow clients cost {grown} KiB")
    for link in links:
        link.reset()


@case()
def small_pieces_are_not_saved_up(stage):
    """A stream of small events reaches the client as it comes (server-sent events)."""
    def play(link):
        stage.origin.read(link)
        link.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(10):
            wait_for(lambda: len(seen) == number, "the client has the last event")
            link.send(b"9\r\ndata: %d\n\n\r\n" % number)
        wait_for(lambda: len(seen) == 10, "the client has the last event")
        link.send("0\r\n\r\n")

    seen = []
    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request())
    link.read_response_head()
    for number in range(10):
        expect(link.read_until(b"\n\n\r\n"), b"9\r\ndata: %d\n\n\r\n" % number, "event")
        seen.append(number)
    expect(link.read_until(b"0\r\n\r\n"), b"0\r\n\r\n", "the end")


@case()
def small_pieces_of_an_upload_are_not_saved_up(stage):
    def play(link):
        link.read_request_head()
        for number in range(10):
            expect(link.read_until(b"\r\n", 10), b"5\r\n", "chunk line")
            expect(link.read_exactly(7), b"item%d\r\n" % number, "piece")
            seen.append(number)
        link.read_until(b"0\r\n\r\n")
        link.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    seen = []
    stage.origin.play = play
    link = stage.connect()
    link.send(stage.request("POST", fields=["Transfer-Encoding: chunked"]))
    for number in range(10):
        link.send(chunked(b"item%d" % number)[:-5])
        wait_for(lambda: len(seen) == number + 1 or stage.origin.failures, "the origin has it")
    link.send("0\r\n\r\n")
    expect(link.read_response().status, 200, "status")


if __name__ == "__main__":
    run(__file__)

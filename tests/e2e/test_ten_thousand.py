"""Ten thousand connections at once: each is served, and one that waits costs next to nothing."""

import os
import resource
import select
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import LoadOrigin  # noqa: E402
from play import SLOW, case, expect, run, wait_for  # noqa: E402

IDLE_BYTES_MAX = 2048  # of the proxy's memory for each idle connection
RESERVE = 400


def connection_count():
    """Ten thousand, or what this machine's limit of descriptors lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 10000 if hard == resource.RLIM_INFINITY else min(10000, hard - RESERVE)


class Crowd:
    """Connections that ask all at once and wait for all answers."""

    def __init__(self, port, request):
        self.address, self.request = ("127.0.0.1", port), request
        self.socks = {}
        self.epoll = select.epoll()

    def grow(self, count):
        while len(self.socks) < count:
            sock = socket.create_connection(self.address, 20 * SLOW)
            sock.setblocking(False)
            self.socks[sock.fileno()] = sock
            self.epoll.register(sock.fileno(), select.EPOLLIN)

    def ask_all(self, in_flight):
        """Everybody asks once, `in_flight` at a time; gives the number of good answers."""
        todo, waiting, good = list(self.socks), 0, 0
        deadline = time.monotonic() + 60 * SLOW
        while todo or waiting:
            while todo and waiting < in_flight:
                self.socks[todo.pop()].sendall(self.request)
                waiting += 1
            for fd, _ in self.epoll.poll(1):
                data = self.socks[fd].recv(65536)
                if not data.startswith(b"HTTP/1.1 200") or not data.endswith(b"stable"):
                    raise AssertionError(f"answer {data[:200]!r}")
                waiting -= 1
                good += 1
            if time.monotonic() > deadline:
                raise AssertionError(f"{waiting} connections wait for an answer")
        return good

    def close(self):
        for sock in self.socks.values():
            sock.close()
        self.epoll.close()


@case(starts_proxy=False)
def ten_thousand_connections_are_served(stage):
    count = connection_count()
    stable = LoadOrigin("stable")
    crowd = None
    try:
        service = stage.service(previous={"deployment": "s", "endpoints": [stable.url]})
        serin = stage.start_serin({"services": [service], "limits": {"client_connections": count + 100},
                                   "timeouts": {"client_idle": "10m", "client_header": "10m"}}, workers=2)
        crowd = Crowd(serin.port, stage.request())
        crowd.grow(100)
        crowd.ask_all(100)
        before = serin.rss_kib()
        crowd.grow(count)
        expect(crowd.ask_all(500), count, "good answers")
        expect(crowd.ask_all(500), count, "good answers of the second round")
        each = (serin.rss_kib() - before) * 1024 / (count - 100)
        if SLOW == 1 and each > IDLE_BYTES_MAX:
            raise AssertionError(f"an idle connection costs {each:.0f} bytes")
        metrics = serin.metrics()
        expect(metrics.sum("serin_client_connections"), count, "client connections in the metrics")
        expect(metrics.sum("serin_requests_total", service=stage.name, code=200), 2 * count + 100, "requests")
        expect(metrics.by("serin_rejected_connections_total", "reason"), {}, "refused connections")
        crowd.close()
        crowd = None
        wait_for(lambda: serin.metrics().sum("serin_client_connections") == 0, "all are gone")
    finally:
        if crowd:
            crowd.close()
        stable.stop()


if __name__ == "__main__":
    run(__file__)

"""load.py - many requests: an origin in a process of its own, and clients in a thread.

Both run on epoll and speak the least HTTP that plays need (GET, keep-alive, Content-Length), because here numbers
matter and strictness is tested elsewhere. The origin is told what to do by lines of JSON on its standard input."""

import collections
import errno
import heapq
import itertools
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time

from wire import SLOW

SEPARATOR = b"\r\n\r\n"


# --- the origin's process ---------------------------------------------------------------------------------------------
class _OriginLoop:
    """Answers each request with `status` (every `every`-th one; the others 200) after `delay_ms`. With `left` only
    so many have it, and then all is well again."""

    def __init__(self, tag):
        self.tag = tag.encode()
        self.order = {"status": 200, "every": 1, "delay_ms": 0, "end": None, "body": 0, "left": None}
        self.counts = collections.Counter()
        self.number = 0
        self.links = {}
        self.later = []
        self.sequence = itertools.count()
        self.epoll = select.epoll()
        self.orders = b""
        self.listener = None
        self.listen(0)

    def listen(self, port):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(4096)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.epoll.register(self.listener.fileno(), select.EPOLLIN)

    def reply(self):
        self.number += 1
        is_due = self.number % self.order["every"] == 0 and self.order["left"] != 0
        status = self.order["status"] if is_due else 200
        if is_due and self.order["left"] is not None:
            self.order["left"] -= 1
        self.counts[status] += 1
        body = self.tag + b"x" * self.order["body"]
        return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)

    def close(self, fd):
        sock, _ = self.links.pop(fd, (None, None))
        if sock:
            sock.close()

    def answer(self, fd, sock):
        if self.order["end"]:
            self.counts["ended"] += 1
            self.close(fd)
            return
        if self.order["delay_ms"]:
            due = time.monotonic() + self.order["delay_ms"] / 1000
            heapq.heappush(self.later, (due, next(self.sequence), fd, sock))
            return
        self.send(fd, sock)

    def send(self, fd, sock):
        try:
            sock.sendall(self.reply())
        except OSError:
            self.close(fd)

    def read(self, fd):
        sock, seen = self.links[fd]
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close(fd)
            return
        seen += data
        while fd in self.links and SEPARATOR in seen:
            seen = seen.partition(SEPARATOR)[2]
            self.answer(fd, sock)
        if fd in self.links:
            self.links[fd] = (sock, seen)

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.links[sock.fileno()] = (sock, b"")
            self.epoll.register(sock.fileno(), select.EPOLLIN)

    def obey(self):
        """Takes orders from standard input; False when it ends."""
        data = os.read(0, 65536)
        if not data:
            return False
        *lines, self.orders = (self.orders + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            listening = order.pop("listen", None)
            if listening is False and self.listener:
                self.listener.close()
                self.listener = None
                for fd in list(self.links):
                    self.close(fd)
            if listening is True and not self.listener:
                self.listen(self.port)
            self.order.update(order)
            answer = {"port": self.port, "counts": {str(key): value for key, value in self.counts.items()},
                      "links": len(self.links)}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        return True

    def run(self):
        self.epoll.register(0, select.EPOLLIN)
        while True:
            wait = max(0, self.later[0][0] - time.monotonic()) if self.later else -1
            for fd, _ in self.epoll.poll(wait):
                if fd == 0:
                    if not self.obey():
                        return
                elif self.listener and fd == self.listener.fileno():
                    self.accept()
                elif fd in self.links:
                    self.read(fd)
            while self.later and self.later[0][0] <= time.monotonic():
                _, _, fd, sock = heapq.heappop(self.later)
                if self.links.get(fd, (None,))[0] is sock:
                    self.send(fd, sock)


class LoadOrigin:
    """The handle of an origin process; `tag` is the start of every body it sends."""

    def __init__(self, tag):
        self.tag = tag
        self._lock = threading.Lock()
        self._process = subprocess.Popen([sys.executable, os.path.abspath(__file__), tag], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        self.port = self.order()["port"]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def order(self, **order):
        """Any of status, every, left, delay_ms, body, end (close instead of answering), listen; gives counts."""
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def counts(self):
        return {key: value for key, value in self.order()["counts"].items()}

    def stop(self):
        self._process.stdin.close()
        self._process.wait(30 * SLOW)
        self._process.stdout.close()


# --- clients ----------------------------------------------------------------------------------------------------------
class Tally:
    """What the clients of a load saw."""

    def __init__(self):
        self.statuses = collections.Counter()
        self.answers = collections.Counter()  # (status, tag)
        self.errors = collections.Counter()
        self.last_bad_s = None

    @property
    def total(self):
        return sum(self.statuses.values())

    def of(self, tag):
        return sum(count for (_, who), count in self.answers.items() if who == tag)


class _Client:
    """A connection; `asked` while it waits for an answer."""

    __slots__ = ("sock", "seen", "is_waiting", "is_gone", "asked_count")

    def __init__(self, address):
        self.sock = socket.create_connection(address, 20 * SLOW)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.seen, self.is_waiting, self.is_gone, self.asked_count = b"", False, False, 0


class Load(threading.Thread):
    """`connections` clients that ask again as soon as they are answered, or together `rate` times a second.
    Ends after `requests`, or at stop(). `fields_of(n)` gives more fields for the n-th request; with
    `per_connection` each connection says close with so many requests. `method_of(n)` is its method, GET without.
    Each request has a path of its own, or one of `paths` by (seeded) chance: taken in turn, they would fall in step with a
    split that is dealt in turn, and one version would never see some of them."""

    def __init__(self, port, host, connections=8, requests=None, rate=None, tags=("stable", "canary"), fields_of=None,
                 per_connection=None, method_of=None, address="127.0.0.1", paths=None):
        super().__init__(daemon=True)
        self.address, self.host, self.count = (address, port), host, connections
        self.requests, self.rate, self.fields_of, self.per_connection = requests, rate, fields_of, per_connection
        self.method_of, self.paths = method_of, paths
        self._chance = random.Random(1)
        self.tags = [tag.encode() for tag in tags]
        self.tally = Tally()
        self.sent = 0
        self.trouble = None
        self._ended = threading.Event()
        self._epoll = select.epoll()
        self._clients = {}
        self._idle = collections.deque()
        self._waiting_count = 0

    def stop(self):
        """Lets what is in flight end, and gives the tally."""
        self._ended.set()
        return self.wait()

    def wait(self, patience_s=120):
        self.join(patience_s * SLOW)
        if self.is_alive():
            raise AssertionError(f"the load hangs: {self.tally.statuses} {self.tally.errors}")
        if self.trouble:
            raise self.trouble
        return self.tally

    def run(self):
        try:
            self._run()
        except Exception as error:
            self.trouble = error
        finally:
            for client in self._clients.values():
                client.sock.close()
            self._epoll.close()

    def _run(self):
        self._started_s = time.monotonic()
        for _ in range(self.count):
            self._open()
        while self._waiting_count or not self._is_over():
            while self._idle and self._may_ask():
                client = self._idle.popleft()
                if not client.is_gone:
                    self._ask(client)
            for fd, _ in self._epoll.poll(0.005 if self.rate else 0.05):
                if fd in self._clients:
                    self._read(self._clients[fd])

    def _is_over(self):
        return self._ended.is_set() or (self.requests is not None and self.sent >= self.requests)

    def _may_ask(self):
        if self._is_over():
            return False
        return self.rate is None or self.sent < (time.monotonic() - self._started_s) * self.rate

    def _open(self):
        client = _Client(self.address)
        self._clients[client.sock.fileno()] = client
        self._epoll.register(client.sock.fileno(), select.EPOLLIN)
        self._idle.append(client)

    def _end(self, client):
        """This connection is over; another takes its place as long as there is something to ask."""
        if client.is_waiting:
            self._waiting_count -= 1
        client.is_gone, client.is_waiting = True, False
        del self._clients[client.sock.fileno()]
        client.sock.close()
        if not self._is_over():
            try:
                self._open()
            except OSError as error:
                self._note_error("connect " + errno.errorcode.get(error.errno, "error"))
                raise

    def _ask(self, client):
        fields = self.fields_of(self.sent) if self.fields_of else ""
        method = self.method_of(self.sent) if self.method_of else "GET"
        if method == "POST":
            fields += "Content-Length: 0\r\n"
        client.asked_count += 1
        if self.per_connection and client.asked_count >= self.per_connection:
            fields += "Connection: close\r\n"
        client.is_waiting = True
        self._waiting_count += 1
        try:
            number = self._chance.randrange(self.paths) if self.paths else self.sent
            client.sock.sendall(f"{method} /n{number} HTTP/1.1\r\nHost: {self.host}\r\n{fields}\r\n".encode())
        except OSError:
            pass  # found out when reading
        self.sent += 1

    def _read(self, client):
        try:
            data = client.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError as error:
            data, why = b"", errno.errorcode.get(error.errno, "error")
        else:
            why = "closed"
        if not data:
            if client.is_waiting:
                self._note_error(why)
            self._end(client)
            return
        client.seen += data
        end = client.seen.find(SEPARATOR)
        if end < 0:
            return
        head = client.seen[:end].lower() + b"\r\n"
        start = head.index(b"content-length:") + 15
        whole = end + 4 + int(head[start : head.index(b"\r\n", start)])
        if len(client.seen) < whole:
            return
        if len(client.seen) > whole or not client.is_waiting:
            raise AssertionError(f"more than was asked for: {client.seen!r}")
        self._note_answer(int(head[9:12]), client.seen[end + 4 :])
        client.seen = b""
        if b"\nconnection: close" in head:
            self._end(client)
            return
        client.is_waiting = False
        self._waiting_count -= 1
        self._idle.append(client)

    def _note_error(self, what):
        self.tally.errors[what] += 1
        self.tally.last_bad_s = time.monotonic()

    def _note_answer(self, status, body):
        tag = next((tag.decode() for tag in self.tags if body.startswith(tag)), "serin")
        self.tally.statuses[status] += 1
        self.tally.answers[(status, tag)] += 1
        if status >= 500:
            self.tally.last_bad_s = time.monotonic()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _OriginLoop(sys.argv[1]).run()

"""shared_link.py - a Link that one thread reads while others write, also over TLS.

OpenSSL lets nobody write to a connection from which another thread reads at that moment. So the socket does not block:
each call on it is made under a lock, and waiting is done outside of it."""

import select
import ssl
import threading
import time

from wire import Closed, Link, Reset, TooLate

NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
LOOK_S = 0.2


class SharedLink(Link):
    """Takes over what `link` has. What send() is given goes out in one piece."""

    def __init__(self, link):
        super().__init__(link.sock, link.name, link.transcript)
        self.patience_s, self.keeps = link.patience_s, link.keeps
        self._one, self._writing = threading.Lock(), threading.Lock()
        self.sock.setblocking(False)

    def _try(self, call, *words):
        """The call's result, or None where it would wait."""
        try:
            with self._one:
                return call(*words)
        except NOT_NOW:
            return None
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Reset(f"{self.name}: {error}") from error
        except (OSError, ValueError) as error:
            raise Closed(f"{self.name}: {error}") from error

    def _wait(self, is_write, deadline):
        if time.monotonic() > deadline:
            raise TooLate(f"{self.name}: peer does not {'read' if is_write else 'write'}")
        try:
            select.select([] if is_write else [self.sock], [self.sock] if is_write else [], [], LOOK_S)
        except (OSError, ValueError) as error:
            raise Closed(f"{self.name}: {error}") from error

    def send(self, data):
        self.transcript.note(self.name, "sends", data)
        deadline, rest = time.monotonic() + self.patience_s, memoryview(data)
        with self._writing:
            while rest:
                sent = self._try(self.sock.send, rest)
                if sent is None:
                    self._wait(True, deadline)
                else:
                    rest = rest[sent:]

    def _fill(self, deadline):
        while (data := self._try(self.sock.recv, 256 * 1024)) is None:
            self._wait(False, deadline)
        if not data:
            self.transcript.note(self.name, "sees the end")
            raise Closed(f"{self.name}: closed")
        self.transcript.note(self.name, "reads", data)
        self.pending += data

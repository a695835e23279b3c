"""origin.py - an origin that plays what a case wrote for it.

Each connection gets a thread that runs a play: a function of a Link. The polite play reads requests strictly and
answers each with `reply`; cases that need bad manners set `play` (every connection) or `plays` (one for each
connection in turn, the last one for all that follow). Bytes, requests and whatever went wrong are kept."""

import socket
import threading
import traceback

from wire import PATIENCE_S, SLOW, Closed, Link, Malformed, TooLate, answer


class Origin:
    """Listens at once on a port of its own; stops with `stop`."""

    def __init__(self, transcript, name="origin"):
        self.name = name
        self.transcript = transcript
        self.scheme, self.host = "http", "127.0.0.1"  # of its url
        self.reply = answer()
        self.play = None
        self.plays = []
        self.requests = []  # parsed, by the polite play and by read()
        self.links = []
        self.failures = []
        self._changed = threading.Condition()
        self._threads = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.is_stopping = False
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def url(self):
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def authority(self):
        return f"127.0.0.1:{self.port}"

    @property
    def received(self):
        """Every byte that came, connection by connection."""
        return [bytes(link.received) for link in self.links]

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                index = len(self.links)
                link = Link(sock, f"{self.name}#{index}", self.transcript)
                self.links.append(link)
                self._changed.notify_all()
            self.transcript.note(link.name, "accepts")
            play = self.plays[min(index, len(self.plays) - 1)] if self.plays else self.play or self.polite
            thread = threading.Thread(target=self._perform, args=(play, link), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _perform(self, play, link):
        try:
            play(link)
        except Closed as end:
            self.transcript.note(link.name, f"play ended: {end}")
        except (Malformed, TooLate, AssertionError, Exception) as error:
            if not self.is_stopping:
                self.failures.append(f"{link.name}: {error!r}\n{traceback.format_exc(limit=-3)}")
        finally:
            if link.is_open:
                link.close()

    def note_request(self, request):
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def read(self, link):
        """Reads a request strictly on behalf of a play and keeps it."""
        request = link.read_request()
        self.note_request(request)
        return request

    def polite(self, link):
        """Answers every request with `reply`: bytes, or a function of the request that gives bytes."""
        link.patience_s = 600
        while True:
            request = self.read(link)
            reply = self.reply(request) if callable(self.reply) else self.reply
            if request.method == "HEAD" and reply.startswith(b"HTTP/1.1 2"):
                reply = reply[: reply.index(b"\r\n\r\n") + 4]
            link.send(reply)
            if (request.get("Connection") or "").lower() == "close" or b"\r\nConnection: close\r\n" in reply[:4096]:
                return

    def wait_links(self, count, patience_s=PATIENCE_S):
        """Waits until so many connections have come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.links) >= count, patience_s):
                raise TooLate(f"{self.name}: {len(self.links)} connections, wanted {count}")

    def wait_requests(self, count, patience_s=PATIENCE_S):
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, patience_s):
                raise TooLate(f"{self.name}: {len(self.requests)} requests, wanted {count}")

    def stop_listening(self):
        """From now on connections are refused; those that are open live on."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def stop(self):
        self.is_stopping = True
        self.stop_listening()
        self._acceptor.join(5 * SLOW)
        for link in list(self.links):
            link.interrupt()
        for thread in self._threads:
            thread.join(5 * SLOW)

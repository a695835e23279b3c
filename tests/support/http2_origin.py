"""http2_origin.py - an origin that speaks HTTP/2 by hand, over the links of origin.py.

    back = Http2Origin(stage.origin)                      # the polite play: 200 to everything
    back.reply = lambda served, stream, asked: served.respond(stream, 503)
    back.play = function of a Served                      # every connection
    back.plays = [function, function]                     # each connection in turn, the last one for all that follow

What comes in is read strictly; what goes out is whatever a play says."""

import ssl
import struct
import threading

from http2 import (ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, NO_ERROR, PREFACE, SETTINGS,
                   WINDOW_UPDATE, Answer, Http2, block)
from wire import Closed, WireError


class Asked(Answer):
    """A request, as far as it has come."""

    def __init__(self, stream):
        super().__init__()
        self.stream = stream

    @property
    def method(self):
        return self.get(":method")

    @property
    def path(self):
        return self.get(":path")

    def all(self, name):
        return [value for other, value in self.fields if other == name]

    def __repr__(self):
        return f"<{self.method} {self.path} stream {self.stream}, {len(self.body)} bytes, ended {self.has_ended}>"


class Served(Http2):
    """The origin's side of a connection."""

    def __init__(self, link, settings=(), greets=True, is_polite=True):
        self._begin(link, is_polite)
        self._taken = set()
        self.windows = {}  # what may be sent, of streams (and 0) of which anything was heard
        self.initial_window = 65535
        preface = link.read_exactly(len(PREFACE))
        if preface != PREFACE:
            raise WireError(f"no preface: {preface!r}")
        if greets:
            link.send(self.settings_bytes(settings))

    def answer(self, stream):
        if stream not in self.answers:
            self.answers[stream] = Asked(stream)
        return self.answers[stream]

    def _take(self, frame):
        super()._take(frame)
        if frame.kind == WINDOW_UPDATE:
            size = struct.unpack(">I", frame.payload)[0]
            start = self.initial_window if frame.stream else 65535
            self.windows[frame.stream] = self.windows.get(frame.stream, start) + size
        elif frame.kind == HEADERS:
            self.windows.setdefault(frame.stream, self.initial_window)
        elif frame.kind == SETTINGS and not frame.flags & ACK:
            self.initial_window = self.settings.get(INITIAL_WINDOW_SIZE, 65535)

    def spend(self, stream, size):
        """So much was sent."""
        for one in (0, stream):
            self.windows[one] = self.windows.get(one, 65535) - size

    def _fresh(self, is_complete):
        for stream in sorted(self.answers):
            asked = self.answers[stream]
            if stream not in self._taken and asked.fields is not None and (asked.has_ended or not is_complete):
                return asked
        return None

    def next_head(self):
        """The next request whose head is in."""
        self.read_until(lambda: self._fresh(False) is not None)
        asked = self._fresh(False)
        self._taken.add(asked.stream)
        return asked

    def next_request(self):
        """The next one that is complete."""
        self.read_until(lambda: self._fresh(True) is not None)
        asked = self._fresh(True)
        self._taken.add(asked.stream)
        return asked

    def requests(self, count):
        """So many that are open at once."""
        return [self.next_request() for _ in range(count)]

    def read_whole(self, asked):
        self.read_until(lambda: asked.has_ended or asked.reset is not None)
        return asked

    def inform(self, stream, status, fields=()):
        self.headers([(":status", str(status)), *fields], False, stream)

    def respond(self, stream, status=200, fields=(), body=b"", trailers=None):
        self.headers([(":status", str(status)), *fields], not body and trailers is None, stream)
        if body:
            self.data(stream, body, trailers is None)
        if trailers is not None:
            self.headers(trailers, True, stream)

    def go_away(self, last_stream, code=NO_ERROR):
        self.frame(GOAWAY, 0, 0, struct.pack(">II", last_stream, code))


class Http2Origin:
    """Has an Origin speak HTTP/2, behind TLS with a `context`."""

    def __init__(self, origin, settings=(), context=None):
        self.origin, self.settings, self.context = origin, settings, context
        self.reply = lambda served, stream, asked: served.respond(stream, body=b"ok")
        self.play = self.polite
        self.plays = []
        self.served = []
        self.asked = []      # complete requests that the polite play answered
        self.protocols = []  # what ALPN gave, connection by connection
        self._changed = threading.Condition()
        origin.play = self._perform

    @property
    def url(self):
        return f"https://localhost:{self.origin.port}" if self.context else self.origin.url

    def _perform(self, link):
        link.patience_s = 600
        if self.context:
            try:
                link.sock = self.context.wrap_socket(link.sock, server_side=True)
            except (ssl.SSLError, OSError) as error:
                raise Closed(f"no handshake: {error}") from None
            link.sock.settimeout(None)
        protocol = link.sock.selected_alpn_protocol() if self.context else None
        with self._changed:
            index = len(self.protocols)
            self.protocols.append(protocol)
        if protocol == "http/1.1" or (self.context and protocol is None):
            self.origin.polite(link)
            return
        served = Served(link, self.settings)
        with self._changed:
            self.served.append(served)
        play = self.plays[min(index, len(self.plays) - 1)] if self.plays else self.play
        play(served)

    def polite(self, served):
        while True:
            self.answer_one(served)

    def answer_one(self, served):
        asked = served.next_request()
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()
        self.reply(served, asked.stream, asked)
        return asked


__all__ = ["Http2Origin", "Served", "Asked", "block", "ACK", "DATA", "END_HEADERS", "END_STREAM", "HEADERS", "SETTINGS"]

"""answerers.py - an origin whose protocol a play need not know: the same answers over HTTP/1.1 and HTTP/2.

An Answerer takes over an Origin of origin.py (which Sealed may have put behind TLS) and hands each request to `handle`,
a function of an Asked, as soon as its head is there; without one it is polite and answers with its own name."""

import collections
import threading

from http2 import DATA, END_HEADERS, END_STREAM, HEADERS, INTERNAL_ERROR, NO_ERROR, block
from http2_origin import Served
from shared_link import SharedLink
from wire import Closed


def lower(fields):
    return [(name.lower(), value) for name, value in fields]


class Answerer:
    def __init__(self, origin, name):
        self.origin, self.name = origin, name
        self.handle = None
        self.asked = []

    def play(self, link):
        """Of a connection over HTTP/1.1."""
        link.patience_s, link.keeps = 600, False
        link.holds_little()
        while link.is_open:
            asked = Asked1(link, link.read_request_head())
            self.answer(asked)
            asked.finish()

    def play_http2(self, link):
        """Of a connection over HTTP/2: each request has a thread of its own."""
        link.patience_s = 600
        link.holds_little()
        Conversation(SharedLink(link), self).run()

    def answer(self, asked):
        self.asked.append(asked)
        if self.handle:
            self.handle(asked)
        else:
            self.politely(asked)

    def politely(self, asked):
        asked.read()
        asked.answer(body=self.name.encode())

    def failing(self, status):
        """Answers with this status from now on."""

        def handle(asked):
            asked.read()
            asked.answer(status, b"broken")

        self.handle = handle


class Asked1:
    """A request over HTTP/1.1, and how it is answered."""

    def __init__(self, link, head):
        self.link, self._head = link, head
        self.method, self.target = head.method, head.target
        self.authority = head.get("Host")
        self.fields = [(name, value) for name, value in lower(head.fields)]
        self.body, self.trailers = None, []
        self._is_chunked = False

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name):
        values = self.all(name)
        return ", ".join(values) if values else None

    def read(self, sink=None):
        """The body, to its end."""
        self.link.read_body(self._head, sink=sink)
        self.body, self.trailers = self._head.body, lower(self._head.trailers)
        return self

    def finish(self):
        """What the play left unread."""
        if self.link.is_open and self.body is None:
            self.read()

    def inform(self, status, fields=()):
        self.link.send(f"HTTP/1.1 {status} Well\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n")

    def begin(self, status=200, fields=(), size=None):
        """A head; its body follows, of `size` bytes if that is said beforehand."""
        self._is_chunked = size is None
        framing = [("transfer-encoding", "chunked") if size is None else ("content-length", str(size))]
        if status in (204, 304) or status < 200:
            framing = []
        lines = [f"HTTP/1.1 {status} Well", *(f"{name}: {value}" for name, value in [*fields, *framing])]
        self.link.send("\r\n".join(lines) + "\r\n\r\n")

    def send(self, data):
        for at in range(0, len(data), 65536):
            piece = data[at:at + 65536]
            self.link.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self._is_chunked else piece)

    def end(self, trailers=()):
        if self._is_chunked and self.method != "HEAD":
            self.link.send("0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in trailers) + "\r\n")

    def answer(self, status=200, body=b"", fields=()):
        self.begin(status, fields, len(body))
        if self.method != "HEAD" and status not in (204, 304):
            self.send(body)

    def answer_unread(self, status, body):
        """And wants nothing more of the request."""
        self.answer(status, body, [("connection", "close")])
        self.link.finish_sending()
        self.link.read_to_end()  # what comes all the same: a close before would be a reset
        self.link.close()

    def cut(self):
        """Ends the answer where it is."""
        self.link.close()
        raise Closed("cut")

    def refuse(self):
        """Ends without a byte."""
        self.cut()

    def talk_nonsense(self):
        self.link.send(b"HTTP/1.1 twohundred\r\n\r\n")
        self.cut()

    def wait_gone(self):
        """Until nobody wants the answer any more."""
        self.link.expect_closed()
        self.link.close()


class Conversation(Served):
    """A connection over HTTP/2. One thread reads; each request is answered in one of its own. The window of the connection
    is given back as bytes come, that of a stream as its body is read."""

    def __init__(self, link, answerer):
        self.answerer = answerer
        self.changed = threading.Condition()
        self.is_gone = False
        self.calls = {}
        super().__init__(link)
        self.gives_windows = False

    def run(self):
        try:
            while True:
                frame = self.read_frame()
                with self.changed:
                    self._follow(frame)
                    self.changed.notify_all()
        finally:
            with self.changed:
                self.is_gone = True
                self.changed.notify_all()

    def _follow(self, frame):
        call = self.calls.get(frame.stream)
        if frame.kind == DATA and frame.payload:
            self.window_update(0, len(frame.payload))
            call.pieces.append(frame.payload)
        if call:
            call.has_ended = self.answer(frame.stream).has_ended
        elif frame.stream and call is None and self.answer(frame.stream).fields is not None:
            call = self.calls[frame.stream] = Asked2(self, self.answer(frame.stream))
            threading.Thread(target=self._perform, args=(call,), daemon=True).start()

    def _perform(self, call):
        try:
            self.answerer.answer(call)
        except Closed:
            pass
        except Exception as error:
            self.answerer.origin.failures.append(f"{self.link.name}: {error!r}")


class Asked2:
    """A request over HTTP/2, and how it is answered."""

    def __init__(self, served, told):
        self.served, self._told, self.stream, self.link = served, told, told.stream, served.link
        head = dict(told.fields)
        self.method, self.target, self.authority = head[":method"], head[":path"], head.get(":authority")
        self.fields = [(name, value) for name, value in told.fields if name[0] != ":"]
        self.pieces, self.has_ended = collections.deque(), told.has_ended  # in this order: pieces come before the end
        self.body, self.trailers = None, []
        self._sent, self._size = 0, None

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name):
        values = self.all(name)
        return ("; " if name == "cookie" else ", ").join(values) if values else None

    def _wait(self, is_so):
        """Until it is so; Closed when the request is over before."""
        with self.served.changed:
            self.served.changed.wait_for(lambda: is_so() or self._is_over())
            if not is_so():
                raise Closed(f"stream {self.stream} is over: reset {self._told.reset}")

    def _is_over(self):
        return self._told.reset is not None or self.served.is_gone

    def read(self, sink=None):
        kept = []
        sink = sink or kept.append
        while True:
            self._wait(lambda: self.pieces or self.has_ended)
            if not self.pieces:
                break
            piece = self.pieces.popleft()
            self.served.window_update(self.stream, len(piece))
            sink(piece)
        self.body, self.trailers = b"".join(kept), list(self._told.trailers or [])
        return self

    def inform(self, status, fields=()):
        self._head(status, fields, False)

    def _head(self, status, fields, is_last):
        payload = block([(":status", str(status)), *fields])
        self.served.frame(HEADERS, END_HEADERS | (END_STREAM if is_last else 0), self.stream, payload)

    def begin(self, status=200, fields=(), size=None):
        """What has a size ends with its last byte."""
        self._size = size
        length = [("content-length", str(size))] if size is not None else []
        self._head(status, [*fields, *length], size == 0 or self.method == "HEAD")

    def send(self, data):
        at, served = 0, self.served
        while at < len(data):
            self._wait(lambda: served.room(self.stream, self._sent) > 0)
            with served.changed:
                size = min(16384, len(data) - at, served.room(self.stream, self._sent))
                served.spent += max(0, size)
            if size > 0:
                self._sent, at = self._sent + size, at + size
                served.frame(DATA, END_STREAM if self._sent == self._size else 0, self.stream, data[at - size:at])

    def end(self, trailers=()):
        if self._size is not None or self.method == "HEAD":
            return
        if trailers:
            self.served.frame(HEADERS, END_HEADERS | END_STREAM, self.stream, block(trailers))
        else:
            self.served.frame(DATA, END_STREAM, self.stream)

    def answer(self, status=200, body=b"", fields=()):
        if status in (204, 304):
            self._head(status, fields, True)
            return
        self.begin(status, fields, len(body))
        if self.method != "HEAD":
            self.send(body)

    def answer_unread(self, status, body):
        self.answer(status, body)
        self.served.reset(self.stream, NO_ERROR)

    def cut(self):
        self.refuse()

    def refuse(self, code=INTERNAL_ERROR):
        self.served.reset(self.stream, code)
        raise Closed("refused")

    def talk_nonsense(self):
        self.served.frame(HEADERS, END_HEADERS, self.stream, block([(":status", "twohundred")]))
        raise Closed("nonsense")

    def wait_gone(self):
        with self.served.changed:
            self.served.changed.wait_for(self._is_over)

"""callers.py - a client whose protocol a play need not know: the same calls over HTTP/1.1 and HTTP/2, with and without TLS.

    caller = Caller(stage, "h2s", ports, context)
    told = caller.ask("POST", "/x", [("x-a", "b")], b"body")       told.status, .get(name), .body, .trailers, .is_whole
    call = caller.begin("POST", "/x", has_body=True)               a request by steps
    call.send(b"..."); call.end([("x-sum", "3")]); call.answer()

Names of fields are in lower case everywhere. A caller and its calls belong to one thread, but that a call which only sends
may be looked at by another."""

import http2 as h2
from http2 import Http2
from wire import CHUNK_LINE, Closed, Link, Malformed, parse_fields

FRONTS = ("h1", "h1s", "h2c", "h2s")
HOST_IN_TLS = "edge.pairs.test"


def is_http2(word):
    return word.startswith("h2")


def is_sealed(word):
    return word.endswith("s")


def lower(fields):
    return [(name.lower(), value) for name, value in fields]


class Told:
    """What came of a request."""

    def __init__(self):
        self.status, self.fields, self.informed = None, [], []
        self.body, self.trailers = b"", []
        self.is_whole = None  # False: visibly cut

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name):
        values = self.all(name)
        return ", ".join(values) if values else None

    def __repr__(self):
        return f"<{self.status} {len(self.body)} bytes, whole {self.is_whole}>"


class Caller:
    """One client. Over HTTP/1.1 it opens connections as it needs them, over HTTP/2 it has one."""

    def __init__(self, stage, front, ports, context):
        self.stage, self.front = stage, front
        self.port = ports[is_sealed(front)]
        self.context = context if is_sealed(front) else None
        self.idle, self.http2 = None, None

    def _connect(self):
        link = self.stage.connect(f"client {self.front}", self.port)
        link.keeps = False
        link.holds_little()
        if self.context:
            link.sock = self.context.wrap_socket(link.sock, server_hostname=HOST_IN_TLS)
        return link

    def begin(self, method="GET", path="/", fields=(), has_body=False, size=None):
        """The head. With `has_body` something follows: of `size` bytes, if that is said beforehand."""
        if size is not None:
            fields = [*fields, ("content-length", str(size))]
        if is_http2(self.front):
            if self.http2 is None or self.http2.goaways:
                self.http2 = Http2(self._connect())
            return Call2(self, method, path, fields, has_body)
        link, self.idle = self.idle or self._connect(), None
        return Call1(self, link, method, path, fields, has_body and size is None)

    def ask(self, method="GET", path="/", fields=(), body=None):
        call = self.begin(method, path, fields, body is not None, None if body is None else len(body))
        if body is not None:
            call.send(body)
            call.end()
        return call.answer()


class Call1:
    """Over HTTP/1.1."""

    def __init__(self, caller, link, method, path, fields, is_chunked):
        self.caller, self.link, self.method, self.is_chunked = caller, link, method, is_chunked
        self.told, self.sent = Told(), 0
        self._pieces = None
        lines = [f"{method} {path} HTTP/1.1", f"Host: {caller.stage.host}", *(f"{name}: {value}" for name, value in fields)]
        if is_chunked:
            lines.append("Transfer-Encoding: chunked")
        link.send("\r\n".join(lines) + "\r\n\r\n")

    def send(self, data):
        for at in range(0, len(data), 65536):
            piece = data[at:at + 65536]
            self.link.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self.is_chunked else piece)
            self.sent += len(piece)

    def end(self, trailers=()):
        if self.is_chunked:
            self.link.send("0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in trailers) + "\r\n")

    def inform(self):
        """Waits for one answer more below 200; gives its status."""
        head = self.link.read_response_head(self.method)
        self.told.informed.append((head.status, lower(head.fields)))
        return head.status

    def head(self):
        while self._pieces is None:
            head = self.link.read_response_head(self.method)
            if head.status < 200:
                self.told.informed.append((head.status, lower(head.fields)))
                continue
            self.told.status, self.told.fields = head.status, lower(head.fields)
            self._pieces = self._read_body(head)
        return self.told

    def _read_body(self, head):
        if head.framing == "length":
            left = int(head.get("Content-Length"))
            while left:
                piece = self.link.read_at_most(left)
                left -= len(piece)
                yield piece
        elif head.framing == "chunked":
            yield from self._read_chunks()
        elif head.framing == "close":
            yield self.link.read_to_end()
        self.told.is_whole = True
        if (head.get("Connection") or "").lower() == "close" or head.framing == "close":
            self.link.close()
        else:
            self.caller.idle = self.link

    def _read_chunks(self):
        while True:
            line = CHUNK_LINE.match(self.link.read_until(b"\r\n")[:-2])
            if not line:
                raise Malformed("chunk line")
            left = int(line.group(1), 16)
            if not left:
                break
            while left:
                piece = self.link.read_at_most(left)
                left -= len(piece)
                yield piece
            if self.link.read_exactly(2) != b"\r\n":
                raise Malformed("chunk data does not end in CRLF")
        lines = []
        while (line := self.link.read_until(b"\r\n")[:-2]):
            lines.append(line)
        self.told.trailers = lower(parse_fields(lines, "trailers"))

    def take(self, size):
        """Waits until so much of the body has come, or its end."""
        self.head()
        pieces = [self.told.body]
        have = len(self.told.body)
        try:
            while have < size and self.told.is_whole is None:
                piece = next(self._pieces, b"")
                have += len(piece)
                pieces.append(piece)
        except Closed:
            self.told.is_whole = False
        self.told.body = b"".join(pieces)
        return self.told

    def answer(self):
        """All of it; one that is cut before its head has no status."""
        try:
            return self.take(float("inf"))
        except Closed:
            self.told.is_whole = False
            return self.told

    def cancel(self):
        self.link.reset()

    def hold(self):
        """From now on nothing is read."""

    def let_go(self):
        """Reads on after hold()."""


class Call2:
    """Over HTTP/2, at the pace that the other side gives."""

    def __init__(self, caller, method, path, fields, has_body):
        self.caller, self.client, self.told, self.sent = caller, caller.http2, Told(), 0
        scheme = "https" if is_sealed(caller.front) else "http"
        self.stream = self.client.ask(caller.stage.host, method, path, list(fields), scheme=scheme, is_last=not has_body)

    def send(self, data):
        client, at = self.client, 0
        client.read_until(lambda: client.settings)
        while at < len(data):
            client.read_until(lambda: client.room(self.stream, self.sent) > 0)
            piece = data[at:at + min(16384, client.room(self.stream, self.sent))]
            client.data(self.stream, piece)
            at += len(piece)
            self.sent += len(piece)

    def end(self, trailers=()):
        if trailers:
            self.client.headers(list(trailers), True, self.stream)
        else:
            self.client.frame(h2.DATA, h2.END_STREAM, self.stream)

    def _tell(self):
        got = self.client.answer(self.stream)
        told = self.told
        told.informed = [(int(dict(one)[":status"]), [field for field in one if field[0] != ":status"]) for one in got.informed]
        told.status, told.fields = got.status, [field for field in got.fields or [] if field[0] != ":status"]
        told.body, told.trailers = got.body, got.trailers or []
        told.is_whole = True if got.has_ended else False if got.reset is not None or self._is_gone else None
        return told

    _is_gone = False

    def _read(self, is_so):
        got = self.client.answer(self.stream)
        try:
            self.client.read_until(lambda: is_so(got) or got.has_ended or got.reset is not None)
        except Closed:
            self._is_gone, self.caller.http2 = True, None
        return self._tell()

    def inform(self):
        count = len(self.told.informed)
        return self._read(lambda got: len(got.informed) > count).informed[count][0]

    def head(self):
        return self._read(lambda got: got.fields is not None)

    def take(self, size):
        return self._read(lambda got: got.size >= size)

    def answer(self):
        return self._read(lambda got: False)

    def cancel(self):
        self.client.reset(self.stream)

    def hold(self):
        self.client.gives_windows = False

    def let_go(self):
        self.client.gives_windows = True
        self.client.window_update(0, 1 << 26)
        self.client.window_update(self.stream, 1 << 26)

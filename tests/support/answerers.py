"""answerers.py - an origin whose protocol a play need not know: the same answers over HTTP/1.1 and HTTP/2.

An Answerer takes over an Origin of origin.py (which Sealed may have put behind TLS) and hands each request to `handle`,
a function of an Asked, as soon as its head is there; without one it is polite and answers with its own name."""

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

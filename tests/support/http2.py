"""http2.py - HTTP/2 frames by hand: a client that says what a play wants said, right or wrong.

Nothing is checked on the way out: any type, flag, length and order goes. What comes back is read strictly. Fields are
written without indexing and without Huffman coding unless a play asks for the dynamic table; answers are decoded in
full (RFC 7541)."""

import struct

from wire import Closed, Reset, WireError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, \
    REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(12)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
ENABLE_CONNECT_PROTOCOL = 8  # RFC 8441
NAMES = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE",
         "CONTINUATION"]

# RFC 7541 appendix A.
STATIC = [tuple(line.split("=", 1)) for line in """
:authority=|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|:status=204|
:status=206|:status=304|:status=400|:status=404|:status=500|accept-charset=|accept-encoding=gzip, deflate|
accept-language=|accept-ranges=|accept=|access-control-allow-origin=|age=|allow=|authorization=|cache-control=|
content-disposition=|content-encoding=|content-language=|content-length=|content-location=|content-range=|
content-type=|cookie=|date=|etag=|expect=|expires=|from=|host=|if-match=|if-modified-since=|if-none-match=|if-range=|
if-unmodified-since=|last-modified=|link=|location=|max-forwards=|proxy-authenticate=|proxy-authorization=|range=|
referer=|refresh=|retry-after=|server=|set-cookie=|strict-transport-security=|transfer-encoding=|user-agent=|vary=|
via=|www-authenticate=""".replace("\n", "").split("|")]

# RFC 7541 appendix B: the code is canonical, so the lengths of its 257 words say all.
HUFFMAN_LENGTHS = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15,
    6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20,
    20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23,
    24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22,
    22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27,
    24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26,
    26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30]


def _huffman_words():
    words, code, length = {}, 0, 0
    for size, symbol in sorted((size, symbol) for symbol, size in enumerate(HUFFMAN_LENGTHS)):
        code <<= size - length
        length = size
        words[(size, code)] = symbol
        code += 1
    return words


HUFFMAN = _huffman_words()


def huffman_decode(data):
    out, code, size = bytearray(), 0, 0
    for byte in data:
        for shift in range(7, -1, -1):
            code, size = code << 1 | byte >> shift & 1, size + 1
            symbol = HUFFMAN.get((size, code))
            if symbol is not None:
                if symbol == 256:
                    raise WireError("EOS inside a string")
                out.append(symbol)
                code = size = 0
    if size > 7 or code != (1 << size) - 1:
        raise WireError("Huffman padding")
    return bytes(out)


def integer(value, bits, first=0):
    """RFC 7541 section 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value):
    data = value.encode("latin-1") if isinstance(value, str) else value
    return integer(len(data), 7) + data


def literal(name, value, is_indexed=False, is_secret=False):
    """A field whose name and value stand there as they are; `is_indexed`: and stay in the dynamic table; `is_secret`: and
    may stay in none (RFC 7541 section 6.2.3)."""
    return (b"\x40" if is_indexed else b"\x10" if is_secret else b"\x00") + text(name) + text(value)


def block(fields):
    return b"".join(literal(name, value) for name, value in fields)


class Decoder:
    def __init__(self):
        self.table = []  # newest first
        self.size_max = 4096
        self.secrets = []  # fields that may stay in no table

    def _entry(self, index):
        if index == 0 or index > len(STATIC) + len(self.table):
            raise WireError(f"HPACK index {index}")
        return STATIC[index - 1] if index <= len(STATIC) else self.table[index - len(STATIC) - 1]

    def _add(self, entry):
        self.table.insert(0, entry)
        while sum(len(name) + len(value) + 32 for name, value in self.table) > self.size_max:
            self.table.pop()

    def decode(self, data):
        at = 0

        def number(bits):
            nonlocal at
            most = (1 << bits) - 1
            value = data[at] & most
            at += 1
            if value < most:
                return value
            shift = 0
            while True:
                byte = data[at]
                at += 1
                value += (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return value

        def string():
            nonlocal at
            is_huffman = data[at] & 128
            size = number(7)
            piece = data[at:at + size]
            at += size
            return (huffman_decode(piece) if is_huffman else piece).decode("latin-1")

        fields = []
        while at < len(data):
            first = data[at]
            if first & 0x80:
                fields.append(self._entry(number(7)))
            elif first & 0x40 or first < 0x20:
                index = number(6 if first & 0x40 else 4)
                entry = (self._entry(index)[0] if index else string(), string())
                if first & 0x40:
                    self._add(entry)
                elif first & 0x10:
                    self.secrets.append(entry)
                fields.append(entry)
            else:
                self.size_max = number(5)
                while sum(len(name) + len(value) + 32 for name, value in self.table) > self.size_max:
                    self.table.pop()
        return fields


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    def __repr__(self):
        name = NAMES[self.kind] if self.kind < len(NAMES) else str(self.kind)
        return f"<{name} flags {self.flags:#x} stream {self.stream} {self.payload[:60]!r}>"

    @property
    def code(self):
        """The error code of RST_STREAM or GOAWAY."""
        return struct.unpack(">I", self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8])[0]

    @property
    def last_stream(self):
        return struct.unpack(">I", self.payload[:4])[0]


class Answer:
    """What came on one stream."""

    def __init__(self):
        self.informed = []  # heads with a status below 200
        self.fields = None
        self.trailers = None
        self.size = 0      # of what came of the body
        self._pieces = []
        self.has_ended = False
        self.reset = None  # the code

    def add(self, piece):
        self._pieces.append(piece)
        self.size += len(piece)

    @property
    def body(self):
        self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    @property
    def status(self):
        return int(dict(self.fields)[":status"]) if self.fields else None

    def get(self, name, default=None):
        return dict(self.fields or []).get(name, default)

    def __repr__(self):
        return f"<{self.status} {self.size} bytes, ended {self.has_ended}, reset {self.reset}>"


class Http2:
    """A client's side over a Link of wire.py (the origin's is in http2_origin.py)."""

    def __init__(self, link, settings=(), window=None, is_polite=True):
        self._begin(link, is_polite)
        link.send(PREFACE + self.settings_bytes(settings))
        if window:
            self.window_update(0, window)

    def _begin(self, link, is_polite):
        self.link = link
        self.decoder = Decoder()
        self.frames = []   # all that came
        self.answers = {}
        self.goaways = []
        self.settings = {}
        self.pongs = []
        self.given = {}    # by WINDOW_UPDATE so far, by stream
        self.spent = 0     # bytes of DATA sent, of all streams
        self.next_stream = 1
        self.is_polite = is_polite  # acknowledges SETTINGS and PING
        self.gives_windows = True   # as DATA comes
        self._head = None

    @classmethod
    def settings_bytes(cls, settings):
        return cls.frame_bytes(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *one) for one in settings))

    @staticmethod
    def frame_bytes(kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def frame(self, kind, flags, stream, payload=b""):
        self.link.send(self.frame_bytes(kind, flags, stream, payload))

    def window_update(self, stream, size):
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))

    def reset(self, stream, code=CANCEL):
        self.frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    def ping(self, payload=b"12345678", flags=0):
        self.frame(PING, flags, 0, payload)

    def data(self, stream, body=b"", is_last=False):
        """In frames of the default size; nobody looks at windows."""
        pieces = [body[at:at + 16384] for at in range(0, len(body), 16384)] or [b""]
        for number, piece in enumerate(pieces):
            self.frame(DATA, END_STREAM if is_last and number == len(pieces) - 1 else 0, stream, piece)
            self.spent += len(piece)

    def room(self, stream, sent):
        """How much the other side lets be sent, on a stream that has `sent` so much."""
        first = self.settings.get(INITIAL_WINDOW_SIZE, 65535)
        return min(65535 + self.given.get(0, 0) - self.spent, first + self.given.get(stream, 0) - sent)

    def headers(self, fields, is_last=True, stream=None):
        """A head in one frame on the next stream; `fields` are pairs, or a block as bytes. Returns the stream."""
        if stream is None:
            stream = self.next_stream
            self.next_stream += 2
        payload = fields if isinstance(fields, bytes) else block(fields)
        self.frame(HEADERS, END_HEADERS | (END_STREAM if is_last else 0), stream, payload)
        return stream

    def ask(self, host, method="GET", path="/", fields=(), body=None, scheme="http", is_last=None):
        head = [(":method", method), (":scheme", scheme), (":authority", host), (":path", path), *fields]
        stream = self.headers(head, is_last=body is None if is_last is None else is_last)
        if body is not None:
            self.data(stream, body, True)
        return stream

    # ---- reading ----

    def answer(self, stream):
        return self.answers.setdefault(stream, Answer())

    def read_frame(self, patience_s=None):
        size, kind, flags, stream = struct.unpack(">IBBI", b"\0" + self.link.read_exactly(9, patience_s))
        frame = Frame(kind, flags, stream, self.link.read_exactly(size, patience_s) if size else b"")
        self.frames.append(frame)
        self._take(frame)
        return frame

    def _take(self, frame):
        if frame.kind == SETTINGS and not frame.flags & ACK:
            self.settings.update(struct.iter_unpack(">HI", frame.payload))
            if self.is_polite:
                self.frame(SETTINGS, ACK, 0)
        elif frame.kind == PING:
            if frame.flags & ACK:
                self.pongs.append(frame.payload)
            elif self.is_polite:
                self.ping(frame.payload, ACK)
        elif frame.kind in (HEADERS, CONTINUATION):
            self._head = (self._head or b"") + frame.payload
            if frame.kind == HEADERS:
                self._head_flags = frame.flags
            if frame.flags & END_HEADERS:
                self._take_head(frame.stream, self._head_flags & END_STREAM)
        elif frame.kind == DATA:
            answer = self.answer(frame.stream)
            answer.add(frame.payload)
            answer.has_ended = answer.has_ended or bool(frame.flags & END_STREAM)
            if self.gives_windows and frame.payload:
                self.window_update(0, len(frame.payload))
                if not answer.has_ended:
                    self.window_update(frame.stream, len(frame.payload))
        elif frame.kind == RST_STREAM:
            self.answer(frame.stream).reset = frame.code
        elif frame.kind == WINDOW_UPDATE:
            self.given[frame.stream] = self.given.get(frame.stream, 0) + struct.unpack(">I", frame.payload)[0]
        elif frame.kind == GOAWAY:
            self.goaways.append(frame)

    def _take_head(self, stream, is_last):
        answer, fields = self.answer(stream), self.decoder.decode(self._head)
        self._head = None
        for name, _ in fields:
            if name != name.lower():
                raise WireError(f"a name in capitals: {name}")
        status = dict(fields).get(":status")
        if status and status[0] == "1":
            answer.informed.append(fields)
        elif answer.fields is None:
            answer.fields = fields
        else:
            answer.trailers = fields
        answer.has_ended = answer.has_ended or bool(is_last)

    def read_until(self, is_so, patience_s=None):
        while not is_so():
            self.read_frame(patience_s)

    def read_answer(self, stream, patience_s=None):
        """To the end of the stream, whichever it is."""
        answer = self.answer(stream)
        self.read_until(lambda: answer.has_ended or answer.reset is not None, patience_s)
        return answer

    def read_head(self, stream, patience_s=None):
        answer = self.answer(stream)
        self.read_until(lambda: answer.fields is not None or answer.reset is not None, patience_s)
        return answer

    def read_reset(self, stream, patience_s=None):
        answer = self.answer(stream)
        self.read_until(lambda: answer.reset is not None, patience_s)
        return answer.reset

    def read_goaway(self, patience_s=None):
        """The next one that was not read before; returns its code."""
        count = len(self.goaways)
        self.read_until(lambda: len(self.goaways) > count, patience_s)
        return self.goaways[-1].code

    def read_to_end(self, patience_s=None):
        """Until the other side closes; returns the last GOAWAY's code or None."""
        try:
            while True:
                self.read_frame(patience_s)
        except (Closed, OSError):
            return self.goaways[-1].code if self.goaways else None

    def synchronise(self):
        """What was sent before this has been seen by the other side."""
        payload = struct.pack(">Q", len(self.frames) + 1)
        self.ping(payload)
        self.read_until(lambda: payload in self.pongs)


class Tunnel:
    """A stream that asks for a WebSocket (RFC 8441), and then is one: a link to whoever reads and writes bytes. What is
    sent keeps to the windows that the server gives."""

    def __init__(self, client, host, path="/", fields=(), scheme="http", protocol="websocket"):
        self.client, self.name = client, "tunnel"
        client.read_until(lambda: client.settings)
        self.window_left = client.settings.get(INITIAL_WINDOW_SIZE, 65535)
        self.stream = client.headers([(":method", "CONNECT"), (":protocol", protocol), (":scheme", scheme),
                                      (":authority", host), (":path", path), *fields], is_last=False)
        self.answer = client.answer(self.stream)
        self._taken = self._frames_seen = self._sent = 0

    def read_head(self, patience_s=None):
        return self.client.read_head(self.stream, patience_s)

    def _count_windows(self):
        for frame in self.client.frames[self._frames_seen:]:
            if frame.kind == WINDOW_UPDATE and frame.stream == self.stream:
                self.window_left += struct.unpack(">I", frame.payload)[0]
        self._frames_seen = len(self.client.frames)

    def _connection_left(self):
        given = sum(struct.unpack(">I", frame.payload)[0] for frame in self.client.frames
                    if frame.kind == WINDOW_UPDATE and frame.stream == 0)
        return 65535 + given - self._sent

    def send(self, data):
        while data:
            self._count_windows()
            room = min(self.window_left, self._connection_left(), 16384)
            if room <= 0:
                self.client.read_frame()
                continue
            self.client.frame(DATA, 0, self.stream, data[:room])
            self.window_left -= len(data[:room])
            self._sent += len(data[:room])
            data = data[room:]

    def finish_sending(self):
        self.client.data(self.stream, b"", True)

    def read_exactly(self, count, patience_s=None):
        """As a link does: Reset when the stream is, Closed when it ends before."""
        def is_over():
            return self.answer.has_ended or self.answer.reset is not None

        self.client.read_until(lambda: len(self.answer.body) - self._taken >= count or is_over(), patience_s)
        if len(self.answer.body) - self._taken < count:
            left = self.answer.body[self._taken:]
            raise (Closed if self.answer.reset is None else Reset)(f"stream {self.stream}: over; had {left[-300:]!r}")
        piece = self.answer.body[self._taken:self._taken + count]
        self._taken += count
        return piece

    def read_to_end(self, patience_s=None):
        """All bytes up to END_STREAM; a reset is an error."""
        self.client.read_answer(self.stream, patience_s)
        if self.answer.reset is not None:
            raise Reset(f"stream {self.stream}: reset with {self.answer.reset}")
        piece = self.answer.body[self._taken:]
        self._taken = len(self.answer.body)
        return piece

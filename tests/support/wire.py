"""wire.py - HTTP/1.1 read strictly, and sockets whose every byte is written down.

A Link is one end of a connection: it sends bytes in any cut, reads with a deadline and keeps a transcript that a
failing case prints. The readers accept exactly what RFC 9112 allows and nothing that could be read in two ways: a
proxy that repairs or invents something is found out here, on the client's side as on the origin's."""

import os
import re
import socket
import struct
import threading
import time

SLOW = float(os.environ.get("SERIN_TEST_SLOW", "1"))
PATIENCE_S = 10.0 * SLOW
TRANSCRIPT_MAX = 48 * 1024
KERNEL_BUFFER = 128 * 1024
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[ \t\x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")
STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)\Z")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) (HTTP/1\.[01])\Z")
DIGITS = re.compile(rb"[0-9]+\Z")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})\Z")


class WireError(Exception):
    """Something on the wire was not as the play wanted it."""


class Malformed(WireError):
    """Bytes that a strict reader must refuse."""


class Closed(WireError):
    """The peer ended the connection in an orderly way."""


class Reset(Closed):
    """The peer ended the connection with a reset."""


class TooLate(WireError):
    """Nothing came before the deadline."""


class Transcript:
    """What went over all links of one case, in order; bounded. Any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._lines = []
        self._size = 0
        self._start = time.monotonic()

    def note(self, who, what, data=b""):
        with self._lock:
            if self._size > TRANSCRIPT_MAX:
                return
            shown = bytes(data[:2048])
            cut = "" if len(data) <= len(shown) else f" ... ({len(data)} bytes)"
            text = repr(shown)[1:] + cut if data else ""
            line = f"  {time.monotonic() - self._start:7.3f} {who:<12} {what} {text}"
            self._size += len(line)
            self._lines.append(line)

    def text(self):
        with self._lock:
            return "\n".join(self._lines)


class Head:
    """A start line and its fields, in order, as they were written."""

    def __init__(self, raw, fields):
        self.raw = raw
        self.fields = fields

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return default if not values else ", ".join(values)

    def has(self, name):
        return bool(self.all(name))


class Request(Head):
    method = target = version = None
    body = b""
    trailers = ()
    framing = "none"


class Response(Head):
    version = reason = None
    status = 0
    body = b""
    trailers = ()
    framing = "none"
    interim = ()


def parse_fields(lines, where):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise Malformed(f"field name in {where}: {line!r}")
        value = value.strip(b" \t")
        if not VALUE.match(value):
            raise Malformed(f"field value in {where}: {line!r}")
        fields.append((name.decode(), value.decode("latin-1")))
    return fields


def split_head(raw):
    """The lines of a raw head that ends in an empty line."""
    if not raw.endswith(b"\r\n\r\n"):
        raise Malformed(f"head does not end: {raw!r}")
    lines = raw[:-4].split(b"\r\n")
    for line in lines:
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise Malformed(f"bare CR, LF or NUL: {line!r}")
    return lines


def parse_request_head(raw):
    lines = split_head(raw)
    match = REQUEST_LINE.match(lines[0])
    if not match:
        raise Malformed(f"request line {lines[0]!r}")
    request = Request(raw, parse_fields(lines[1:], "request"))
    request.method, request.target, request.version = (part.decode() for part in match.groups())
    hosts = request.all("Host")
    if len(hosts) > 1 or (request.version == "HTTP/1.1" and not hosts):
        raise Malformed(f"Host fields: {hosts}")
    request.framing = framing_of(request, "none")
    return request


def parse_response_head(raw, method):
    lines = split_head(raw)
    match = STATUS_LINE.match(lines[0])
    if not match:
        raise Malformed(f"status line {lines[0]!r}")
    response = Response(raw, parse_fields(lines[1:], "response"))
    response.version, response.reason = match.group(1).decode(), match.group(3).decode("latin-1")
    response.status = int(match.group(2))
    if response.status < 200 or response.status == 204:
        if response.has("Content-Length") or response.has("Transfer-Encoding"):
            raise Malformed(f"body length in a {response.status}")
    if method == "HEAD" or response.status < 200 or response.status in (204, 304):
        framing_of(response, "close")
        response.framing = "none"
    else:
        response.framing = framing_of(response, "close")
    return response


def framing_of(head, otherwise):
    """`length`, `chunked` or `otherwise`; RFC 9112 section 6.3, all doubtful things refused."""
    lengths, codings = head.all("Content-Length"), head.all("Transfer-Encoding")
    if lengths and codings:
        raise Malformed("Content-Length and Transfer-Encoding")
    if len(lengths) > 1 or (lengths and not DIGITS.match(lengths[0].encode())):
        raise Malformed(f"Content-Length {lengths}")
    if codings and [coding.lower() for coding in codings] != ["chunked"]:
        raise Malformed(f"Transfer-Encoding {codings}")
    if codings and head.version == "HTTP/1.0":
        raise Malformed("Transfer-Encoding in HTTP/1.0")
    if codings:
        return "chunked"
    return "length" if lengths else otherwise


class Link:
    """One end of a TCP connection. Owned by one thread at a time."""

    def __init__(self, sock, name, transcript=None):
        self.sock = sock
        self.name = name
        self.transcript = transcript or Transcript()
        self.received = bytearray()  # everything ever read, while `keeps` is true
        self.keeps = True
        self.pending = bytearray()
        self.is_open = True
        self.patience_s = PATIENCE_S
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) if sock.family != socket.AF_UNIX else None

    # --- sending -------------------------------------------------------------------------------------------------
    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        self.transcript.note(self.name, "sends", data)
        self.sock.settimeout(self.patience_s)
        try:
            self.sock.sendall(data)
        except socket.timeout as error:
            raise TooLate(f"{self.name}: peer does not read") from error
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Reset(f"{self.name}: {error}") from error

    def send_in_cuts(self, data, size=1, pause_s=0.0005):
        """Sends `size` bytes at a time, each in a segment of its own: the pauses are the stimulus."""
        for start in range(0, len(data), size):
            self.send(data[start : start + size])
            time.sleep(pause_s)

    def finish_sending(self):
        self.transcript.note(self.name, "half-closes")
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        if self.is_open:
            self.transcript.note(self.name, "closes")
            self.is_open = False
            self.sock.close()

    def reset(self):
        self.transcript.note(self.name, "resets")
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.is_open = False
        self.sock.close()

    def holds_little(self):
        """The kernel keeps little on its behalf, both ways: who does not read is felt soon."""
        for name in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.sock.setsockopt(socket.SOL_SOCKET, name, KERNEL_BUFFER)

    def interrupt(self):
        """Ends the connection under a thread that may be reading it."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    # --- reading -------------------------------------------------------------------------------------------------
    def _fill(self, deadline):
        self.sock.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self.sock.recv(256 * 1024)
        except socket.timeout as error:
            raise TooLate(f"{self.name}: nothing more came; had {bytes(self.pending[-300:])!r}") from error
        except (ConnectionResetError, BrokenPipeError) as error:
            self.transcript.note(self.name, "is reset")
            raise Reset(f"{self.name}: reset; had {bytes(self.pending[-300:])!r}") from error
        except OSError as error:
            raise Closed(f"{self.name}: {error}") from error
        if not data:
            self.transcript.note(self.name, "sees the end")
            raise Closed(f"{self.name}: closed; had {bytes(self.pending[-300:])!r}")
        self.transcript.note(self.name, "reads", data)
        if self.keeps:
            self.received += data
        self.pending += data

    def _deadline(self, patience_s):
        return time.monotonic() + (self.patience_s if patience_s is None else patience_s)

    def take(self, count):
        data = bytes(self.pending[:count])
        del self.pending[:count]
        return data

    def read_exactly(self, count, patience_s=None):
        deadline = self._deadline(patience_s)
        while len(self.pending) < count:
            self._fill(deadline)
        return self.take(count)

    def read_at_most(self, count, patience_s=None):
        """What is there, or else the next bytes to come: at least one, and no more than `count`."""
        if not self.pending:
            self._fill(self._deadline(patience_s))
        return self.take(min(count, len(self.pending)))

    def read_until(self, mark, patience_s=None, size_max=1 << 20):
        deadline = self._deadline(patience_s)
        searched = 0
        while True:
            found = self.pending.find(mark, max(0, searched - len(mark)))
            if found >= 0:
                return self.take(found + len(mark))
            if len(self.pending) > size_max:
                raise Malformed(f"no {mark!r} within {size_max} bytes")
            searched = len(self.pending)
            self._fill(deadline)

    def read_some(self, patience_s=None):
        if not self.pending:
            self._fill(self._deadline(patience_s))
        return self.take(len(self.pending))

    def read_to_end(self, patience_s=None):
        """All bytes up to an orderly end; a reset is an error."""
        deadline = self._deadline(patience_s)
        try:
            while True:
                self._fill(deadline)
        except Reset:
            raise
        except Closed:
            return self.take(len(self.pending))

    def expect_closed(self, may_reset=True, patience_s=None):
        """The peer ends the connection and says nothing more."""
        try:
            self._fill(self._deadline(patience_s))
        except Reset:
            if not may_reset:
                raise
            return
        except Closed:
            if self.pending:
                raise WireError(f"{self.name}: bytes before the end: {bytes(self.pending[:200])!r}") from None
            return
        raise WireError(f"{self.name}: more bytes instead of the end: {bytes(self.pending[:200])!r}")

    def expect_silence(self, seconds):
        """Nothing comes and nothing ends for so long."""
        if self.pending:
            raise WireError(f"{self.name}: bytes instead of silence: {bytes(self.pending[:200])!r}")
        try:
            self._fill(time.monotonic() + seconds)
        except TooLate:
            return
        raise WireError(f"{self.name}: bytes instead of silence: {bytes(self.pending[:200])!r}")

    # --- messages ------------------------------------------------------------------------------------------------
    def read_request_head(self, patience_s=None):
        return parse_request_head(self.read_until(b"\r\n\r\n", patience_s))

    def read_request(self, patience_s=None):
        request = self.read_request_head(patience_s)
        self.read_body(request, patience_s)
        return request

    def read_response_head(self, method="GET", patience_s=None):
        return parse_response_head(self.read_until(b"\r\n\r\n", patience_s), method)

    def read_response(self, method="GET", patience_s=None):
        """The final response with its body; interim ones are kept in `.interim`. 101 is final."""
        interim = []
        while True:
            response = self.read_response_head(method, patience_s)
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        self.read_body(response, patience_s)
        return response

    def read_body(self, head, patience_s=None, sink=None):
        """Reads the body into `head.body`, or gives its pieces to `sink`."""
        pieces = []
        sink = sink or pieces.append
        if head.framing == "length":
            self._read_counted(int(head.get("Content-Length")), sink, patience_s)
        elif head.framing == "chunked":
            head.trailers = self._read_chunks(sink, patience_s)
        elif head.framing == "close":
            sink(self.read_to_end(patience_s))
        head.body = b"".join(pieces)

    def _read_counted(self, left, sink, patience_s):
        while left > 0:
            piece = self.read_at_most(left, patience_s)
            left -= len(piece)
            sink(piece)

    def _read_line(self, patience_s):
        line = self.read_until(b"\r\n", patience_s, 64 * 1024)[:-2]
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise Malformed(f"bare CR, LF or NUL: {line!r}")
        return line

    def _read_chunks(self, sink, patience_s):
        while True:
            line = self._read_line(patience_s)
            match = CHUNK_LINE.match(line)
            if not match:
                raise Malformed(f"chunk line {line!r}")
            size = int(match.group(1), 16)
            if size == 0:
                break
            self._read_counted(size, sink, patience_s)
            if self.read_exactly(2, patience_s) != b"\r\n":
                raise Malformed("chunk data does not end in CRLF")
        lines = []
        while line := self._read_line(patience_s):
            lines.append(line)
        return parse_fields(lines, "trailers")


def chunked(*pieces, trailers=b""):
    """A chunked body of these pieces."""
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return coded + b"0\r\n" + trailers + b"\r\n"


def answer(status=200, body=b"ok", fields=(), reason="OK", version="HTTP/1.1"):
    """A response with a Content-Length."""
    lines = [f"{version} {status} {reason}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

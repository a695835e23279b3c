"""websocket.py - RFC 6455 by hand: frames written in any shape, and read so strictly that a torn one is found out."""

import base64
import hashlib
import struct

from wire import Closed, Reset, WireError

ASK = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x11\x22\x33\x44"


def accept_of(key):
    """What a server that speaks the protocol makes of a key."""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def switch_for(request, *fields):
    """The 101 that a request with a key of its own wants."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket",
             f"Sec-WebSocket-Accept: {accept_of(request.get('Sec-WebSocket-Key'))}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def header(size, opcode=BINARY, masked=False, final=True, length_size=None):
    """A frame's header; `length_size` 0, 2 or 8 writes the length longer than it needs to be."""
    if length_size is None:
        length_size = 0 if size < 126 else 2 if size < 65536 else 8
    first = bytes([opcode | (0x80 if final else 0)])
    word = {0: size, 2: 126, 8: 127}[length_size] | (0x80 if masked else 0)
    length = {0: b"", 2: struct.pack(">H", size & 0xffff), 8: struct.pack(">Q", size)}[length_size]
    return first + bytes([word]) + length + (MASK if masked else b"")


def frame(payload=b"", opcode=BINARY, masked=False, **more):
    if masked:
        coded = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
    else:
        coded = payload
    return header(len(payload), opcode, masked, **more) + coded


def close_frame(code, masked=False):
    return frame(struct.pack(">H", code), CLOSE, masked)


def read_frame(link, patience_s=None):
    """The next whole frame as (opcode, payload). Closed when the stream ends between two frames, WireError when it
    ends within one."""
    first = link.read_exactly(1, patience_s)[0]
    try:
        word = link.read_exactly(1, patience_s)[0]
        size = word & 0x7f
        if size == 126:
            size = struct.unpack(">H", link.read_exactly(2, patience_s))[0]
        elif size == 127:
            size = struct.unpack(">Q", link.read_exactly(8, patience_s))[0]
        mask = link.read_exactly(4, patience_s) if word & 0x80 else None
        payload = link.read_exactly(size, patience_s)
    except Closed as error:
        raise WireError(f"{link.name}: the connection ended within a frame: {error}") from error
    if mask:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return first & 0x0f, payload


def read_close(link, patience_s=None):
    """The code of the Close that comes next."""
    opcode, payload = read_frame(link, patience_s)
    if opcode != CLOSE:
        raise WireError(f"{link.name}: opcode {opcode} with {payload[:40]!r} instead of a Close")
    return struct.unpack(">H", payload[:2])[0]


def read_until_close(link, patience_s=None):
    """The payloads up to the Close, and its code."""
    payloads = []
    while True:
        opcode, payload = read_frame(link, patience_s)
        if opcode == CLOSE:
            return payloads, struct.unpack(">H", payload[:2])[0]
        payloads.append(payload)


def ends_orderly(link, patience_s=None):
    """Answers the server's Close and sees the end, without a reset."""
    link.send(close_frame(1012, masked=True))
    try:
        link.read_exactly(1, patience_s)
    except Reset:
        raise
    except Closed:
        return
    raise WireError(f"{link.name}: bytes behind the Close")

"""tap.py - a listener on the wire between Serin and an origin that speaks TLS: it passes bytes on and reads the one
message of a TLS 1.3 handshake that tells whether it resumes a session, the ServerHello (RFC 8446 section 4.1.3)."""

import socket
import struct
import threading

from wire import SLOW

HANDSHAKE, SERVER_HELLO, PRE_SHARED_KEY = 22, 2, 41
# The random of a ServerHello that only asks for another ClientHello.
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def resumes(record):
    """Of the first record of a server, whole: whether it goes on with an earlier session; None for a retry."""
    if record[0] != HANDSHAKE or record[5] != SERVER_HELLO:
        raise ValueError(f"no ServerHello: {record[:60]!r}")
    if record[11:43] == RETRY:
        return None
    at = 44 + record[43] + 2 + 1  # behind the session's echo, the cipher and the compression
    end = at + 2 + struct.unpack_from(">H", record, at)[0]
    at += 2
    while at < end:
        kind, size = struct.unpack_from(">HH", record, at)
        if kind == PRE_SHARED_KEY:
            return True
        at += 4 + size
    return False


class Tap:
    """Listens at `address` and passes on to `target`, both (host, port), until stop(). Any thread may look."""

    def __init__(self, address, target):
        self.address, self.target = address[0], target
        self.resumed = []  # of every handshake: whether it resumed
        self.open = 0      # connections
        self.failures = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(address, backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.open += 1
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client):
        try:
            with client, socket.create_connection(self.target, 30 * SLOW) as server:
                server.settimeout(None)
                up = threading.Thread(target=self._pass, args=(client, server), daemon=True)
                up.start()
                self._hear(server, client)
                self._pass(server, client)
                up.join()
        except Exception as error:
            self.failures.append(repr(error))
        finally:
            with self._lock:
                self.open -= 1

    def _hear(self, server, client):
        """Passes the server's first records on, up to the one that tells."""
        is_resumed, seen = None, b""
        while is_resumed is None:
            while len(seen) < 5 or len(seen) < 5 + struct.unpack_from(">H", seen, 3)[0]:
                data = server.recv(65536)
                if not data:
                    return
                client.sendall(data)
                seen += data
            size = 5 + struct.unpack_from(">H", seen, 3)[0]
            record, seen = seen[:size], seen[size:]
            is_resumed = resumes(record) if record[0] == HANDSHAKE else None
        with self._lock:
            self.resumed.append(is_resumed)

    @staticmethod
    def _pass(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (sink, source):
            try:
                end.shutdown(socket.SHUT_WR if end is sink else socket.SHUT_RD)
            except OSError:
                pass

    def stop(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

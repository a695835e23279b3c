"""sealed.py - TLS before an origin of origin.py."""

import ssl
import threading

from wire import Closed


def server_context(site, protocols=("http/1.1",)):
    """A server's, with what Authority.make gave."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site["certificate"], site["key"])
    context.set_alpn_protocols(list(protocols))
    return context


class Sealed:
    """Puts TLS before a scripted origin: its links speak TLS before the play begins."""

    def __init__(self, origin, context):
        self.origin, self.context = origin, context
        self.names, self.resumed, self.failures = [], [], []
        self._lock = threading.Lock()
        self._play = origin.polite
        origin.play = self.perform
        context.sni_callback = self._note_name

    def _note_name(self, _sealed, name, _context):
        with self._lock:
            self.names.append(name)

    def perform(self, link):
        try:
            link.sock = self.context.wrap_socket(link.sock, server_side=True)
        except (ssl.SSLError, OSError) as error:
            with self._lock:
                self.failures.append(error)
            raise Closed(f"no handshake: {error}") from None
        with self._lock:
            self.resumed.append(link.sock.session_reused)
        link.sock.settimeout(None)
        self._play(link)

    def plays(self, play):
        self._play = play

    @property
    def url(self):
        return self.url_at("localhost")

    def url_at(self, host):
        return f"https://{host}:{self.origin.port}"

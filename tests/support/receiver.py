"""receiver.py - where alerts go in a play: a scripted HTTP receiver, a real Alertmanager, a command that keeps what it
is given."""

import hashlib
import hmac
import http.client
import http.server
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import threading

from serin import free_port, wait_for


def _own_certificate(folder):
    """A TLS context for 127.0.0.1."""
    pem = os.path.join(folder, "receiver.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", pem, "-out", pem + ".crt", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-days", "2"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem + ".crt", pem)
    return context


class Receiver:
    """Takes POSTs on a loopback port and does what `order` says: answer with a status (and fields), hang, or close
    without a word. Everything that came is kept, what was answered with 2xx also in `taken`."""

    def __init__(self, status=200, fields=(), hangs=False, closes=False, folder=None):
        """With a folder: HTTPS, by a certificate made there that nobody has signed."""
        self.order(status, fields, hangs, closes)
        self.came, self.taken = [], []
        self.lock = threading.Lock()
        self.ended = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.take(self, body)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"{'https' if folder else 'http'}://127.0.0.1:{self.port}/hook"
        if folder:
            self.server.socket = _own_certificate(folder).wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def order(self, status=200, fields=(), hangs=False, closes=False):
        self.script = (status, tuple(fields), hangs, closes)

    def take(self, handler, body):
        status, fields, hangs, closes = self.script
        message = {"path": handler.path, "fields": dict(handler.headers), "body": body}
        with self.lock:
            self.came.append(message)
            if 200 <= status < 300 and not hangs and not closes:
                self.taken.append(message)
        if hangs:
            self.ended.wait(60)
        if hangs or closes:
            handler.close_connection = True
            return
        handler.send_response(status)
        for name, value in fields:
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def events(self):
        """The messages of a webhook that were taken, as JSON."""
        with self.lock:
            return [json.loads(message["body"]) for message in self.taken]

    def told(self):
        """(alertname, state) of each, in order; conditions of the process left out."""
        return [(event["labels"]["alertname"], event["state"]) for event in self.events() if "service" in event["labels"]]

    def stop(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def is_signed(message, key):
    """As docs/OPERATING.md tells receivers to check it, all but the clock."""
    stamp = message["fields"]["Serin-Timestamp"].encode()
    made = "v1=" + hmac.new(key.encode(), stamp + b"." + message["body"], hashlib.sha256).hexdigest()
    return hmac.compare_digest(made, message["fields"]["Serin-Signature"])


class Alertmanager:
    """The real one, on loopback, with a folder of its own, and nobody to tell but a webhook, at once, where there is
    one."""

    def __init__(self, webhook=None):
        self.folder = tempfile.mkdtemp(prefix="serin-alertmanager-")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        path = os.path.join(self.folder, "alertmanager.yml")
        with open(path, "w", encoding="utf-8") as file:
            hooks = f", webhook_configs: [{{url: '{webhook}', send_resolved: true}}]" if webhook else ""
            file.write("route: {receiver: people, group_by: ['...'], group_wait: 0s, group_interval: 1s}\n"
                       f"receivers: [{{name: people{hooks}}}]\n")
        command = ["prometheus-alertmanager", f"--config.file={path}", f"--storage.path={self.folder}/data",
                   f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="]
        if shutil.which("setpriv"):  # dies with the test, however the test dies
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_for(self.is_ready, "the Alertmanager is ready", 30)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def is_ready(self):
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def alerts(self, **labels):
        """The active alerts with these labels."""
        status, body = self.get("/api/v2/alerts")
        assert status == 200, (status, body)
        return [alert for alert in json.loads(body)
                if all(alert["labels"].get(name) == value for name, value in labels.items())]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

"""pages_site.py - one deployment of a Pages site on the real Pages runtime: `wrangler pages dev`, which runs workerd.

Both come from npm by .ci/setup (build/clients). A site has static files and two Functions: /api/items answers, or fails
when it was told to; /api/order takes POSTs. Every answer carries the deployment's name in x-deployment. Loopback only;
it ends with the test, however the test ends."""

import errno
import http.client
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess

from clients import MODULES, NODE
from serin import wait_for
from wire import SLOW

WRANGLER = os.path.join(MODULES, "wrangler", "bin", "wrangler.js")
# A bare workerd takes no longer to start than this; node before it, on a machine that does other things, does.
PATIENCE_S = 90
HTTPS, ADDRESSES_MAX = 443, 100

# What a Function keeps in a variable lives as long as its isolate: here, as long as the process.
FUNCTION = """
let isBroken = false;
export async function onRequest({ request, params }) {
    if (params.what === "switch") {
        isBroken = request.method === "PUT";
        return new Response(isBroken ? "broken" : "well");
    }
    await request.text();
    const status = isBroken ? 503 : request.method === "POST" ? 201 : 200;
    return Response.json({ what: params.what, deployment: "NAME" }, { status, headers: { "x-deployment": "NAME" } });
}
"""


def free_address():
    """An address of this machine's own whose port 443 is free: there are sixteen million of them."""
    for _ in range(ADDRESSES_MAX):
        address = "127." + ".".join(str(random.randrange(2, 250)) for _ in range(3))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, HTTPS))
                return address
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
    raise AssertionError("port 443 is taken at every address of this machine")


class PagesSite:
    """A running deployment called `name`, at https://HOST by what Authority.make gave for that host, and by a hosts
    file that leads it to `address`. Only root may have port 443. `files` are more of them, or others than the usual
    ones: text by path, in which NAME and HOST are those of the deployment."""

    def __init__(self, folder, name, host, pair, files=None):
        self.folder, self.name, self.host = os.path.join(folder, name), name, host
        self.address = free_address()
        self._write(files or {})
        command = [NODE, WRANGLER, "pages", "dev", "public", "--ip", self.address, "--port", str(HTTPS),
                   "--local-protocol", "https", "--https-cert-path", pair["certificate"],
                   "--https-key-path", pair["key"], "--inspector-port", "0", "--compatibility-date", "2026-01-01",
                   "--persist-to", os.path.join(self.folder, "kept"), "--show-interactive-dev-session=false",
                   "--log-level", "warn"]
        if shutil.which("setpriv"):  # asked to end with the test, however the test ends: it takes its children along
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        self.log_path = os.path.join(self.folder, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)

    def _environment(self):
        return {"PATH": os.environ["PATH"], "HOME": self.folder, "CI": "1", "NO_COLOR": "1",
                "WRANGLER_SEND_METRICS": "false", "WRANGLER_SEND_ERROR_REPORTS": "false",
                "WRANGLER_LOG_PATH": os.path.join(self.folder, "logs"),
                "CLOUDFLARE_CF_FETCH_ENABLED": "false", "X_LOCAL_EXPLORER": "false", "X_LOCAL_OBSERVABILITY": "false"}

    def _write(self, more):
        files = {"public/index.html": f"<!doctype html><title>{self.name}</title><script src=/app.js></script>",
                 "public/about.html": f"<!doctype html><title>about {self.name}</title>",
                 "public/app.js": f"console.log('{self.name}')", "public/up": "ok",
                 "public/_headers": f"/*\n  x-deployment: {self.name}\n", "public/_redirects": "/old /about 301\n",
                 "functions/api/[what].js": FUNCTION, **more}
        for path, text in files.items():
            path, text = [part.replace("NAME", self.name).replace("HOST", self.host) for part in (path, text)]
            path = os.path.join(self.folder, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def ask(self, method, path):
        """Past the proxy; gives status and fields."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(self.address, timeout=30 * SLOW, context=context)
        try:
            connection.request(method, path, headers={"Host": self.host})
            response = connection.getresponse()
            response.read()
            return response.status, dict(response.headers)
        finally:
            connection.close()

    def wait_ready(self):
        def is_ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the Pages runtime ended with {self.process.returncode}:\n{self.log()}")
            try:
                return self.ask("GET", "/up")[0] == 200 and self.ask("GET", "/api/items")[0] == 200
            except (OSError, http.client.HTTPException):
                return False

        try:
            wait_for(is_ready, f"{self.name} is ready", PATIENCE_S, 0.1)
        except Exception as error:
            raise AssertionError(f"{error}\n{self.log()}") from error
        return self

    def breaks(self):
        """From now on its Functions answer 503."""
        status, _ = self.ask("PUT", "/api/switch")
        assert status == 200, status

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-8000:]

    def stop(self):
        """Asks it to end, and then ends what is left of its group."""
        self.process.terminate()
        try:
            self.process.wait(10 * SLOW)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

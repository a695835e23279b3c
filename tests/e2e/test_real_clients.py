"""Clients that others wrote: curl, nghttp, h2load and openssl s_client, over every protocol in front and to every origin.

What they say of the answers is held to what the proxy counted."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from callers import HOST_IN_TLS, is_http2, is_sealed  # noqa: E402
from pairs import PARALLEL, kit, scenario  # noqa: E402
from play import SLOW, expect, run, wait_for  # noqa: E402

CURL = {"h1": "--http1.1", "h1s": "--http1.1", "h2c": "--http2-prior-knowledge", "h2s": "--http2"}
HTTP2 = ("h2c", "h2s")
QUIET = {"rollback": {"on_breach": "alert"}}
WORKERS = 2
REQUESTS = 400


def tool(*command, data=b""):
    """Its exit code is 0; gives what it said."""
    if shutil.which(command[0]) is None:
        raise AssertionError(f"{command[0]} is needed: .ci/setup test")
    done = subprocess.run(command, input=data, capture_output=True, timeout=120 * SLOW, check=False)
    expect(done.returncode, 0, f"{' '.join(command)}: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}")
    return done.stdout


def url(pair, path="/", host=HOST_IN_TLS):
    return f"{'https' if is_sealed(pair.front) else 'http'}://{host}:{pair.ports[is_sealed(pair.front)]}{path}"


def curl(pair, *words, path="/", data=b""):
    return tool("curl", "-sS", CURL[pair.front], "--cacert", kit().authority.path("ca.pem"), "--resolve",
                f"{HOST_IN_TLS}:{pair.ports[is_sealed(pair.front)]}:127.0.0.1", "-H", f"Host: {pair.stage.host}", *words,
                url(pair, path), data=data)


def echo(asked):
    if asked.get("expect"):
        asked.inform(100)
    asked.read()
    asked.begin(200, [("x-method", asked.method)], len(asked.body) if asked.get("x-sized") else None)
    if asked.method != "HEAD":
        asked.send(asked.body)
        asked.end([("x-sum", str(len(asked.body)))] if not asked.get("x-sized") else ())


@scenario(**QUIET)
def curl_is_served(pair):
    version = "2" if is_http2(pair.front) else "1.1"
    expect(curl(pair, "-w", " %{http_version} %{http_code}"), f"stable {version} 200".encode(), "GET")
    expect(b" 200" in curl(pair, "-I").splitlines()[0], True, "HEAD")
    pair.stable.handle = echo
    body = os.urandom(1500000)  # large enough for curl to expect a word first
    for words in (["--data-binary", "@-", "-H", "x-sized: 1"], ["--data-binary", "@-"], ["-T", "-"], ["-T", "-", "-H", "x-sized: 1"]):
        expect(curl(pair, *words, data=body) == body, True, f"what came back with {words}")
    expect(curl(pair, "-w", "%{http_code}", "-o", os.devnull, path="/no%20way/../a?b"), b"200", "a path")
    expect(pair.stable.asked[-1].target, "/a?b", "as curl wrote it")


@scenario(fronts=("h1", "h1s", "h2s"), weight="50%", **QUIET)
def curl_asks_many_at_once(pair):
    """Not by prior knowledge: there curl 7.88 cannot use a connection twice, with whichever server."""
    with tempfile.TemporaryDirectory() as folder:
        said = curl(pair, "--parallel", "--parallel-max", "10", "-w", "%{http_code}\\n", "-o", os.path.join(folder, "#1"),
                    path="/[1-40]").decode()
        bodies = []
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as file:
                bodies.append(file.read())
    expect(said.split(), ["200"] * 40, "statuses")
    expect(abs(bodies.count(b"canary") - 20) <= WORKERS, True, f"{bodies.count(b'canary')} of 40 at 50 %")
    expect((len(pair.stable.asked), len(pair.canary.asked)), (bodies.count(b"stable"), bodies.count(b"canary")), "at the origins")


@scenario(fronts=("h1",), **QUIET)
def curl_that_offers_an_upgrade_stays_with_http1(pair):
    """`Upgrade: h2c` is not taken (RFC 9113 section 3.1 has done away with it), nor passed on."""
    expect(curl(pair, "--http2", "-w", " %{http_version} %{http_code}"), b"stable 1.1 200", "answer")
    expect([pair.stable.asked[0].get(name) for name in ("upgrade", "http2-settings")], [None, None], "at the origin")


@scenario(fronts=("h1s", "h2s"), **QUIET)
def curl_speaks_either_version_of_tls(pair):
    for version, words in (("1.2", ["--tls-max", "1.2"]), ("1.3", ["--tlsv1.3"])):
        told = curl(pair, *words, "-v", "--stderr", "-").decode("latin-1")
        expect((f"TLSv{version}" in told, told.count("stable")), (True, 1), f"TLS {version}: {told}")


@scenario(fronts=HTTP2, **QUIET)
def nghttp_is_served(pair):
    pair.stable.handle = echo
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 100000)
        file.flush()
        said = tool("nghttp", "-v", "-H", f":authority: {pair.stage.host}", "-H", "te: trailers", "-d", file.name, "--no-content-length",
                    "--trailer", "x-count: 7", "-w", "16", url(pair, host="127.0.0.1")).decode("latin-1")
    expect((":status: 200" in said, "x-sum: 100000" in said), (True, True), f"answer and trailer: {said[-3000:]}")
    expect((len(pair.stable.asked[0].body), pair.stable.asked[0].trailers), (100000, [("x-count", "7")]), "at the origin")
    said = tool("nghttp", "-n", "-s", "-m", "30", "-H", f":authority: {pair.stage.host}", url(pair, host="127.0.0.1")).decode("latin-1")
    wait_for(lambda: len(pair.stable.asked) == 31, "thirty more")
    expect(pair.metrics().by("serin_http2_violations_total", "kind").get("protocol", 0), 0, "nothing to object to")


@scenario(weight="50%", **QUIET)
def h2load_is_served_and_split(pair):
    words = ["-m", "8"] if is_http2(pair.front) else ["--h1"]
    said = tool("h2load", "-n", str(REQUESTS), "-c", "8", *words, "-H", f":authority: {pair.stage.host}",
                url(pair, host="127.0.0.1")).decode()
    found = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
    expect(found and found.groups(), (str(REQUESTS), str(REQUESTS), "0", "0", "0"), f"what h2load says: {said}")
    pair.wait_over()
    got = len(pair.canary.asked)
    expect((len(pair.stable.asked), abs(got - REQUESTS / 2) <= WORKERS), (REQUESTS - got, True), f"{got} at the canary")
    metrics = pair.metrics()
    expect(metrics.by("serin_requests_total", "code", service=pair.name), {"200": REQUESTS}, "requests")
    expect((pair.ledger(), pair.ledger("previous")), ((got, 0, 0), (REQUESTS - got, 0, 0)), "ledgers")


class Client:
    """openssl s_client, into which a play types."""

    def __init__(self, pair, *words):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{pair.ports[True]}", "-servername", HOST_IN_TLS, "-CAfile",
                   kit().authority.path("ca.pem"), "-verify_return_error", *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def type(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait(self, mark):
        """Reads up to the mark; gives all of that."""
        seen = b""
        while mark not in seen:
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise AssertionError(f"{mark!r} never came: {seen!r}")
            seen += data
        return seen

    def end(self):
        self.process.stdin.close()
        said = self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait(60 * SLOW)
        return said


def request(pair, *fields):
    return "\r\n".join(["GET / HTTP/1.1", f"Host: {pair.stage.host}", *fields]).encode() + b"\r\n\r\n"


@scenario(fronts=("h1s",), backs=("h1",), **QUIET)
def s_client_is_served_and_resumes(pair):
    with tempfile.TemporaryDirectory() as folder:
        for version in ("-tls1_2", "-tls1_3"):
            session = os.path.join(folder, version)
            for words, mark in ((["-sess_out", session], b"New, TLS"), (["-sess_in", session], b"Reused, TLS")):
                client = Client(pair, version, "-ign_eof", *words)
                client.type(request(pair, "Connection: close"))
                said = client.end()
                expect((mark in said, b"HTTP/1.1 200" in said, b"Verify return code: 0" in said), (True, True, True),
                       f"{version} {words}: {said.decode('latin-1')}")


@scenario(fronts=("h1s",), backs=("h1",), **QUIET)
def s_client_changes_keys_between_requests(pair):
    """TLS 1.3's KeyUpdate, of one side and of both."""
    client = Client(pair, "-tls1_3", "-alpn", "http/1.1")
    said = client.wait(b"Verify return code")
    expect(b"ALPN protocol: http/1.1" in said, True, f"protocol: {said.decode('latin-1')}")
    client.type(request(pair))
    client.wait(b"stable")
    for word in (b"k\n", b"K\n", b"K\n"):
        client.type(word)
        client.wait(b"KEYUPDATE")
        client.type(request(pair))
        client.wait(b"stable")
    client.end()
    expect(len(pair.stable.asked), 4, "requests")


@scenario(fronts=("h2s",), backs=("h1",), **QUIET)
def s_client_is_given_http2_where_it_asks_for_it(pair):
    client = Client(pair, "-alpn", "h2,http/1.1")
    said = client.wait(b"ALPN protocol: ")
    said += client.end()
    expect(b"ALPN protocol: h2" in said, True, f"protocol: {said.decode('latin-1')}")


if __name__ == "__main__":
    run(__file__, parallel=PARALLEL)

"""The client's side: checking answers, holding idle connections, and a run of wrk with the proxy's CPU time around it."""
import json
import re
import signal
import socket
import ssl
import subprocess
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

from harness.contenders import FILE_SIZES, HANDSHAKES, SMALL, body_size
from harness.processes import BenchError, cores, pinned

REPORT = Path(__file__).with_name("report.lua")
ANSWERS_CHECKED = 40
HEAD_SIZE_MAX = 1024
WARM_UP_S = 1
TRACED_S = 2
WARMED, COUNTED = 100, 1000


def connect(port, is_sealed):
    if not is_sealed:
        return HTTPConnection("127.0.0.1", port, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HTTPSConnection("127.0.0.1", port, timeout=30, context=context)


def check_answers(port, path, headers, count=ANSWERS_CHECKED, is_sealed=False):
    """Asks `count` times and compares every byte of the answers; gives the last Set-Cookie."""
    connection = connect(port, is_sealed)
    cookie = None
    for _ in range(count):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or len(body) != body_size(path):
            raise BenchError(f"wrong answer: status {answer.status}, {len(body)} bytes")
        if path not in FILE_SIZES and body.decode() not in SMALL.values():
            raise BenchError(f"wrong answer: {body[:80]!r}")
        cookie = answer.getheader("Set-Cookie") or cookie
    connection.close()
    return cookie


@contextmanager
def idle_connections(port, count, host="bench"):
    """Keep-alive connections that each made one request and are silent since."""
    held = []
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    try:
        for _ in range(count):
            each = socket.create_connection(("127.0.0.1", port), timeout=5)
            held.append(each)
            each.sendall(request)
            answer = each.recv(4096)
            while answer and not answer.endswith(b"." * 8):
                answer += each.recv(4096)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise BenchError(f"wrong answer on idle connection {len(held)}: {answer[:40]!r}")
        yield
    finally:
        for each in held:
            each.close()


def wrk(port, path, connections, seconds, headers, is_sealed=False):
    _, core = cores()
    flags = [flag for name, value in headers.items() for flag in ("-H", f"{name}: {value}")]
    done = subprocess.run(
        pinned(core, ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", REPORT, *flags,
                      f"{'https' if is_sealed else 'http'}://127.0.0.1:{port}{path}"]),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def handshakes(port, seconds, kind):
    _, core = cores()
    done = subprocess.run(pinned(core, [HANDSHAKES, port, seconds, kind]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def verify(report, path):
    """No request failed, and the bytes are as many as right answers have."""
    if report["requests"] == 0:
        raise BenchError("no request was answered")
    if report["failed"]:
        raise BenchError(f"{report['failed']} of {report['requests']} requests failed")
    size = report["bytes"] / report["requests"]
    # Answers cut off by the end of the run count as bytes but not as requests.
    if not body_size(path) <= size <= 1.5 * body_size(path) + HEAD_SIZE_MAX:
        raise BenchError(f"{size:.0f} bytes an answer where {body_size(path)} are right")


def measure(server, port, path, connections, seconds, headers, is_sealed=False):
    """One sample: the proxy's CPU time per answered request, throughput and latency."""
    return sample(server, path, seconds, lambda for_s: wrk(port, path, connections, for_s, headers, is_sealed))


def h2load(port, path, connections, streams, seconds, log_path):
    """The same report as wrk's, from a client of HTTP/2 with `streams` requests at once on each connection."""
    _, core = cores()
    log_path.unlink(missing_ok=True)
    done = subprocess.run(
        pinned(core, ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", f"--log-file={log_path}",
                      f"https://127.0.0.1:{port}{path}"]),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    if "Application protocol: h2\n" not in done.stdout:
        raise BenchError("HTTP/2 was not agreed on")
    counts = dict((name, int(number)) for number, name in re.findall(r"(\d+) (succeeded|failed|errored|timeout)\b", done.stdout))
    size = re.search(r"\((\d+)\) data$", done.stdout, re.MULTILINE)
    taken = sorted(int(line.split("\t")[2]) for line in log_path.read_text().splitlines())
    return {"requests": counts["succeeded"], "failed": counts["failed"] + counts["errored"] + counts["timeout"],
            "bytes": int(size.group(1)), "duration_us": seconds * 1e6,
            **{name: taken[int(len(taken) * part)] if taken else 0
               for name, part in (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999))}}


def measure_http2(server, port, row, seconds):
    """One sample over HTTP/2."""
    log_path = Path(f"{server.log_path}.h2load")
    return sample(server, row.path, seconds,
                  lambda for_s: h2load(port, row.path, row.connections, row.streams, for_s, log_path))


def measure_handshakes(server, port, seconds, kind):
    """The same for connections that each make a handshake and one request."""
    return sample(server, "/", seconds, lambda for_s: handshakes(port, for_s, kind))


def sample(server, path, seconds, load):
    load(WARM_UP_S)
    before = server.cpu_seconds()
    report = load(seconds)
    after = server.cpu_seconds()
    verify(report, path)
    user_us, system_us = ((b - a) * 1e6 / report["requests"] for a, b in zip(before, after))
    return {"user_us": user_us, "system_us": system_us, "total_us": user_us + system_us,
            "per_second": report["requests"] * 1e6 / report["duration_us"],
            **{name: report[name] for name in ("p50_us", "p99_us", "p999_us")}}


def system_calls(server, port):
    """{name: calls per answered request} of all the proxy's threads, under strace; and "all", their sum."""
    trace = Path(f"{server.log_path}.strace")
    command = ["strace", "-f", "-c", "-o", trace]
    for pid in server.pids():
        command += ["-p", str(pid)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tracer:
        tracer.stderr.readline()  # it says so when it is attached
        report = wrk(port, "/", 64, TRACED_S, {})
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
    verify(report, "/")
    calls = {}
    for line in trace.read_text().splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[3].isdigit():
            name = "all" if fields[-1] == "total" else fields[-1]
            calls[name] = int(fields[3]) / report["requests"]
    return calls


def instructions(variant, origin, directory):
    """User instructions per request, exactly: two runs under callgrind that differ by COUNTED requests."""
    totals = []
    for count in (WARMED, WARMED + COUNTED):
        out = Path(directory) / "callgrind.out"
        wrapper = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        server, port = variant.start(origin, directory, wrapper)
        with server:
            headers = variant.headers(check_answers(port, "/", variant.headers(None)))
            check_answers(port, "/", headers, count)
        (total,) = (line for line in out.read_text().splitlines() if line.startswith("totals:"))
        totals.append(int(total.split()[1]))
    return {"instructions": (totals[1] - totals[0]) / COUNTED}

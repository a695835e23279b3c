"""The rows of the bench, their targets, and how a table of them is written."""
import datetime
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from harness.contenders import Front


@dataclass
class Row:
    """One kind of work. Targets are ratios of CPU time per request, except `user_us_max`, or None."""

    key: str
    title: str
    path: str = "/"
    connections: int = 64
    is_sealed: bool = False
    streams: int = 0  # at once on each connection: HTTP/2; 0: HTTP/1.1
    handshakes: str = None  # full or resumed: a connection for each request
    user_us_max: float = None
    floor_max: float = None
    best_peer_max: float = None
    named_peer_max: dict = field(default_factory=dict)

    @property
    def front(self):
        if self.streams:
            return Front.HTTP2
        return Front.TLS if self.is_sealed else Front.PLAIN


ROWS = [
    Row("small", "GET 66 B, 64 connections", user_us_max=1.6, floor_max=1.10, best_peer_max=0.88),
    Row("many", "GET 66 B, 1,024 connections", connections=1024, floor_max=1.12, best_peer_max=0.66),
    Row("10k", "GET 10 KiB, 64 connections", path="/10k", best_peer_max=0.85),
    Row("1m", "GET 1 MiB, 32 connections", path="/1m", connections=32, floor_max=1.15,
        named_peer_max={"haproxy": 0.85}),
    Row("tls", "HTTPS GET 66 B, TLS 1.3, 64 connections", is_sealed=True, best_peer_max=0.85),
    Row("tls10k", "HTTPS GET 10 KiB, TLS 1.3, 64 connections", path="/10k", is_sealed=True),
    Row("tls1m", "HTTPS GET 1 MiB, TLS 1.3, 32 connections", path="/1m", connections=32, is_sealed=True),
    Row("h2", "HTTP/2 GET 66 B, TLS 1.3, 16 connections × 32 streams", connections=16, streams=32, is_sealed=True,
        best_peer_max=0.85),
    Row("h210k", "HTTP/2 GET 10 KiB, TLS 1.3, 16 connections × 32 streams", path="/10k", connections=16, streams=32,
        is_sealed=True),
    Row("h21m", "HTTP/2 GET 1 MiB, TLS 1.3, 8 connections × 4 streams", path="/1m", connections=8, streams=4, is_sealed=True),
    Row("full", "TLS 1.3 handshake (P-256) and one request", is_sealed=True, handshakes="full", best_peer_max=0.95),
    Row("resumed", "TLS 1.3 resumption and one request", is_sealed=True, handshakes="resumed", best_peer_max=0.95),
]

MEMORY_TARGETS = {"idle_kib": 0.60, "private_mib": 6.0}

# What a variant is held against, and how much more it may cost.
OVERHEADS = [
    ("split, counted, judged", "one version", 1.03),
    ("sticky by cookie", "split, counted, judged", 1.05),
    ("1000 hosts", "one host", 1.10),
    ("10000 idle connections", "100 idle connections", 1.10),
]


def middle(samples, name):
    return median(sample[name] for sample in samples if sample)


def ratio(samples, base, name="total_us"):
    """Of what was measured in the same round: a machine that is busy for a while is busy for both."""
    ratios = [sample[name] / against[name] for sample, against in zip(samples, base) if sample and against]
    return median(ratios) if ratios else float("nan")


def verdict(value, limit):
    """A ratio beside its target; misses stand out."""
    if limit is None:
        return f"{value:.2f}"
    return f"{value:.2f} (≤ {limit:.2f})" if value <= limit else f"**{value:.2f}** (≤ {limit:.2f} missed)"


def markdown(header, lines):
    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    out += ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(out)


def load_table(row, samples, peers):
    """`samples` is {contender: [sample or None]}."""
    best_peer = min((name for name in peers if name in samples),
                    key=lambda name: middle(samples[name], "total_us"), default=None)
    lines = []
    for name, each in samples.items():
        is_ours = name == "serin"
        shares = [verdict(ratio(each, samples[base]), limit if is_ours else None) if base in samples else "–"
                  for base, limit in (("floor", row.floor_max), (best_peer, row.best_peer_max))]
        user = middle(each, "user_us")
        lines.append([name, verdict(user, row.user_us_max) if is_ours else f"{user:.2f}",
                      f"{middle(each, 'system_us'):.2f}", f"{middle(each, 'total_us'):.2f}", *shares,
                      f"{middle(each, 'per_second'):,.0f}",
                      *(f"{middle(each, p) / 1000:.2f}" for p in ("p50_us", "p99_us", "p999_us"))])
    text = f"### {row.title}\n\n" + markdown(
        ["proxy", "user µs", "system µs", "total µs", "÷ floor", f"÷ {best_peer or 'best peer'}", "requests/s", "p50 ms",
         "p99 ms", "p99.9 ms"], lines)
    for peer, limit in row.named_peer_max.items():
        if "serin" in samples and peer in samples:
            text += f"\n\nSerin ÷ {peer}: {verdict(ratio(samples['serin'], samples[peer]), limit)}"
    return text


def memory_table(samples):
    lines = []
    for name, each in samples.items():
        is_ours = name == "serin"
        idle, private = middle(each, "idle_kib"), middle(each, "private_mib")
        lines.append([name, f"{middle(each, 'resident_mib'):.1f}",
                      verdict(private, MEMORY_TARGETS["private_mib"] if is_ours else None),
                      verdict(idle, MEMORY_TARGETS["idle_kib"] if is_ours else None)])
    return "### Memory\n\n" + markdown(
        ["proxy", "resident at start, MiB", "private at start, MiB", "per idle connection, KiB"], lines)


def system_calls_table(samples):
    """Those that are made at least once in a hundred requests."""
    lines = []
    for name, each in samples.items():
        calls = each[0]
        often = sorted((n for n in calls if n != "all" and calls[n] >= 0.01), key=calls.get, reverse=True)
        lines.append([name, f"{calls['all']:.2f}", ", ".join(f"{n} {calls[n]:.2f}" for n in often)])
    return "### System calls per request (GET 66 B, 64 connections)\n\n" + markdown(["proxy", "all", "of them"], lines)


def overhead_table(samples, counted):
    """`counted` has exact user instructions, where valgrind could take them."""
    lines = []
    for name, base, limit in OVERHEADS:
        if name in samples and base in samples:
            instructions = (f"{middle(counted[each], 'instructions'):,.0f}" if each in counted else "–"
                            for each in (name, base))
            lines.append([name, base, *(f"{middle(samples[each], 'total_us'):.2f}" for each in (name, base)),
                          verdict(ratio(samples[name], samples[base]), limit), *instructions])
    return "### What Serin's own features cost (per request, GET 66 B, 64 connections)\n\n" + markdown(
        ["variant", "held against", "µs", "µs", "ratio", "instructions", "instructions"], lines)


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    count = sum(line.startswith("processor") for line in lines)
    return f"{count} × {model}, Linux {platform.release()}"


def document(versions, rounds, seconds, sections, notes):
    today = datetime.date.today().isoformat()
    head = [
        "# Results", "",
        f"Measured on {today}; {machine()}; load average at the end {os.getloadavg()[2]:.1f} (about 2 is the bench's own); "
        f"{rounds} rounds in turn of {seconds} s each, medians; one worker per proxy on the first core, client and origin on "
        "the second; CPU time is the proxy's, per answered request. Written by `bench/run`; README.md has the method.", "",
        *(f"- {name}: {version}" for name, version in versions.items()),
        *(f"- {note}" for note in notes), ""]
    return "\n".join(head) + "\n" + "\n\n".join(sections) + "\n"

"""Runs judge_proof on all cores and keeps what it said."""
import math
import os
import resource
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RULES = ["Flagger 1m x5, <99%", "Flagger fast 10s x2, <99%", "Argo 1m, <95%, limit 3", "5% window 10s", "5% window 30s",
         "5% window 60s", "5% 10s, min 100", "5% 30s, min 100", "5% 60s, min 100", "Envoy consecutive_5xx 5",
         "Envoy success-rate (10 hosts)", "Wilson 99% peeking"]


class Job:
    """One experiment, cut into parts so that all cores have something to do."""

    def __init__(self, futures):
        self.futures = futures

    def rows(self):
        return [row for future in self.futures for row in future.result()]


class Session:
    def __init__(self, program, seed, scale):
        self.program = str(program)
        self.seed = seed
        self.scale = scale
        self.faults = []
        self.days = 0.0
        self.pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.shutdown(cancel_futures=True)

    def cpu_s(self):
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def call(self, words):
        said = subprocess.run([self.program, *words], check=True, capture_output=True, text=True).stdout
        return [line.split("\t") for line in said.splitlines()]

    def start(self, experiment, runs, part=25, is_scaled=True, **options):
        """Begins an experiment of `runs` runs; the same numbers come out however many cores there are."""
        left = max(3, round(runs * self.scale)) if is_scaled else runs
        futures = []
        while left > 0:
            count = min(part, left)
            seed = 1000 * self.seed + len(futures)
            words = [experiment, f"seed={seed}", f"runs={count}"] + [f"{key}={value}" for key, value in options.items()]
            futures.append(self.pool.submit(self.call, words))
            left -= count
        return Job(futures)

    def hold(self, is_true, fault):
        if not is_true:
            self.faults.append(fault)

    def hold_below(self, count, runs, bound, what):
        """`count` of `runs` may be above the bound by what chance does once in some hundred thousand times."""
        most = runs * bound + 4.0 * math.sqrt(runs * bound) + (1 if runs * bound < 0.3 else 0)
        self.hold(count <= most, f"{what}: {count} of {runs}, at most {100 * bound:g} % were promised")


def quantile(values, share):
    """Infinite where the run never came to it; values need not be sorted."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def duration(seconds):
    if math.isinf(seconds):
        return "-"
    if seconds < 20:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def number(value):
    if math.isinf(value):
        return "-"
    if value < 20:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:,.0f}"


def percent(ratio):
    return f"{100 * ratio:.3g} %"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows] + [""]

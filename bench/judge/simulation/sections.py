"""What is simulated, what must come of it, and how it is told. A section starts its jobs and gives what ends them."""
import math

from simulation.session import RULES, duration, number, percent, quantile, table

SEVERITIES = [0.055, 0.06, 0.1, 0.2, 0.5, 1.0]
RATES = [1, 10, 100, 1000, 10000]
DAY_S = 86400

# Median seconds to the breach after a healthy time, stable at 0.1 %: what the page and the suite hold every build to.
DOCUMENTED = {(10, 0.1, 1.0): 6.6, (100, 0.1, 1.0): 0.9, (100, 0.1, 0.5): 2.1, (100, 0.1, 0.2): 5.4, (100, 0.1, 0.1): 11.1,
              (100, 0.1, 0.06): 19.8, (100, 0.5, 0.2): 2.3, (1000, 0.1, 0.1): 1.3, (1000, 0.1, 1.0): 0.4}


class Fates:
    """Who found the fault, when, and at what cost; one list of runs for each decider."""

    def __init__(self, job):
        self.runs = {}
        for name, _, state, seconds, requests, bad in job.rows():
            found = state == "found"
            fate = (state, float(seconds) if found else math.inf, float(requests) if found else math.inf,
                    float(bad) if found else math.inf)
            self.runs.setdefault(name, []).append(fate)

    def seconds(self, name="serin", share=0.5):
        return quantile([fate[1] for fate in self.runs[name]], share)

    def requests(self, name="serin", share=0.5):
        return quantile([fate[2] for fate in self.runs[name]], share)

    def bad(self, name="serin", share=0.5):
        return quantile([fate[3] for fate in self.runs[name]], share)

    def fired(self, name="serin"):
        return sum(fate[0] != "never" for fate in self.runs[name])

    def count(self, name="serin"):
        return len(self.runs[name])


# ---- the guarantee

NULLS = [
    ("absolute, canary at 5 % exactly", "absolute", True, dict(stable=0.05, canary=0.05)),
    ("relative, on the line, stable 1 %, weight 10 %", "relative", True, dict(stable=0.01, factor=1.25, margin=0.001)),
    ("relative, on the line, stable 0.1 %, weight 50 %", "relative", True,
     dict(stable=0.001, factor=1.25, margin=0.001, weight=0.5)),
    ("relative, stable swings from 1 to 9 % between looks", "relative", True,
     dict(stable=0.01, swing=0.09, factor=1.25, margin=0)),  # above the absolute limit: that one rolls back
    ("relative, 1 request a second, on the line", "relative", True,
     dict(rate=1, stable=0.01, factor=1.25, margin=0.001, span_s=36000)),
    ("failures 5 at a time, taken for independent (no theorem)", "relative", False,
     dict(stable=0.01, factor=1.25, margin=0.001, cluster=5, burst=1)),
    ("failures 5 at a time, measured from a cold start (no theorem)", "relative", False,
     dict(stable=0.01, factor=1.25, margin=0.001, cluster=5)),
    ("failures 5 at a time, measured, after a minute", "relative", True,
     dict(stable=0.01, factor=1.25, margin=0.001, cluster=5, warm_s=60)),
    ("failures 20 at a time, measured, after a minute", "relative", True,
     dict(stable=0.01, factor=1.25, margin=0.001, cluster=20, warm_s=60)),
]
PROMOTIONS = [
    ("relative: canary at 1.25 x 0.1 % + 0.5 points", dict(stable=0.001, factor=1.25, margin=0.005)),
    ("relative: canary at 1.25 x 2 % + 0.5 points", dict(stable=0.02, factor=1.25, margin=0.005)),
    ("absolute: canary at 5 %", dict(stable=0.05, canary=0.05)),
]


def reached(job, test):
    """{c: runs whose maximum reached it}, runs, mass."""
    counts = {}
    runs = {}
    mass = 0.0
    for name, level, count, of, mass_text in job.rows():
        if name == test:
            counts[level] = counts.get(level, 0) + int(count)
            runs[level] = runs.get(level, 0) + int(of)
            mass = float(mass_text)
    return counts, next(iter(runs.values())), mass


def odds(session, runs=2000, nulls=NULLS):
    common = dict(tick_ms=1000, span_s=3600, rate=100, weight=0.1)
    started = [session.start("odds", runs, part=50, **{**common, **given}) for _, _, _, given in nulls]
    steps = [session.start("odds", runs, part=50, **{**common, **given}) for _, given in PROMOTIONS]
    blocks = session.start("blocks", 1, is_scaled=False)

    def finish():
        rows = []
        for (title, test, has_bound, given), job in zip(nulls, started):
            counts, of, mass = reached(job, test)
            cells = []
            for level, count in counts.items():
                cells.append(f"{count / of:.4f} / {mass / float(level):.4f}")
                if has_bound:
                    session.hold_below(count, of, mass / float(level), f"odds of {level}, {title}")
            breached = next(iter(reached(job, "breach")[0].values()))
            is_null = "swing" not in given
            if has_bound and is_null:
                session.hold_below(breached, of, 0.01 * mass, f"rolled back, {title}")
            rows.append([title, *cells, percent(breached / of) if is_null else "-", f"{of:,}"])
        lines = ["### Is the guarantee true?",
                 "Share of runs in which the odds ever reach c, with a look at each of 3,600 moments, and the bound (mass / c) that it must stay below. Each run spends a "
                 "day's mass with the canary exactly on the boundary, the worst case.", ""]
        lines += table(["on the boundary", "c = 5", "c = 20", "c = 100", "c = 250", "rolled back", "runs"], rows)
        rows = []
        for (title, _), job in zip(PROMOTIONS, steps):
            counts, of, _ = reached(job, "healthy")
            count = next(iter(counts.values()))
            session.hold_below(count, of, 0.05, f"called healthy, {title}")
            rows.append([title, f"{count / of:.3f}", "0.05", f"{of:,}"])
        lines += ["Share of runs in which a canary exactly at the line of promotion is ever called healthy:", ""]
        lines += table(["unacceptable, just so", "called healthy", "bound", "runs"], rows)
        _, count, worst = blocks.rows()[0]
        session.hold(float(worst) <= 1.0 + 1e-9, f"a block's e-value has expectation {worst}")
        lines += [f"Exact expectation of a block's e-value on the line, over all outcomes, worst of {count} cases: {worst} (at most 1).", ""]
        return lines
    return finish


# ---- healthy days

def rolled_back(job):
    counts, days = {}, {}
    for name, fired, of in job.rows():
        counts[name] = counts.get(name, 0) + int(fired)
        days[name] = days.get(name, 0) + int(of)
    return counts, days


def days(session, runs=300, rates=(10, 100, 1000), ratios=(0.001, 0.01, 0.04), part=10):
    cells = [(rate, ratio) for rate in rates for ratio in ratios]
    common = dict(tick_ms=1000, span_s=DAY_S, has_rules=1)
    started = [session.start("days", runs, part=part, rate=rate, stable=ratio, **common) for rate, ratio in cells]

    def finish():
        found = [rolled_back(job) for job in started]
        rows = []
        for name in ["serin", *RULES]:
            rows.append([name] + [percent(counts[name] / of[name]) for counts, of in found])
        for (rate, ratio), (counts, of) in zip(cells, found):
            session.days += of["serin"]
            # Half the limit and less: one in ten thousand. Near it the theorem's one in a hundred.
            session.hold_below(counts["serin"], of["serin"], 0.0001 if ratio <= 0.025 else 0.01,
                               f"healthy days rolled back at {rate} requests a second, {percent(ratio)}")
        head = ["rule"] + [f"{rate:,} rps, {percent(ratio)}" for rate, ratio in cells]
        total = found[0][1]["serin"]
        return ["### False rollbacks", f"Share of healthy 24-hour rollouts that are rolled back; weight 10 %, both versions alike, {total} days per cell, a look each second. "
                "The same traffic for each rule.", ""] + table(head, rows)
    return finish


def clusters(session, runs=20, sizes=(1, 5, 20, 100), ratios=(0.001, 0.01)):
    cells = [(ratio, size) for ratio in ratios for size in sizes]
    common = dict(tick_ms=1000, span_s=DAY_S)
    measured = [session.start("days", runs, part=5, stable=ratio, cluster=size, warm_s=600, **common) for ratio, size in cells]
    assumed = [session.start("days", runs, part=5, stable=ratio, cluster=size, burst=1, **common) for ratio, size in cells]
    hiccups = [(rate, weight, text, given) for rate in (100, 1000) for weight in (0.1, 0.5) for text, given in (
        ("0.5 s at 50 % every minute", dict(hiccup_s=0.5, hiccup_ratio=0.5, hiccup_every_s=60)),
        ("2 s at 100 % every 10 min", dict(hiccup_s=2, hiccup_ratio=1, hiccup_every_s=600)))]
    common = dict(tick_ms=100, span_s=3600, warm_s=1200)
    quick = [session.start("days", runs, rate=rate, weight=weight, **given, **common) for rate, weight, _, given in hiccups]
    slow = [session.start("days", runs, rate=rate, weight=weight, cap_rate=5, **given, **common) for rate, weight, _, given in hiccups]

    def finish():
        rows = []
        for (ratio, size), job, other in zip(cells, measured, assumed):
            counts, of = rolled_back(job)
            assumed_counts, assumed_of = rolled_back(other)
            session.days += of["serin"] + assumed_of["serin"]
            session.hold_below(counts["serin"], of["serin"], 0.01, f"days with failures {size} at a time, {percent(ratio)}")
            rows.append([percent(ratio), size, f"{counts['serin']} of {of['serin']}", f"{assumed_counts['serin']} of {assumed_of['serin']}"])
        lines = ["### Failures that come in bursts", "Healthy 24-hour rollouts that are rolled back (100 requests a second, weight 10 %) when so many failures come at once:", ""]
        lines += table(["failures", "at a time", "measured (default)", "taken for independent"], rows)
        rows = []
        for (rate, weight, text, _), job, other in zip(hiccups, quick, slow):
            counts, of = rolled_back(job)
            slow_counts, slow_of = rolled_back(other)
            rows.append([f"{rate:,}", percent(weight), text, f"{counts['serin']} of {of['serin']}", f"{slow_counts['serin']} of {slow_of['serin']}"])
        lines += ["Each version on its own, at random moments, has short brown-outs; rollouts of an hour that are rolled back, after 20 minutes of stable alone. With 2 s of pause a canary is rightly "
                  "called dead (see Known limits); evidence that comes in at 5 nats a second bears a little more.", ""]
        lines += table(["requests/s", "weight", "brown-out", "default", "5 nats a second"], rows)
        return lines
    return finish


# ---- shared outages

def outages(session, runs=150, day_runs=30, cells=None, offsets=(-300, -100, 100, 300, 1000, 3000, 8000), offset_rates=(100, 1000, 10000)):
    cells = cells or [(rate, ratio, 60) for rate in (100, 1000) for ratio in (0.1, 0.3, 1.0)] + [(100, 0.3, 600)]
    common = dict(healthy_s=3600, is_forgiving=1)
    started = [session.start("faults", runs, rate=rate, fault_stable=ratio, fault_canary=ratio, fault_s=lasts, horizon_s=lasts + 120, has_rules=1,
                             **common) for rate, ratio, lasts in cells]
    near = [(1000, 0.06), (10000, 0.055)]
    hardest = [session.start("faults", runs, rate=rate, weight=0.5, fault_stable=ratio, fault_canary=ratio, fault_s=300, horizon_s=420, healthy_s=900)
               for rate, ratio in near]
    apart = {(rate, offset): session.start("faults", runs, rate=rate, fault_stable=0.5, fault_canary=0.5, fault_s=30, offset_ms=offset, horizon_s=120,
                                           healthy_s=900) for rate in offset_rates for offset in offsets}
    worse = [(0.08, 0.6), (0.3, 1.0)]
    found = [session.start("faults", 41, rate=1000, healthy_s=900, fault_stable=stable, fault_canary=canary) for stable, canary in worse]
    daily_ratios = (0.1, 0.3, 1.0)
    daily = [session.start("days", day_runs, part=10, tick_ms=1000, span_s=DAY_S, outage_s=120, outage_ratio=ratio) for ratio in daily_ratios]

    def finish():
        fates = [Fates(job) for job in started]
        rows = [[name] + [percent(each.fired(name) / each.count(name)) for each in fates] for name in ["serin", *RULES]]
        for (rate, ratio, _), each in zip(cells, fates):
            session.hold_below(each.fired(), each.count(), 0.001, f"outages blamed on the canary at {rate} requests a second, {percent(ratio)}")
        head = ["rule"] + [f"{rate:,} rps, {percent(ratio)}" + (", 10 min" if lasts > 60 else "") for rate, ratio, lasts in cells]
        lines = ["### Shared outages", f"Both versions fail alike for 60 s after a healthy hour (weight 10 %, {fates[0].count()} runs): share that is rolled back for nothing. A rule that had fired before "
                 "begins anew with the outage.", ""]
        lines += table(head, rows)
        told = []
        for (rate, ratio), job in zip(near, hardest):
            each = Fates(job)
            session.hold_below(each.fired(), each.count(), 0.001, f"both just above the limit at {rate} requests a second")
            told.append(f"{rate:,} requests a second at {percent(ratio)}: {each.fired()} of {each.count()}")
        lines += ["Hardest for the guard, both just above the limit for five minutes at weight 50 %: " + "; ".join(told) + " rolled back.", ""]
        told = []
        for ratio, job in zip(daily_ratios, daily):
            counts, of = rolled_back(job)
            session.days += of["serin"]
            session.hold_below(counts["serin"], of["serin"], 0.001, f"days with an outage at {percent(ratio)}")
            told.append(f"{percent(ratio)}: {counts['serin']} of {of['serin']}")
        lines += ["Whole days with one outage of both for two minutes, at 100 requests a second, rolled back: " + "; ".join(told) + ".", ""]
        if not apart:
            return lines
        rows = []
        for rate in offset_rates:
            cells_of_rate = [Fates(apart[rate, offset]) for offset in offsets]
            rows.append([f"{rate:,}"] + [percent(each.fired() / each.count()) for each in cells_of_rate])
        lines += ["Not at the same moment (50 %, 30 s; negative: the canary fails and heals first): share that Serin rolls back. What fails alone for long enough is bad, "
                  "as far as anybody can know then.", ""]
        lines += table(["requests/s"] + [f"{offset:+d} ms" for offset in offsets], rows)
        told = [f"stable {percent(stable)}, canary {percent(canary)}: {duration(Fates(job).seconds())}" for (stable, canary), job in zip(worse, found)]
        lines += ["A canary that is really worse is still found when the trouble of both begins at one moment (1,000 requests a second, median): " + "; ".join(told) + ".", ""]
        return lines
    return finish


# ---- side by side

def compare(session, runs=41, rates=(10, 100, 1000), severities=(0.02, *SEVERITIES)):
    cells = [(rate, ratio) for rate in rates for ratio in severities]
    common = dict(healthy_s=3600, horizon_s=3600)
    started = {cell: session.start("faults", runs, part=7, rate=cell[0], fault_canary=cell[1], has_rules=1, **common) for cell in cells}
    alone = {cell: session.start("faults", runs, part=7, rate=cell[0], fault_canary=cell[1], relative=2, **common) for cell in cells}

    def finish():
        fates = {cell: Fates(job) for cell, job in started.items()}
        others = {cell: Fates(job) for cell, job in alone.items()}
        lines = ["### Side by side", f"Stable at 0.1 %, weight 10 %, the canary breaks after a healthy hour; {fates[cells[0]].count()} runs, an hour to find it. Every rule "
                 "is given a shift at once and for free. Bad responses are those that users get until the weight is 0, with 50 ms of traffic in flight. \"-\": fewer "
                 "than half of the runs were decided after the fault (some windows had fired before it). Envoy ejects a host for 30 s and rolls nothing back.", ""]
        for rate in rates:
            if rate != 100:
                continue
            rows = [["serin", *both(fates, rate, severities, "serin")], ["serin, `relative: rollback`", *both(others, rate, severities, "serin")]]
            rows += [[name, *both(fates, rate, severities, name)] for name in RULES]
            lines += ["Seconds to the decision at 100 requests a second, median (95 %):", ""]
            lines += table(["rule"] + [percent(ratio) for ratio in severities], rows)
        for rate in rates:
            rows = [["serin"] + [number(fates[rate, ratio].bad()) for ratio in severities]]
            rows += [["serin, `relative: rollback`"] + [number(others[rate, ratio].bad()) for ratio in severities]]
            rows += [[name] + [number(fates[rate, ratio].bad(name)) for ratio in severities] for name in RULES]
            lines += [f"Bad responses at {rate:,} requests a second, median:", ""]
            lines += table(["rule"] + [percent(ratio) for ratio in severities], rows)
        return lines
    return finish


def both(fates, rate, severities, name):
    return [f"{number(fates[rate, ratio].seconds(name))} ({number(fates[rate, ratio].seconds(name, 0.95))})" for ratio in severities]


# ---- delays

def delay_job(session, runs, rate, weight, ratio, stable=0.001, is_scaled=True):
    canary_rate = rate * weight
    tick_ms = 1000 if rate <= 1 else 100
    return session.start("faults", runs, part=11, is_scaled=is_scaled, rate=rate, weight=weight, stable=stable, fault_canary=ratio, tick_ms=tick_ms,
                         healthy_s=max(900, round(500 / canary_rate)), horizon_s=max(3600, round(4000 / canary_rate)))


def hold_documented(session, key, seconds):
    expected = DOCUMENTED.get(key)
    if expected is not None:
        rate, weight, ratio = key
        session.hold(0.65 * expected - 0.15 <= seconds <= 1.5 * expected + 0.15,
                     f"{rate} requests a second, weight {percent(weight)}, {percent(ratio)} fail: found after {seconds:.1f} s, {expected} s are documented")


def delays(session, runs=31, weights=(0.01, 0.05, 0.1, 0.5)):
    cells = [(rate, weight) for rate in RATES for weight in weights]
    started = {(*cell, ratio): delay_job(session, runs, *cell, ratio) for cell in cells for ratio in SEVERITIES}
    noisy = {(rate, ratio): delay_job(session, runs, rate, 0.1, ratio, stable=0.01) for rate in RATES for ratio in SEVERITIES}

    def finish():
        fates = {key: Fates(job) for key, job in started.items()}
        for key, each in fates.items():
            hold_documented(session, key, each.seconds())
        head = ["requests/s", "weight"] + [percent(ratio) for ratio in SEVERITIES]
        lines = ["### How soon a bad canary is found", f"Stable at 0.1 %, after a healthy time; median time (95 %) / median of the canary's requests; {runs} runs per cell. Above some 1,000 "
                 "canary requests a second the time is that of two to four looks, not of the statistics.", ""]
        lines += table(head, [[f"{rate:,}", percent(weight)] + [delay_text(fates[rate, weight, ratio]) for ratio in SEVERITIES] for rate, weight in cells])
        lines += ["Bad responses in the same runs, median (95 %):", ""]
        lines += table(head, [[f"{rate:,}", percent(weight)] + [f"{number(fates[rate, weight, ratio].bad())} ({number(fates[rate, weight, ratio].bad(share=0.95))})"
                                                                 for ratio in SEVERITIES] for rate, weight in cells])
        lines += ["Beside a stable version at 1 %, weight 10 %:", ""]
        lines += table(["requests/s"] + head[2:], [[f"{rate:,}"] + [delay_text(Fates(noisy[rate, ratio])) for ratio in SEVERITIES] for rate in RATES])
        return lines
    return finish


def delay_text(fates):
    return f"{duration(fates.seconds())} ({duration(fates.seconds(share=0.95))}) / {number(fates.requests())}"


def restarts(session, runs=61):
    cells = [(ratio, healthy_s) for ratio in (0.06, 0.2, 1.0) for healthy_s in (0, 3600)]
    started = [[session.start("faults", runs, part=8, fault_canary=ratio, canary=0.001, healthy_s=healthy_s, horizon_s=7200, restarts=has) for has in (1, 0)]
               for ratio, healthy_s in cells]

    def finish():
        rows = [[percent(ratio), "an hour" if healthy_s else "from the first request", number(Fates(judge).requests()), number(Fates(other).requests())]
                for (ratio, healthy_s), (judge, other) in zip(cells, started)]
        return ["### Why there are restarts", "Canary requests to the breach (100 requests a second, weight 10 %, stable 0.1 %, median), and with the same tests started once:",
                ""] + table(["canary fails", "healthy before", "serin", "without restarts"], rows)
    return finish


def extremes(session, runs=21):
    traffics = [("1 request a minute", 1 / 60, 0.5), ("1 request a minute", 1 / 60, 0.1), ("10 requests a minute", 1 / 6, 0.1),
                ("100,000 a second", 100000, 0.01), ("100,000 a second", 100000, 0.1)]
    severities = (0.06, 0.2, 1.0)
    cells = [(*traffic, has_past) for traffic in traffics for has_past in (False, True)]
    started = []
    for _, rate, weight, has_past in cells:
        is_slow = rate < 1
        past_s = (round(300 / (rate * weight)) if is_slow else 900) if has_past else 0
        given = dict(rate=rate, weight=weight, healthy_s=past_s, coarse_ms=20000 if is_slow else 1000, tick_ms=2000 if is_slow else 100,
                     horizon_s=round(4000 / (rate * weight)) if is_slow else 600)
        started.append([session.start("faults", runs, part=3, fault_canary=ratio, **given) for ratio in severities])

    def finish():
        rows = []
        for (title, _, weight, has_past), jobs in zip(cells, started):
            fates = [Fates(job) for job in jobs]
            rows.append([title, percent(weight), "later" if has_past else "first request"] +
                        [f"{duration(each.seconds())} / {number(each.requests())} / {number(each.bad())}" for each in fates])
        return ["### Very little and very much traffic", "Stable 0.1 %; median time / canary requests / bad responses:", ""] + table(
            ["traffic", "weight", "broken from"] + [percent(ratio) for ratio in severities], rows)
    return finish


def latency(session, runs=20):
    cells = [("no change", 100, {}), ("+20 %", 100, dict(canary_ms=48)), ("+30 %", 100, dict(canary_ms=52)), ("+50 %", 100, dict(canary_ms=60)),
             ("x 2", 100, dict(canary_ms=80)), ("x 5", 100, dict(canary_ms=200)), ("3 % of the answers x 20", 100, dict(slow_share=0.03, slow_factor=20)),
             ("x 2", 1000, dict(canary_ms=80))]
    started = [session.start("latency", runs, part=5, rate=rate, healthy_s=30, horizon_s=90, **given) for _, rate, given in cells]

    def finish():
        rows = []
        for (title, rate, _), job in zip(cells, started):
            found = [row for row in job.rows() if row[1] == "found"]
            of = len(job.rows())
            if title in ("no change", "+20 %"):
                session.hold(not found, f"latency, {title}: rolled back {len(found)} of {of}")
            told = [duration(quantile([float(row[2]) for row in found], 0.5)), number(quantile([float(row[3]) for row in found], 0.5))] if found else ["-", "-"]
            rows.append([title, f"{rate:,}", f"{len(found)} of {of}", *told])
        return ["### Latency", "Lognormal times, median 40 ms; the canary gets slower after 30 s and is watched for 90 s more (weight 10 %). Up to 30 % lies inside the tolerance.",
                ""] + table(["change", "requests/s", "rolled back", "median time", "canary requests"], rows)
    return finish


def promotion(session, runs=40):
    traffics = [(100, 0.1), (100, 0.5), (1000, 0.05)]
    pairs = [(0, 0), (0.001, 0.001), (0.001, 0.003), (0.01, 0.01), (0.04, 0.04), (0.001, 0.006), (0.04, 0.06)]
    cells = [(*traffic, *pair) for traffic in traffics for pair in pairs]
    started = [session.start("promotion", runs, part=20, rate=rate, weight=weight, stable=stable, canary=canary, warm_s=60) for rate, weight, stable, canary in cells]

    def finish():
        rows = []
        for (rate, weight, stable, canary), job in zip(cells, started):
            found = job.rows()
            healthy = [row for row in found if row[1] == "healthy"]
            states = [sum(row[1] == state for row in found) for state in ("healthy", "breach", "neither")]
            told = [duration(quantile([float(row[2]) for row in healthy], 0.5)), number(quantile([float(row[3]) for row in healthy], 0.5))] if healthy else ["-", "-"]
            if canary > 0.05:
                session.hold_below(len(healthy), len(found), 0.05, f"promotion at {percent(canary)}")
            rows.append([f"{rate:,}", percent(weight), percent(stable), percent(canary), " / ".join(map(str, states)), *told])
        return ["### How soon a good canary is called healthy", f"{len(started[0].rows())} runs, an hour each, beside a stable version that was seen for a minute:", ""] + table(
            ["requests/s", "weight", "stable fails", "canary fails", "healthy / breach / neither", "median time", "canary requests"], rows)
    return finish


# ---- a minute of it, for the suite

def sample_boundary(session):
    """Absolute and relative test on their boundaries at once. The seeds are fixed, so the bound is held without any slack: of these
    runs one is rolled back, and twelve are by a judge whose thresholds are half of what they should be."""
    job = session.start("odds", 600, part=60, tick_ms=1000, span_s=3600, rate=100, weight=0.1, stable=0.0392, canary=0.05)

    def finish():
        counts, of, _ = reached(job, "breach")
        _, _, mass = reached(job, "absolute")
        count = next(iter(counts.values()))
        session.hold(count <= max(1, 0.01 * mass * of), f"on both boundaries {count} of {of} are rolled back, {percent(0.01 * mass)} were promised")
        return [f"On both boundaries, a day's mass: {count} of {of} are rolled back.", ""]
    return finish


def sample_odds(session):
    return odds(session, runs=80, nulls=[NULLS[0], NULLS[1], NULLS[3]])


def sample_days(session):
    return days(session, runs=3, rates=(100,), part=3)


def sample_outages(session):
    return outages(session, runs=20, day_runs=3, cells=[(100, 0.3, 60), (1000, 1.0, 60)], offsets=(), offset_rates=())


def sample_delays(session):
    started = {key: delay_job(session, 31, *key, is_scaled=False) for key in DOCUMENTED}

    def finish():
        rows = []
        for key, job in started.items():
            fates = Fates(job)
            session.hold(all(fate[0] == "found" for fate in fates.runs["serin"]), f"{key}: not found, or before the fault")
            hold_documented(session, key, fates.seconds())
            rows.append([f"{key[0]:,}", percent(key[1]), percent(key[2]), delay_text(fates), f"{DOCUMENTED[key]} s"])
        return table(["requests/s", "weight", "canary fails", "found after", "documented"], rows)
    return finish


def sample_promotion(session):
    return promotion(session, runs=5)


SECTIONS = {"odds": odds, "days": days, "clusters": clusters, "outages": outages, "compare": compare, "delays": delays, "restarts": restarts,
            "extremes": extremes, "latency": latency, "promotion": promotion}
SAMPLE = {"boundary": sample_boundary, "odds": sample_odds, "days": sample_days, "outages": sample_outages, "delays": sample_delays, "promotion": sample_promotion}

// What happened lately, off the counters of the status: these are there whether or not the flight recorder is, which
// counts nothing where there is no canary. The same window as that of `serin top`.

const WINDOW_MS = 10_000;
const GAP_MS = 15_000; // looks that are farther apart say nothing of now
const KEPT_ANSWERS = ["hit", "collapsed", "revalidated", "updating", "stale"];

// Looks at counters that only grow; another `key`, or one that fell, is another counter.
class Looks {
  constructor() {
    this.key = null;
    this.looks = [];
  }

  add(at, key, values) {
    const last = this.looks[this.looks.length - 1];
    if (key !== this.key || (last && (last.at < at - GAP_MS || values.some((value, i) => value < last.values[i])))) {
      this.looks = [];
    }
    this.key = key;
    this.looks.push({at, values});
    while (this.looks.length > 2 && this.looks[1].at <= at - WINDOW_MS) {
      this.looks.shift();
    }
  }

  // What was added, and in how many seconds; null before the second look.
  grown() {
    const first = this.looks[0];
    const last = this.looks[this.looks.length - 1];
    if (this.looks.length < 2 || last.at <= first.at) {
      return null;
    }
    return {seconds: (last.at - first.at) / 1000, by: last.values.map((value, i) => value - first.values[i])};
  }
}

export class Rates {
  constructor() {
    this.versions = {current: new Looks(), previous: new Looks()};
    this.cache = new Looks();
  }

  // `service`: a line of the status; `now_ms` of a clock that never goes back.
  add(service, now_ms) {
    for (const [role, looks] of Object.entries(this.versions)) {
      const version = service[role];
      looks.add(now_ms, version?.deployment ?? null, [version?.requests ?? 0, version?.failures ?? 0]);
    }
    const requests = service.cache?.requests ?? {};
    const kept = KEPT_ANSWERS.reduce((sum, result) => sum + (requests[result] ?? 0), 0);
    this.cache.add(now_ms, service.cache?.mode ?? null, [kept, requests.stale ?? 0]);
  }

  // Requests a second and the failed share in percent; null where nothing is known.
  of(role) {
    const grown = this.versions[role].key === null ? null : this.versions[role].grown();
    if (grown === null) {
      return {rate: null, failed: null};
    }
    const [requests, failures] = grown.by;
    return {rate: requests / grown.seconds, failed: requests > 0 ? Math.min(100, 100 * failures / requests) : null};
  }

  // Answers a second out of the cache, and those of them that were stale.
  ofCache() {
    const grown = this.cache.grown();
    return {rate: grown === null ? null : grown.by[0] / grown.seconds, stale: grown === null ? 0 : grown.by[1]};
  }
}

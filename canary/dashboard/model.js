// What the flight recording of one service says: rows of a second each, kept for an hour, and what
// is read off them. The row format stands in docs/OPERATING.md.

import {readText, serverTime} from "./api.js";

const HOUR_MS = 3600_000;
const LATELY_MS = 60_000;
const OFF_RETRY_MS = 10_000;
const POINTS_EVERY_MS = 5000;
const FINE_POINTS_MS = 1000;
const FINE_FOR_MS = 180_000; // so much of a recording is drawn finely
const GAP_POINTS = 3; // a line is not drawn over more than these where nothing was recorded
const [REQUESTS, FAILED] = [0, 1];

// The lower edge of a latency bucket, in seconds.
function edge(bucket) {
  const us = bucket < 8 ? bucket : (8 + bucket % 8) * 2 ** (Math.floor(bucket / 8) - 1);
  return us / 1e6;
}

// `pairs`: [bucket, count, bucket, count, ...] of any number of rows.
function quantiles(lists, wanted) {
  const counts = new Map();
  let total = 0;
  for (const pairs of lists) {
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      counts.set(pairs[i], (counts.get(pairs[i]) ?? 0) + pairs[i + 1]);
      total += pairs[i + 1];
    }
  }
  if (total === 0) {
    return wanted.map(() => null);
  }
  const buckets = [...counts.keys()].sort((a, b) => a - b);
  return wanted.map((share) => {
    let below = 0;
    for (const bucket of buckets) {
      below += counts.get(bucket);
      if (below >= share * total) {
        return (edge(bucket) + edge(bucket + 1)) / 2;
      }
    }
    return null;
  });
}

function sumOf(rows, version, index) {
  return rows.reduce((sum, row) => sum + row[version][index], 0);
}

function addPoint(series, rows) {
  const last = rows[rows.length - 1];
  const at = new Date(last.unix_ms);
  const share = (version) => {
    const requests = sumOf(rows, version, REQUESTS);
    return requests > 0 ? 100 * sumOf(rows, version, FAILED) / requests : null;
  };
  const times = (version) => quantiles(rows.map((row) => row[`${version}_latency`] ?? []), [0.5, 0.99])
    .map((seconds) => seconds === null ? null : seconds * 1000);
  series.weight.push([at, last.weight_ppm / 10_000]);
  series.failed.push([at, share("canary"), share("stable")]);
  series.latency.push([at, ...times("canary"), ...times("stable")]);
}

// Nothing was recorded from here on: no line goes over it.
function addGap(series, at) {
  series.weight.push([at, null]);
  series.failed.push([at, null, null]);
  series.latency.push([at, null, null, null, null]);
}

export class Recording {
  constructor(service) {
    this.path = `/api/v1/services/${encodeURIComponent(service)}/recording`;
    this.begun = null;
    this.next = 0;
    this.rows = [];
    this.offAt = null; // when it was found to be switched off
    this.isBusy = false;
  }

  get isOff() {
    return this.offAt !== null;
  }

  // Reads what came since the last time; a recording of another process begins anew. A reload may switch the recorder
  // on, so one that is off is asked for now and then.
  async refresh() {
    if (this.isBusy || (this.isOff && performance.now() - this.offAt < OFF_RETRY_MS)) {
      return;
    }
    this.isBusy = true;
    try {
      for (let isMore = true; isMore;) {
        const since = this.next === 0 ? `since=${serverTime() - HOUR_MS}` : `after=${this.next}`;
        isMore = this.take(await readText(`${this.path}?${since}`));
      }
      this.offAt = null;
    } catch (error) {
      if (error.status !== 409) {
        throw error;
      }
      this.offAt = performance.now();
      this.rows = [];
      this.next = 0;
      this.begun = null;
    } finally {
      this.isBusy = false;
    }
  }

  // One page; true: there is another.
  take(text) {
    const lines = text.trimEnd().split("\n").map((line) => JSON.parse(line));
    const head = lines[0];
    const tail = lines[lines.length - 1];
    if (this.begun !== null && head.begun_unix_ms !== this.begun) {
      this.begun = null;
      this.next = 0;
      this.rows = [];
      return true;
    }
    this.begun = head.begun_unix_ms;
    for (const row of lines.slice(1, -1)) {
      this.rows.push(row);
      this.next = row.row;
    }
    const oldest = serverTime() - HOUR_MS;
    const keep = this.rows.findIndex((row) => row.unix_ms >= oldest);
    this.rows.splice(0, keep < 0 ? this.rows.length : keep);
    return tail.next !== null && tail.rows > 0;
  }

  // Latencies of the last minute in seconds of one version ("canary" or "stable"); null where nothing was counted.
  latencies(version) {
    const oldest = serverTime() - LATELY_MS;
    const lists = this.rows.filter((row) => row.unix_ms > oldest).map((row) => row[`${version}_latency`] ?? []);
    const [p50, p90, p99] = quantiles(lists, [0.5, 0.9, 0.99]);
    return {p50, p90, p99};
  }

  // Points for the charts: each begins with a Date. A recording that has just begun has finer ones.
  series() {
    const series = {weight: [], failed: [], latency: []};
    const span = this.rows.length > 0 ? this.rows[this.rows.length - 1].unix_ms - this.rows[0].unix_ms : 0;
    const every = span <= FINE_FOR_MS ? FINE_POINTS_MS : POINTS_EVERY_MS;
    const slotOf = (row) => Math.floor(row.unix_ms / every);
    for (let from = 0; from < this.rows.length;) {
      const slot = slotOf(this.rows[from]);
      let to = from;
      while (to < this.rows.length && slotOf(this.rows[to]) === slot) {
        to++;
      }
      if (from > 0 && slot - slotOf(this.rows[from - 1]) > GAP_POINTS) {
        addGap(series, new Date(this.rows[from - 1].unix_ms + every));
      }
      addPoint(series, this.rows.slice(from, to));
      from = to;
    }
    return series;
  }
}

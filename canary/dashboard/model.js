// What the flight recording of one service says: rows of a second each, kept for an hour, and what
// is read off them. The row format stands in docs/OPERATING.md.

import {readText} from "./api.js";

const HOUR_MS = 3600_000;
const BUCKET_MS = 5000;
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

export class Recording {
  constructor(service) {
    this.path = `/api/v1/services/${encodeURIComponent(service)}/recording`;
    this.begun = null;
    this.next = 0;
    this.rows = [];
    this.isOff = false;
    this.isBusy = false;
  }

  // Reads what came since the last time; a recording of another process begins anew.
  async refresh() {
    if (this.isOff || this.isBusy) {
      return;
    }
    this.isBusy = true;
    try {
      for (let isMore = true; isMore;) {
        const since = this.next === 0 ? `since=${Date.now() - HOUR_MS}` : `after=${this.next}`;
        isMore = this.take(await readText(`${this.path}?${since}`));
      }
    } catch (error) {
      this.isOff = error.status === 409;
      if (!this.isOff) {
        throw error;
      }
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
    const oldest = Date.now() - HOUR_MS;
    const keep = this.rows.findIndex((row) => row.unix_ms >= oldest);
    this.rows.splice(0, keep < 0 ? this.rows.length : keep);
    return tail.next !== null && tail.rows > 0;
  }

  since(ms) {
    const newest = this.rows.length > 0 ? this.rows[this.rows.length - 1].unix_ms : 0;
    return this.rows.filter((row) => row.unix_ms > newest - ms);
  }

  // Requests a second, the failed share in percent, and latencies in seconds of one version
  // ("canary" or "stable"); null where nothing was counted.
  live(version) {
    const rows = this.since(10_000);
    const requests = sumOf(rows, version, REQUESTS);
    const seconds = rows.length > 1 ? (rows[rows.length - 1].unix_ms - rows[0].unix_ms) / 1000 : 0;
    const minute = this.since(60_000).map((row) => row[`${version}_latency`] ?? []);
    const [p50, p90, p99] = quantiles(minute, [0.5, 0.9, 0.99]);
    return {
      rate: seconds > 0 ? (requests - rows[0][version][REQUESTS]) / seconds : null,
      failed: requests > 0 ? 100 * sumOf(rows, version, FAILED) / requests : null,
      p50, p90, p99,
    };
  }

  // Points of BUCKET_MS for the charts: each begins with a Date.
  series() {
    const weight = [];
    const failed = [];
    const latency = [];
    for (let from = 0; from < this.rows.length;) {
      const slot = Math.floor(this.rows[from].unix_ms / BUCKET_MS);
      let to = from;
      while (to < this.rows.length && Math.floor(this.rows[to].unix_ms / BUCKET_MS) === slot) {
        to++;
      }
      const rows = this.rows.slice(from, to);
      const at = new Date(rows[rows.length - 1].unix_ms);
      const share = (version) => {
        const requests = sumOf(rows, version, REQUESTS);
        return requests > 0 ? 100 * sumOf(rows, version, FAILED) / requests : null;
      };
      const times = (version) => quantiles(rows.map((row) => row[`${version}_latency`] ?? []), [0.5, 0.99])
        .map((seconds) => seconds === null ? null : seconds * 1000);
      weight.push([at, rows[rows.length - 1].weight_ppm / 10_000]);
      failed.push([at, share("canary"), share("stable")]);
      latency.push([at, ...times("canary"), ...times("stable")]);
      from = to;
    }
    return {weight, failed, latency};
  }
}

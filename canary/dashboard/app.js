// Puts the page together: who asks, what there is, and what changes.

import {ApiError, Unreachable, follow, read, readText, setToken, token} from "./api.js";
import {showActions} from "./actions.js";
import {Charts} from "./charts.js";
import {moment} from "./format.js";
import {Recording} from "./model.js";
import {Card, announce, find, showAudit, showConditions, showLink, showOverview, showProcess, showRollbacks} from "./page.js";
import {Rates} from "./rates.js";
import {layOut} from "./report.js";

const OPEN_AT_FIRST = 4; // cards whose charts are open; many services would be many requests
const CHARTS_EVERY_MS = 5000;

const services = new Map(); // name: {card, recording, rates, charts, latest, drawnAt}
let isOperator = false;
let isBusy = false;
let wantsLists = true;
let seenAt = null; // when all was read the last time

// ---- who asks ----

function askForToken(problem) {
  const dialog = find("#token-dialog");
  find("#token-problem").textContent = problem;
  find("#token").value = "";
  if (!dialog.open) {
    dialog.showModal();
  }
  return new Promise((resolve) => {
    find("form", dialog).onsubmit = () => {
      setToken(find("#token").value.trim());
      resolve();
    };
    dialog.oncancel = (event) => event.preventDefault();
  });
}

async function identify() {
  for (;;) {
    try {
      const me = await read("/api/v1/whoami");
      isOperator = me.role === "operator";
      find("#identity").textContent = token() === null ? "" : `${me.actor} (${me.role})`;
      find("#sign-out").hidden = token() === null;
      return;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        await askForToken(token() === null ? "" : "This token is not known.");
      } else {
        showLink("stale", error.message);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  }
}

// ---- services ----

function entryOf(name) {
  let entry = services.get(name);
  if (entry === undefined) {
    const card = new Card(name);
    entry = {card, recording: new Recording(name), rates: new Rates(), charts: new Charts(card.element), latest: null, drawnAt: 0};
    card.part(".charts").open = services.size < OPEN_AT_FIRST;
    card.part(".charts").addEventListener("toggle", () => {
      entry.drawnAt = 0;
      entry.charts.destroy();
    });
    services.set(name, entry);
    find("#services").append(card.element);
  }
  return entry;
}

function drop(names) {
  for (const [name, entry] of services) {
    if (!names.includes(name)) {
      entry.charts.destroy();
      entry.card.element.remove();
      services.delete(name);
    }
  }
}

async function refreshService(line) {
  const entry = entryOf(line.name);
  entry.card.showState(line);
  entry.rates.add(line, performance.now());
  const [service] = await Promise.all([
    read(`/api/v1/services/${encodeURIComponent(line.name)}`), entry.recording.refresh()]);
  entry.latest = service;
  entry.card.showState(service);
  entry.card.showDetail(service, entry.recording, entry.rates);
  if (isOperator) {
    showActions(entry.card, service, () => entry.latest, refreshSoon);
  }
  const isDue = Date.now() - entry.drawnAt >= CHARTS_EVERY_MS;
  if (entry.card.part(".charts").open && isDue) {
    entry.drawnAt = Date.now();
    entry.charts.draw(entry.recording.series());
  }
}

// ---- the lists ----

let shownReport = null;

async function showReport(record) {
  const dialog = find("#report-dialog");
  const path = `/api/v1/incidents/${encodeURIComponent(record.incident)}`;
  const chart = find("#report-chart");
  const place = find("#report-text");
  chart.hidden = true;
  place.textContent = "…";
  shownReport = record.id;
  dialog.showModal();
  try {
    const [text, drawing] = [await readText(`${path}.md`), await readText(`${path}.svg`).catch(() => null)];
    if (shownReport !== record.id) {
      return; // another one was opened meanwhile
    }
    place.replaceChildren(...layOut(text));
    if (drawing !== null) {
      URL.revokeObjectURL(chart.src);
      chart.src = URL.createObjectURL(new Blob([drawing], {type: "image/svg+xml"}));
      chart.hidden = false;
    }
  } catch (error) {
    place.textContent = shownReport === record.id ? error.message : place.textContent;
  }
}

// Records can be written a moment after the event that tells of them, so an error is no end.
async function refreshLists() {
  const rollbacks = await read("/api/v1/rollbacks?limit=20");
  showRollbacks(rollbacks.rollbacks, showReport);
  showAudit((await read("/api/v1/audit?limit=30")).audit);
}

// ---- the beat ----

async function refresh() {
  if (isBusy) {
    return;
  }
  isBusy = true;
  try {
    const status = await read("/api/v1/status");
    showProcess(status.process);
    showConditions(status.conditions);
    showOverview(status.services);
    drop(status.services.map((line) => line.name));
    await Promise.all(status.services.map(refreshService));
    if (wantsLists) {
      wantsLists = false;
      await refreshLists();
    }
    seenAt = new Date();
  } catch (error) {
    wantsLists = true;
    if (error instanceof ApiError && error.status === 401) {
      location.reload();
    } else if (!(error instanceof ApiError || error instanceof Unreachable)) {
      console.error(error);
    }
  } finally {
    isBusy = false;
  }
}

function refreshSoon() {
  wantsLists = true;
  refresh();
}

function onEvent(kind) {
  showLink("live", "live");
  if (kind !== "counters") {
    // The record is written in batches: the lists are read now and with the next beats.
    wantsLists = true;
    setTimeout(() => { wantsLists = true; }, 1500);
  }
  refresh();
}

// Where Serin answers and has no stream to give, each second is asked for instead.
function onStale(refusal) {
  if (refusal !== null) {
    showLink("live", `live, without events: ${refusal.message}`);
    refresh();
    return;
  }
  showLink("stale", `stale${seenAt === null ? "" : ` since ${moment(seenAt)}`}: trying to reach it`);
}

function redrawAll() {
  for (const entry of services.values()) {
    if (entry.card.part(".charts").open) {
      entry.charts.restyle(entry.recording.series());
    }
  }
}

function prepare() {
  find("#sign-out").addEventListener("click", () => {
    setToken(null);
    location.reload();
  });
  find("#report-close").addEventListener("click", () => find("#report-dialog").close());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
  addEventListener("resize", () => services.forEach((entry) => entry.charts.resize()));
}

async function begin() {
  prepare();
  await identify();
  await refresh();
  await follow({
    onEvent,
    onStale,
    onRefused: (error) => {
      announce(error.message);
      location.reload();
    },
  });
}

begin();

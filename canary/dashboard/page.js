// What is seen: cards of services, tables, signs. All texts go in as text, never as markup.

import {bytes, count, duration, milliseconds, moment, percent, rate, reasonText, some, statusText, words, zone} from "./format.js";

const OVERVIEW_FROM = 4; // services
const COLUMNS = {
  deployment: "Deployment", rate: "Requests/s", failed: "Failed", p50: "p50", p90: "p90", p99: "p99", flight: "In flight",
  endpoints: "Endpoints",
};

export function find(selector, root = document) {
  return root.querySelector(selector);
}

export function make(tag, text = null, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== null) {
    element.textContent = text;
  }
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  return element;
}

// Only what differs is written, so that nothing flickers and no screen reader repeats itself.
function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function setState(element, state, text) {
  element.dataset.state = state;
  setText(element, text);
}

export function announce(text) {
  find("#announcer").textContent = text;
}

export function showLink(state, text) {
  setState(find("#link"), state, text);
  document.body.classList.toggle("stale", state !== "live");
}

export function showProcess(process) {
  setText(find("#process"), `${process.version}, ${some(process.workers, "worker", "workers")}, ` +
    `${some(process.client_connections, "connection", "connections")}, since ${moment(process.started)}` +
    (process.draining ? ", draining" : "") + `; times in ${zone()}`);
}

export function showConditions(conditions) {
  const list = find("#conditions ul");
  const texts = conditions.join("\n");
  if (list.dataset.texts !== texts) {
    list.dataset.texts = texts;
    list.replaceChildren(...conditions.map((text) => make("li", text)));
  }
  find("#conditions").hidden = conditions.length === 0;
}

// A moment in the reader's zone, that can be asked for what it is elsewhere.
function timeOf(text) {
  return make("time", moment(text), {datetime: text, title: text});
}

// `cells`: what stands under each heading. On a phone the headings stand beside their cells, and tables that are laid
// out otherwise are tables still by their roles.
function row(cells) {
  const element = make("tr", null, {role: "row"});
  for (const [label, cell] of Object.entries(cells)) {
    const place = make("td", null, {role: "cell", "data-label": label});
    place.append(cell);
    element.append(place);
  }
  return element;
}

// Shows rows where they differ from what is shown, and leaves the focus where it was.
function showRows(table, records, makeRow) {
  const key = JSON.stringify(records);
  if (table.dataset.key === key) {
    return;
  }
  table.dataset.key = key;
  const label = table.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  table.querySelector("tbody").replaceChildren(...records.map(makeRow));
  if (label !== null) {
    [...table.querySelectorAll("button")].find((button) => button.getAttribute("aria-label") === label)?.focus();
  }
}

// `onReport(record)` when somebody wants to read an incident.
export function showRollbacks(records, onReport) {
  showRows(find("#rollbacks"), records, (record) => {
    const report = make("span", "–");
    if (record.incident) {
      const button = make("button", "Read", {type: "button", "aria-label": `Read the report of ${record.id}`});
      button.addEventListener("click", () => onReport(record));
      report.replaceChildren(button);
    }
    const line = row({
      Timestamp: timeOf(record.timestamp), Service: record.service, "Deployment ID": record.deployment ?? "–",
      Reason: reasonText(record), Duration: duration(record.duration_s), Status: statusText(record.status), Report: report,
    });
    line.dataset.status = record.status;
    return line;
  });
  find("#rollbacks").hidden = records.length === 0;
  find("#rollbacks").closest("section").querySelector(".empty").hidden = records.length > 0;
}

function detailText(detail) {
  if (detail === null || typeof detail !== "object") {
    return detail === null || detail === undefined ? "" : String(detail);
  }
  if (Object.keys(detail).join() === "text") {
    return detail.text;
  }
  return Object.entries(detail)
    .map(([name, value]) => `${words(name)}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

// The newest first, by when it happened: some are written a moment later.
export function showAudit(entries) {
  const ordered = entries.toSorted((a, b) => Date.parse(b.timestamp) - Date.parse(a.timestamp));
  showRows(find("#audit"), ordered, (entry) => row({
    Timestamp: timeOf(entry.timestamp), Actor: entry.actor, Action: entry.action, Service: entry.service ?? "–",
    Detail: detailText(entry.detail),
  }));
}

// The way to each service where there are many, with what has to be known of it.
export function showOverview(services) {
  const place = find("#overview");
  place.hidden = services.length < OVERVIEW_FROM;
  const links = new Map([...place.querySelectorAll("a")].map((link) => [link.dataset.service, link]));
  if ([...links.keys()].join() !== services.map((service) => service.name).join()) {
    links.clear();
    find("ul", place).replaceChildren(...services.map((service) => {
      const link = make("a", null, {href: `#service-${service.name}`, "data-service": service.name});
      link.append(make("span", service.name, {class: "link-name"}), " ", make("span", null, {class: "link-state"}));
      links.set(service.name, link);
      const item = make("li");
      item.append(link);
      return item;
    }));
  }
  for (const service of services) {
    const isNews = service.verdict === "breach" || service.verdict === "suspicious";
    setState(find(".link-state", links.get(service.name)), isNews ? service.verdict : service.phase,
      words(service.phase) + (isNews ? `, ${words(service.verdict)}` : ""));
  }
}

function verificationNote({good_looks, needed, trouble}) {
  return {kind: "verification", isBad: true, text: `Is stable confirmed to serve well? ${count(good_looks)} of ${count(needed)} ` +
    `good looks in a row${trouble ? `; the last was not: ${trouble}` : ""}.`};
}

function observedNote({name, verdict, sentence, breach}) {
  const said = breach === null ? words(verdict)
    : `breach at ${moment(breach.at)} after ${count(breach.failed)} failed (${count(breach.client_bad)} seen by clients)`;
  return {kind: "observed", isBad: breach !== null, text: `Policy ${name} looks on: ${said}${sentence ? `: ${sentence}` : ""}`};
}

function notesOf(service) {
  const quarantined = service.quarantine.map((one) => ({kind: "quarantined", isBad: true,
    text: `Quarantined since ${moment(one.since)}: ${one.deployment} (${one.reason})`}));
  return [
    ...(service.verification ? [verificationNote(service.verification)] : []), ...quarantined,
    ...service.observed.map(observedNote),
  ];
}

// The card of one service.
export class Card {
  constructor(name) {
    this.element = find("#service-template").content.firstElementChild.cloneNode(true);
    this.element.dataset.service = name;
    this.name = name;
    this.phase = null;
    const title = this.part(".name");
    title.textContent = name;
    title.id = `service-${name}`;
    this.element.setAttribute("aria-labelledby", title.id);
    this.part(".weight-meter").setAttribute("aria-label", `Weight of the canary of ${name}`);
    this.part(".actions").setAttribute("aria-label", `Actions on ${name}`);
    this.part(".numbers").setAttribute("aria-label", `Live numbers of ${name}`);
    for (const line of this.element.querySelectorAll(".versions tbody tr")) {
      for (const [column, label] of Object.entries(COLUMNS)) {
        line.append(make("td", "–", {class: column, role: "cell", "data-label": label}));
      }
    }
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  // A line of the status, or the service as a whole.
  showState(service) {
    if (this.phase !== null && this.phase !== service.phase) {
      announce(`${this.name}: ${words(service.phase)}. ${service.sentence ?? ""}`);
    }
    this.phase = service.phase;
    this.element.dataset.phase = service.phase;
    setState(this.part(".phase"), service.phase, words(service.phase));
    setState(this.part(".verdict"), service.verdict, `verdict: ${words(service.verdict)}`);
    setState(this.part(".outage"), service.reason, "both versions fail");
    this.part(".outage").hidden = service.reason !== "shared_outage";
    this.part(".contained").hidden = !service.contained;
    this.showMirror(service.mirror);
    setText(this.part(".sentence"), service.sentence ?? "");
    this.showWeight(service.weight);
  }

  showMirror(mirror) {
    const place = this.part(".mirror");
    place.hidden = !mirror?.active;
    if (mirror?.active) {
      setText(place, `mirroring ${percent(mirror.share)}`);
    }
  }

  showWeight(weight) {
    const realised = weight.realised === null ? "no requests lately" : `realised ${percent(weight.realised)}`;
    const meter = this.part(".weight-meter");
    setText(this.part(".weight-text"), `weight ${percent(weight.set, 4)}, ${realised}`);
    meter.setAttribute("aria-valuenow", weight.set);
    meter.setAttribute("aria-valuetext", `${percent(weight.set, 4)} set, ${realised}`);
    meter.style.setProperty("--set", `${weight.set}%`);
    meter.style.setProperty("--realised", `${weight.realised ?? 0}%`);
    this.part(".realised").hidden = weight.realised === null;
  }

  // The service as a whole, with what was counted of it.
  showDetail(service, recording, rates) {
    this.showVersion("current", service.current, {...rates.of("current"), ...recording.latencies("canary")});
    this.showVersion("previous", service.previous, {...rates.of("previous"), ...recording.latencies("stable")});
    this.showLadder(service);
    this.showEvidence(service);
    this.showNotes(service);
    this.showCache(service.cache, rates.ofCache());
    this.showRecorder(recording);
  }

  showVersion(role, version, live) {
    const line = this.part(`.versions .${role}`);
    const cells = {
      deployment: version?.deployment ?? "none",
      rate: rate(live.rate),
      failed: percent(live.failed, 2),
      p50: milliseconds(live.p50),
      p90: milliseconds(live.p90),
      p99: milliseconds(live.p99),
      flight: version ? count(version.in_flight) : "–",
      endpoints: version ? `${count(version.endpoints.live)} of ${count(version.endpoints.all)} live` : "–",
    };
    for (const [name, text] of Object.entries(cells)) {
      setText(line.querySelector(`.${name}`), text);
    }
    line.querySelector(".failed").classList.toggle("bad", (live.failed ?? 0) >= 5);
    line.querySelector(".endpoints").classList.toggle("bad", version !== null && version.endpoints.live === 0);
    line.querySelector(".deployment").title = version?.url ?? "";
  }

  // What is not always there: what a rollback waits for, who is quarantined, policies that look on.
  showNotes(service) {
    const notes = notesOf(service);
    const place = this.part(".notes");
    const key = JSON.stringify(notes);
    place.hidden = notes.length === 0;
    if (place.dataset.key !== key) {
      place.dataset.key = key;
      place.replaceChildren(...notes.map(({kind, isBad, text}) => {
        const line = make("li", text, {class: kind});
        line.classList.toggle("warn", isBad);
        return line;
      }));
    }
  }

  showCache(cache, lately) {
    const place = this.part(".cache");
    place.hidden = !cache;
    if (cache) {
      const stale = cache.requests.stale ?? 0;
      place.classList.toggle("warn", lately.stale > 0);
      setText(place, `Cache (${cache.mode}): ${some(cache.entries, "entry", "entries")}, ${bytes(cache.bytes)} of ${bytes(cache.size)}` +
        (cache.mode === "full" ? `, ${rate(lately.rate)} answers/s from it` : "") +
        `; ${some(stale, "stale answer", "stale answers")} in place of errors${lately.stale > 0 ? ", and just now" : ""}`);
    }
  }

  // Why there are no charts, where there are none.
  showRecorder(recording) {
    const isEmpty = recording.rows.length === 0;
    const note = this.part(".charts-note");
    note.hidden = !isEmpty;
    this.part(".chart-row").hidden = isEmpty;
    setText(note, recording.isOff ? "The flight recorder is off: nothing is recorded, so there are no latencies and no charts."
      : isEmpty ? "Nothing was recorded in the last hour. The flight recorder counts while there is a canary." : "");
  }

  showLadder(service) {
    const list = this.part(".ladder");
    list.hidden = service.ladder.length === 0;
    const key = JSON.stringify([service.ladder, service.step]);
    if (list.dataset.key === key) {
      return;
    }
    list.dataset.key = key;
    let step = 0;
    list.replaceChildren(...service.ladder.map((weight) => {
      const isPause = weight === "pause";
      step += isPause ? 0 : 1;
      const state = isPause ? (step < service.step ? "done" : "to come")
        : step < service.step ? "done" : step === service.step ? "now" : "to come";
      const item = make("li", isPause ? "pause" : percent(weight, 4));
      item.dataset.state = state;
      item.append(make("span", ` (${state})`, {class: "unseen"}));
      if (state === "now") {
        item.setAttribute("aria-current", "step");
      }
      return item;
    }));
  }

  // How far each test is from its bar.
  showEvidence(service) {
    const tests = Object.keys(service.thresholds).filter((name) => name !== "absolute_allowed");
    const place = this.part(".evidence");
    if (place.dataset.tests !== tests.join()) {
      place.dataset.tests = tests.join();
      place.replaceChildren(...tests.map((name) => {
        const line = make("p", null, {class: "test"});
        line.append(make("span", words(name), {class: "test-name"}),
          make("meter", null, {"aria-label": `Evidence of the test ${words(name)}`, min: 0, low: 0.5, high: 0.8, optimum: 0, max: 1}),
          make("span", null, {class: "test-numbers"}));
        line.dataset.test = name;
        return line;
      }));
    }
    this.part(".evidence-part").hidden = tests.length === 0;
    for (const line of place.children) {
      const bar = service.thresholds[line.dataset.test];
      const value = Math.max(0, service.evidence[line.dataset.test] ?? 0);
      line.querySelector("meter").value = Math.min(1, value / bar);
      setText(line.querySelector(".test-numbers"), `${value.toFixed(1)} of ${bar.toFixed(1)}`);
    }
  }
}

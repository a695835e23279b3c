// What is seen: cards of services, tables, signs. All texts go in as text, never as markup.

import {duration, milliseconds, moment, percent, rate, reasonText, statusText, words} from "./format.js";

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
  setText(find("#process"), `${process.version}, ${process.workers} workers, ` +
    `${process.client_connections} connections, since ${moment(process.started)}` +
    (process.draining ? ", draining" : ""));
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

function row(cells) {
  const element = make("tr");
  for (const cell of cells) {
    const place = make("td");
    place.append(cell);
    element.append(place);
  }
  return element;
}

// `onReport(record)` when somebody wants to read an incident.
export function showRollbacks(records, onReport) {
  const rows = records.map((record) => {
    const report = make("span", "–");
    if (record.incident) {
      const button = make("button", "Read", {type: "button", "aria-label": `Report of ${record.id}`});
      button.addEventListener("click", () => onReport(record));
      report.replaceChildren(button);
    }
    const line = row([moment(record.timestamp), record.service, record.deployment ?? "–", reasonText(record),
      duration(record.duration_s), statusText(record.status), report]);
    line.dataset.status = record.status;
    return line;
  });
  find("#rollbacks tbody").replaceChildren(...rows);
  find("#rollbacks").hidden = rows.length === 0;
  find("#rollbacks").closest("section").querySelector(".empty").hidden = rows.length > 0;
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

export function showAudit(entries) {
  find("#audit tbody").replaceChildren(...entries.map((entry) => row([
    moment(entry.timestamp), entry.actor, entry.action, entry.service ?? "", detailText(entry.detail)])));
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
    for (const line of this.element.querySelectorAll(".versions tbody tr")) {
      for (const column of ["deployment", "rate", "failed", "p50", "p90", "p99", "flight", "endpoints"]) {
        line.append(make("td", "–", {class: column}));
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
    const realised = weight.realised === null ? "no requests" : percent(weight.realised);
    const meter = this.part(".weight-meter");
    setText(this.part(".weight-text"), `weight ${percent(weight.set, 4)}, realised ${realised}`);
    meter.setAttribute("aria-valuenow", weight.set);
    meter.setAttribute("aria-valuetext", `${percent(weight.set, 4)} set, ${realised} realised`);
    meter.style.setProperty("--set", `${weight.set}%`);
    meter.style.setProperty("--realised", `${weight.realised ?? 0}%`);
  }

  // The service as a whole, with what was counted of it.
  showDetail(service, recording) {
    this.showVersion("current", service.current, recording.live("canary"));
    this.showVersion("previous", service.previous, recording.live("stable"));
    this.showLadder(service);
    this.showEvidence(service);
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
      flight: version ? String(version.in_flight) : "–",
      endpoints: version ? `${version.endpoints.live} of ${version.endpoints.all} live` : "–",
    };
    for (const [name, text] of Object.entries(cells)) {
      setText(line.querySelector(`.${name}`), text);
    }
    line.querySelector(".failed").classList.toggle("bad", (live.failed ?? 0) >= 5);
    line.querySelector(".deployment").title = version?.url ?? "";
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
    for (const line of place.children) {
      const bar = service.thresholds[line.dataset.test];
      const value = Math.max(0, service.evidence[line.dataset.test] ?? 0);
      line.querySelector("meter").value = Math.min(1, value / bar);
      setText(line.querySelector(".test-numbers"), `${value.toFixed(1)} of ${bar.toFixed(1)}`);
    }
  }
}

// What an operator may do: which buttons there are now, what each will do, and the doing.

import {ApiError, change, newKey} from "./api.js";
import {announce, find, make} from "./page.js";
import {percent} from "./format.js";

const RUNNING = ["progressing", "paused", "baking", "frozen"];
const GOING_BACK = ["shifting_back", "verifying"];

const REASON = {name: "reason", label: "Reason", isRequired: true};

// Each: is it possible now, what will happen, what is asked for, and the request.
const ACTIONS = [
  {
    name: "start", label: "Start …",
    isPossible: (service) => !RUNNING.includes(service.phase) && !GOING_BACK.includes(service.phase),
    text: (service) => `Starts a rollout on ${service.name}: the new version gets traffic step by step, each after evidence. ` +
      "The version with all the traffic becomes previous.",
    fields: [
      {name: "url", label: "URL of the new version", isRequired: true, type: "url"},
      {name: "deployment", label: "Deployment (empty: made from the URL)"},
      {name: "steps", label: "Steps (empty: as configured)", hint: "1%, 5%, pause, 25%, 100%"},
    ],
    send: (service, values) => ({
      method: "POST", path: "/rollout", isKeyed: true,
      body: {
        url: values.url,
        ...(values.deployment === "" ? {} : {deployment: values.deployment}),
        ...(values.steps === "" ? {} : {steps: values.steps.split(",").map((step) => step.trim())}),
      },
    }),
  },
  {
    name: "pause", label: "Pause",
    isPossible: (service) => service.phase === "progressing" || service.phase === "baking",
    text: (service) => `Keeps ${service.name} at ${percent(service.weight.set, 4)} until somebody resumes. A breach still rolls back.`,
    send: () => ({method: "POST", path: "/rollout/pause"}),
  },
  {
    name: "resume", label: "Resume",
    isPossible: (service) => service.phase === "paused" || service.phase === "frozen",
    text: (service) => `${service.name} goes on with its steps when the evidence says so.`,
    send: () => ({method: "POST", path: "/rollout/resume"}),
  },
  {
    name: "promote", label: "Promote …",
    isPossible: (service) => RUNNING.includes(service.phase) && service.phase !== "frozen",
    text: (service) => `Takes the next step of ${service.name} now, without waiting for evidence. A breach still rolls back.`,
    fields: [{name: "full", label: "All the way to 100 %", type: "checkbox"}],
    send: (service, values) => ({method: "POST", path: "/rollout/promote", body: values.full ? {full: true} : null}),
  },
  {
    name: "abort", label: "Abort …",
    isPossible: (service) => RUNNING.includes(service.phase),
    text: (service) => `Ends the rollout of ${service.name}: all traffic goes back to ${service.previous?.deployment}. ` +
      "The canary is not quarantined.",
    send: () => ({method: "POST", path: "/rollout/abort"}),
  },
  {
    name: "rollback", label: "Roll back …", isGrave: true,
    isPossible: (service) => service.current !== null && service.previous !== null && !GOING_BACK.includes(service.phase) &&
      service.weight.set > 0,
    text: (service) => `All traffic of ${service.name} goes back to ${service.previous?.deployment}, the platform is told, and ` +
      `${service.current?.deployment} is quarantined until it is released.`,
    fields: [REASON, {name: "mode", label: "How", choices: [["gradual", "step by step"], ["instant", "at once"]]}],
    send: (service, values) => ({method: "POST", path: "/rollback", body: {reason: values.reason, mode: values.mode}, isKeyed: true, isFree: true}),
  },
  {
    name: "release", label: "Release …",
    isPossible: (service) => service.quarantine.length > 0,
    text: (service) => `A deployment that was rolled back may get traffic from ${service.name} again.`,
    fields: [{name: "deployment", label: "Deployment", choices: (service) => service.quarantine.map((one) => [one.deployment, `${one.deployment}: ${one.reason}`])}, REASON],
    send: (service, values) => ({
      method: "POST", path: `/quarantine/${encodeURIComponent(values.deployment)}/release`, body: {reason: values.reason}, isFree: true,
    }),
  },
  {
    name: "drill", label: "Drill …",
    isPossible: (service) => service.current !== null && service.previous !== null && !RUNNING.includes(service.phase) &&
      !GOING_BACK.includes(service.phase),
    text: (service) => `Rehearses a rollback of ${service.name}. No request goes elsewhere; the history says how long it took.`,
    send: () => ({method: "POST", path: "/drill", isKeyed: true, isFree: true}),
  },
];

function field(description, service) {
  const id = `field-${description.name}`;
  const line = make("p");
  const label = make("label", description.label, {for: id});
  let input;
  if (description.choices) {
    const choices = typeof description.choices === "function" ? description.choices(service) : description.choices;
    input = make("select", null, {id, name: description.name});
    input.append(...choices.map(([value, text]) => make("option", text, {value})));
  } else {
    input = make("input", null, {id, name: description.name, type: description.type ?? "text", autocomplete: "off"});
    input.required = description.isRequired === true;
    if (description.hint) {
      input.placeholder = description.hint;
    }
  }
  line.append(...(description.type === "checkbox" ? [input, label] : [label, input]));
  return line;
}

function valuesOf(form) {
  const values = {};
  for (const input of form.querySelectorAll("input, select")) {
    values[input.name] = input.type === "checkbox" ? input.checked : input.value.trim();
  }
  return values;
}

// `intention` keeps its key while no answer came and the same thing is asked for again: it is not done twice.
async function perform(action, service, values, intention) {
  const {method, path, body = null, isKeyed = false, isFree = false} = action.send(service, values);
  const said = JSON.stringify(body);
  if (intention.said !== said) {
    intention.said = said;
    intention.key = newKey();
  }
  await change(method, `/api/v1/services/${encodeURIComponent(service.name)}${path}`,
    {body, key: isKeyed ? intention.key : null, revision: isFree ? null : service.revision});
}

// Where the focus goes when the button that opened a dialog is gone meanwhile: else it stays in what is hidden now.
function focusNear(card, name) {
  const focused = document.activeElement;
  if (focused === null || focused === document.body || find("#action-dialog").contains(focused)) {
    const place = card.part(".actions");
    (place.querySelector(`[data-action="${name}"]`) ?? place.querySelector("button") ?? card.part(".name")).focus();
  }
}

// Shows what will happen and asks; the dialog stays while the API refuses. `onDone` when it was done.
function confirm(card, action, service, onDone) {
  const dialog = find("#action-dialog");
  const form = find("form", dialog);
  const buttons = [find("#action-go"), find("#action-cancel")];
  const [go, cancel] = buttons;
  const problem = find("#action-problem");
  const label = action.label.replace(" …", "");
  const intention = {said: undefined, key: null};
  let isBusy = false;
  let isClosed = false;
  const setBusy = (busy) => {
    isBusy = busy;
    buttons.forEach((button) => { button.disabled = busy; });
  };
  find("#action-title").textContent = `${label}: ${service.name}`;
  find("#action-text").textContent = action.text(service);
  find("#action-fields").replaceChildren(...(action.fields ?? []).map((one) => field(one, service)));
  go.textContent = label;
  go.classList.toggle("grave", action.isGrave === true);
  problem.textContent = "";
  setBusy(false);
  form.onsubmit = async (event) => {
    event.preventDefault();
    setBusy(true);
    problem.textContent = "";
    let said = "";
    try {
      await perform(action, service, valuesOf(form), intention);
    } catch (error) {
      const isStale = error instanceof ApiError && error.status === 412;
      intention.said = error instanceof ApiError ? undefined : intention.said;
      said = isStale ? "The service changed meanwhile: look again, then say it again." : error.message;
    }
    if (isClosed || said === "") {
      announce(`${label}: ${said === "" ? "done" : said}`);
    }
    if (!isClosed) {
      setBusy(false);
      problem.textContent = said;
      if (said === "") {
        dialog.close();
      } else {
        go.focus(); // which a button that is disabled loses
      }
    }
    onDone();
  };
  cancel.onclick = () => dialog.close();
  dialog.oncancel = (event) => {
    if (isBusy) {
      event.preventDefault();
    }
  };
  dialog.onclose = () => {
    isClosed = true;
    focusNear(card, action.name);
  };
  dialog.showModal();
}

// The buttons of a card as they should be now; a button that stays keeps the focus. `service` is
// asked for when a button is pressed, so that what is confirmed is what stands then.
export function showActions(card, service, latest, onDone) {
  const place = card.part(".actions");
  const wanted = ACTIONS.filter((action) => action.isPossible(service));
  const names = wanted.map((action) => action.name).join();
  if (place.dataset.names === names) {
    return;
  }
  const focused = document.activeElement?.dataset?.action;
  const hadFocus = place.contains(document.activeElement);
  place.dataset.names = names;
  place.replaceChildren(...wanted.map((action) => {
    const button = make("button", action.label, {type: "button"});
    button.dataset.action = action.name;
    button.classList.toggle("grave", action.isGrave === true);
    button.addEventListener("click", () => confirm(card, action, latest(), onDone));
    return button;
  }));
  if (hadFocus) {
    (place.querySelector(`[data-action="${focused}"]`) ?? place.querySelector("button") ?? card.part(".name")).focus();
  }
}

// The admin API: requests with the tab's token, and its stream of events.

const TOKEN_KEY = "serin-token";
const SILENCE_MS = 5000;
const RETRY_MS = 1000;
const ANSWER_MS = 15_000; // a connection that died without a word must not hold the page for ever
let clockAhead_ms = 0; // of the server's clock, over this one

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? problem?.title ?? `The API answered ${status}.`);
    this.status = status;
    this.field = problem?.field ?? null;
  }
}

// No answer, or one that broke off: nothing is known, and the stream of events tells when all is back.
export class Unreachable extends Error {
  constructor(cause) {
    super("Serin cannot be reached.", {cause});
  }
}

export function token() {
  return sessionStorage.getItem(TOKEN_KEY);
}

export function setToken(value) {
  if (value === null) {
    sessionStorage.removeItem(TOKEN_KEY);
  } else {
    sessionStorage.setItem(TOKEN_KEY, value);
  }
}

function headers(more = {}) {
  const mine = token();
  return mine === null ? more : {...more, Authorization: `Bearer ${mine}`};
}

async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return null;
  }
}

function unreachable(cause) {
  throw new Unreachable(cause);
}

async function ask(path, options = {}) {
  const signal = options.signal ?? AbortSignal.timeout(ANSWER_MS);
  const request = fetch(path, {cache: "no-store", ...options, signal, headers: headers(options.headers)});
  const answer = await request.catch(unreachable);
  const date = Date.parse(answer.headers.get("Date") ?? "");
  clockAhead_ms = Number.isNaN(date) ? clockAhead_ms : date - Date.now();
  if (!answer.ok) {
    throw new ApiError(answer.status, await problemOf(answer));
  }
  return answer;
}

// Now as Serin has it, to the second: the reader's clock may be wrong.
export function serverTime() {
  return Date.now() + clockAhead_ms;
}

export async function readText(path) {
  return (await ask(path)).text().catch(unreachable);
}

export async function read(path) {
  return JSON.parse(await readText(path));
}

// One key for each intention: a request that is sent twice has one effect.
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function change(method, path, {body = null, revision = null, key = null} = {}) {
  const fields = {};
  if (body !== null) {
    fields["Content-Type"] = "application/json";
  }
  if (revision !== null) {
    fields["If-Match"] = `"${revision}"`;
  }
  if (key !== null) {
    fields["Idempotency-Key"] = key;
  }
  const answer = await ask(path, {method, headers: fields, body: body === null ? undefined : JSON.stringify(body)});
  const text = await answer.text().catch(unreachable);
  return text === "" ? null : JSON.parse(text);
}

// WHATWG HTML section 9.2.6, as far as this API writes it: one data line per event.
function* eventsOf(block) {
  const event = {id: null, kind: "message", data: ""};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const value = line.slice(colon + 1).trimStart();
    if (line.startsWith("id:")) {
      event.id = value;
    } else if (line.startsWith("event:")) {
      event.kind = value;
    } else if (line.startsWith("data:")) {
      event.data += value;
    }
  }
  if (event.data !== "") {
    yield {...event, data: JSON.parse(event.data)};
  }
}

async function readStream(lastId, handlers) {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), SILENCE_MS);
  try {
    const more = lastId.value === null ? {} : {"Last-Event-ID": lastId.value};
    const answer = await ask("/api/v1/events", {headers: more, signal: abort.signal});
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const {value, done} = await reader.read();
      if (done) {
        return;
      }
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), SILENCE_MS);
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        for (const event of eventsOf(block)) {
          lastId.value = event.id ?? lastId.value;
          handlers.onEvent(event.kind, event.data);
        }
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

// Follows the events for ever: a stream that ends or is silent is opened anew, from where it was.
// EventSource cannot send a token, so fetch reads it. handlers: onEvent(kind, data), onStale(error) with the
// ApiError where Serin answers and has no stream to give, onRefused(error) when the token is no longer good, which ends it.
export async function follow(handlers) {
  const lastId = {value: null};
  for (;;) {
    let refusal = null;
    try {
      await readStream(lastId, handlers);
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        handlers.onRefused(error);
        return;
      }
      refusal = error instanceof ApiError ? error : null;
    }
    handlers.onStale(refusal);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

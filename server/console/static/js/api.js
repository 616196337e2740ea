// The public API: requests with the key as a header, and event streams that come back by themselves.

import { parse, stringify } from "./exact.js";

const KEY = "counterpoint.key";
const SILENCE_MS = 20_000;
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 8_000;
const ROOT = new URL("../", document.baseURI);

/** An answer that is not a success. `detail` is the server's line for people. */
export class Refused extends Error {
  constructor(status, detail, body) {
    super(detail);
    this.status = status;
    this.detail = detail;
    this.body = body;
  }
}

/** No answer: whether the request arrived is not known. */
export class Unreachable extends Error {}

export class Api {
  get key() {
    return sessionStorage.getItem(KEY) ?? "";
  }

  set key(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  }

  get(path, query = {}) {
    return this.request("GET", path, { query });
  }

  post(path, body, headers = {}) {
    return this.request("POST", path, { body, headers });
  }

  /** The JSON of an answer. Throws Refused or Unreachable. */
  async request(method, path, { query = {}, body, headers = {} } = {}) {
    const init = { method, headers: this.#headers(headers), signal: AbortSignal.timeout(30_000) };
    if (body !== undefined) {
      init.headers["Content-Type"] = "application/json";
      init.body = stringify(body);
    }
    const { answer, text } = await reached(path, query, init);
    return answered(answer, text);
  }

  /** The bytes of a file. Throws Refused or Unreachable. */
  async content(path, query = {}) {
    const init = { headers: this.#headers({}), signal: AbortSignal.timeout(60_000), cache: "no-store" };
    let answer;
    try {
      answer = await fetch(address(path, query), init);
      if (answer.ok) return await answer.arrayBuffer();
    } catch (error) {
      throw new Unreachable(error.message);
    }
    return answered(answer, await answer.text());
  }

  /**
   * Reads an event stream until `signal` aborts, through every break.
   * `onState` hears "connecting", "live" or "broken"; `onEvent({event, id, data})` each event.
   * Throws Refused for 401, 403 and 404.
   */
  async stream(path, { signal, onEvent, onState }) {
    let last = "";
    let wait = FIRST_WAIT_MS;
    while (!signal.aborted) {
      onState("connecting");
      try {
        const given = { Accept: "text/event-stream" };
        if (last) given["Last-Event-ID"] = last;
        for await (const event of this.#frames(path, this.#headers(given), signal)) {
          if (event === OPENED) {
            wait = FIRST_WAIT_MS;
            onState("live");
            continue;
          }
          if (event.id) last = event.id;
          await onEvent(event);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && [401, 403, 404].includes(error.status)) throw error;
      }
      if (signal.aborted) return;
      onState("broken");
      await pause(wait * (0.75 + Math.random() / 2), signal);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }

  async *#frames(path, headers, signal) {
    const silence = new AbortController();
    const both = AbortSignal.any([signal, silence.signal]);
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const answer = await fetch(address(path), { headers, signal: both, cache: "no-store" });
      if (!answer.ok) answered(answer, await answer.text());
      yield OPENED;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const lines = new Frames();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        yield* lines.feed(value);
      }
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  #headers(given) {
    return this.key ? { ...given, "X-Api-Key": this.key } : { ...given };
  }
}

const OPENED = Symbol("opened");

/** Server-sent events out of text that comes in any pieces. */
export class Frames {
  #rest = "";

  *feed(text) {
    this.#rest += text;
    const blocks = this.#rest.split(/\r?\n\r?\n/);
    this.#rest = blocks.pop();
    for (const block of blocks) {
      const event = { event: "message", id: "", data: "" };
      const data = [];
      for (const line of block.split(/\r?\n/)) {
        const colon = line.indexOf(":");
        if (colon === 0) continue;
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (name === "data") data.push(value);
        else if (name === "event" || name === "id") event[name] = value;
      }
      if (data.length) yield { ...event, data: parse(data.join("\n")) };
    }
  }
}

/** A value that only this request has; works on plain http, where crypto.randomUUID is missing. */
export function unique() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function address(path, query = {}) {
  const url = new URL(path.replace(/^\//, ""), ROOT);
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) url.searchParams.append(name, one);
  }
  return url;
}

async function reached(path, query, init) {
  try {
    const answer = await fetch(address(path, query), { ...init, cache: "no-store" });
    return { answer, text: await answer.text() };
  } catch (error) {
    throw new Unreachable(error.message);
  }
}

function answered(answer, text) {
  let body = null;
  try {
    body = text ? parse(text) : null;
  } catch {
    // A proxy's page: its status has to do.
  }
  if (answer.ok) return body;
  const detail = typeof body?.detail === "string" ? body.detail : `the server said ${answer.status}`;
  throw new Refused(answer.status, detail, body);
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}

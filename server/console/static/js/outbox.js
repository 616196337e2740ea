// Decisions between a keystroke and the server: held while they can be taken back, then sent with
// a key of their own, so that sending one twice is deciding once.

import { Refused, Unreachable, unique } from "./api.js";
import { parse, stringify } from "./exact.js";

const HELD = "counterpoint.held";
// A page that slept longer than this over a decision asks again instead of sending it.
const LATE_MS = 30_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;
const MOST_AT_ONCE = 200;

export class Outbox {
  #entries = new Map();

  /**
   * `onSent(entry, json)` and `onFailed(entry, error)` hear what came of a decision,
   * `onLate(entry)` of one that was not sent. `onChange()` after every change.
   */
  constructor({ api, onSent, onFailed, onLate, onChange }) {
    Object.assign(this, { api, onSent, onFailed, onLate, onChange });
  }

  /** The decision under way for an approval. */
  get(id) {
    return this.#entries.get(id);
  }

  get all() {
    return [...this.#entries.values()];
  }

  /** Those that can still be taken back, the newest last. */
  get held() {
    return this.all.filter((one) => one.phase === "held");
  }

  /** `{id, tool, choice, args?, message?, sha}`, sent after `ms`. */
  hold(decision, ms) {
    const entry = { ...decision, key: unique(), until: Date.now() + ms, whole: ms, phase: "held" };
    this.#entries.set(entry.id, entry);
    this.#changed();
    return entry;
  }

  /** Take it back; the decision, if it was still here. */
  undo(id) {
    const entry = this.#entries.get(id);
    if (entry?.phase !== "held") return undefined;
    this.#remove(id);
    return entry;
  }

  /** Stop trying to send what the server has not answered. */
  abandon(id) {
    const entry = this.#entries.get(id);
    if (entry?.phase === "retrying") this.#remove(id);
  }

  /** Do not wait for the end of the time to take back: one, or all. */
  sendNow(id) {
    this.#sendAll(this.held.filter((one) => id === undefined || one.id === id));
  }

  /** Called a few times a second. */
  tick() {
    const now = Date.now();
    const due = [];
    for (const entry of this.all) {
      if (entry.phase === "held" && now >= entry.until) {
        if (now - entry.until > LATE_MS) {
          this.#remove(entry.id);
          this.onLate(entry);
        } else {
          due.push(entry);
        }
      } else if (entry.phase === "retrying" && now >= entry.again) {
        due.push(entry);
      }
    }
    this.#sendAll(due);
  }

  #sendAll(entries) {
    const single = entries.length < 2 ? entries : [];
    for (const entry of single) this.#send(entry);
    for (let at = 0; at < entries.length && !single.length; at += MOST_AT_ONCE) {
      this.#sendMany(entries.slice(at, at + MOST_AT_ONCE));
    }
  }

  async #send(entry) {
    entry.phase = "sending";
    this.#changed();
    try {
      const path = `approvals/${encodeURIComponent(entry.id)}/decision`;
      const json = await this.api.post(path, body(entry), { "Idempotency-Key": entry.key });
      this.#arrived(entry, json);
    } catch (error) {
      this.#missed(entry, error);
    }
  }

  /** In one request, each decided for itself. */
  async #sendMany(entries) {
    for (const entry of entries) entry.phase = "sending";
    this.#changed();
    const decisions = entries.map((entry) => ({
      id: entry.id,
      idempotency_key: entry.key,
      ...body(entry),
    }));
    try {
      const { items } = await this.api.post("approvals/decisions", { decisions });
      entries.forEach((entry, index) => {
        const one = items[index];
        if (one.status === 200) this.#arrived(entry, one.approval);
        else this.#missed(entry, new Refused(one.status, one.detail, one));
      });
    } catch (error) {
      for (const entry of entries) this.#missed(entry, error);
    }
  }

  #arrived(entry, json) {
    this.#remove(entry.id);
    this.onSent(entry, json);
  }

  #missed(entry, error) {
    if (error instanceof Unreachable || (error instanceof Refused && error.status >= 500)) {
      // It may have arrived: the same key finds out without deciding twice.
      entry.phase = "retrying";
      entry.wait = Math.min((entry.wait ?? FIRST_WAIT_MS / 2) * 2, LONGEST_WAIT_MS);
      entry.again = Date.now() + entry.wait;
      this.#changed();
    } else {
      this.#remove(entry.id);
      this.onFailed(entry, error);
    }
  }

  #remove(id) {
    this.#entries.delete(id);
    this.#changed();
  }

  #changed() {
    // For a page that is loaded again: what was held then was not sent, and is to be told.
    const kept = this.all.map(({ id, tool, choice, message, args, phase }) => ({
      id,
      tool,
      choice,
      message,
      args,
      phase,
    }));
    if (kept.length) sessionStorage.setItem(HELD, stringify(kept));
    else sessionStorage.removeItem(HELD);
    this.onChange();
  }
}

function body({ choice, sha, args, message }) {
  const said = { decision: choice, args_sha256: sha, via: "console" };
  if (args) said.args = args;
  if (message) said.message = message;
  return said;
}

/** What a page that is gone had not sent, or not heard of; asked once. */
export function leftBehind() {
  try {
    const found = parse(sessionStorage.getItem(HELD) ?? "[]");
    sessionStorage.removeItem(HELD);
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

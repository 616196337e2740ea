// What waits: kept in step with the server by its stream, filtered and ordered for one person.

import { ENDS, ahead, read, searchable } from "./record.js";

const PAGE = 500;
const MOST = 5_000;

export class Queue {
  #items = new Map();
  filters = { q: "", tool: "", agent: "", critical: false };
  counts = {};
  loaded = false;

  constructor({ api, onEnded, onArrived, onEdited, onClock, onChange }) {
    Object.assign(this, { api, onEnded, onArrived, onEdited, onClock, onChange });
  }

  get(id) {
    return this.#items.get(id);
  }

  get size() {
    return this.#items.size;
  }

  get waiting() {
    return [...this.#items.values()].filter((one) => one.status === "pending");
  }

  /** All that waits or has just ended, what expires first at the top. */
  get all() {
    return [...this.#items.values()].sort(
      (a, b) => (a.expiresAt ?? Infinity) - (b.expiresAt ?? Infinity) || a.requestedAt - b.requestedAt,
    );
  }

  /** Those that the filters let through. */
  get shown() {
    const { q, tool, agent, critical } = this.filters;
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    return this.all.filter(
      (one) =>
        (!tool || one.tool === tool) &&
        (!agent || one.agent === agent) &&
        (!critical || one.critical) &&
        words.every((word) => searchable(one).includes(word)),
    );
  }

  /** The values that a filter can have. */
  values(name) {
    return [...new Set(this.all.map((one) => one[name]).filter(Boolean))].sort();
  }

  /** Everything that waits, as the stream begins with it; what it leaves out is asked for. */
  async begin({ items, total, counts }) {
    const all = [...items];
    while (all.length < Math.min(total, MOST)) {
      const query = { status: "pending", limit: PAGE, offset: all.length };
      const page = await this.api.get("approvals", query);
      if (!page.items.length) break;
      all.push(...page.items);
    }
    this.counts = counts ?? this.counts;
    const found = new Map(all.map((raw) => [raw.id, read(raw)]));
    for (const raw of all.slice(0, 1)) this.#clock(raw);
    const gone = this.waiting.filter((one) => !found.has(one.id));
    const fresh = [...found.values()].filter((one) => !this.#items.has(one.id));
    for (const [id, one] of found) this.#items.set(id, one);
    const known = this.loaded;
    this.loaded = true;
    if (known && fresh.length) this.onArrived(fresh);
    this.onChange();
    // How they ended, for those who looked at them.
    for (const one of gone) await this.look(one.id);
  }

  /** Ask for one anew; what is not there any more goes. */
  async look(id) {
    try {
      return this.put(await this.api.get(`approvals/${encodeURIComponent(id)}`));
    } catch (error) {
      if (error.status !== 404) throw error;
      this.drop(id);
      return undefined;
    }
  }

  /** It stands like this now (the API's JSON). `mine`: by what was done here. */
  put(raw, { mine = false } = {}) {
    this.#clock(raw);
    const now = read(raw);
    const before = this.#items.get(now.id);
    // A stream may tell what an answer has told already, in the order that things happened.
    if (before && ENDS.includes(before.status)) return before;
    if (now.status === "pending" || before) this.#items.set(now.id, now);
    if (!before && now.status === "pending" && this.loaded) this.onArrived([now]);
    if (before && ENDS.includes(now.status) && !mine) this.onEnded(now);
    else if (before && before.sha !== now.sha && !mine) this.onEdited(now);
    this.onChange();
    return now;
  }

  #clock(raw) {
    const found = ahead(raw);
    if (found !== undefined) this.onClock(found);
  }

  drop(id) {
    this.#items.delete(id);
    this.onChange();
  }
}

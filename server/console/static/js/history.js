// What was decided, newest first, and what the audit log says of one of them.

import { ENDS, read, searchable } from "./record.js";

const PAGE = 50;

export class History {
  items = [];
  total = 0;
  q = "";
  status = "";
  selected = null;
  entries = null;
  trouble = "";
  loading = false;
  #again = false;
  // What a link led to, which may be older than what is loaded.
  #linked;
  #wanted = PAGE;

  constructor({ api, onChange }) {
    Object.assign(this, { api, onChange });
  }

  get shown() {
    const words = this.q.toLowerCase().split(/\s+/).filter(Boolean);
    return this.items.filter((one) => words.every((word) => searchable(one).includes(word)));
  }

  get current() {
    return this.items.find((one) => one.id === this.selected) ?? this.#linked;
  }

  get more() {
    return this.items.length < this.total;
  }

  async refresh() {
    if (this.loading) {
      this.#again = true;
      return;
    }
    this.loading = true;
    this.onChange();
    try {
      do {
        this.#again = false;
        const query = { status: this.status || ENDS, limit: this.#wanted, offset: 0, order: "desc" };
        const page = await this.api.get("approvals", query);
        this.items = page.items.map(read);
        this.total = page.total;
        this.trouble = "";
      } while (this.#again);
    } catch (error) {
      this.trouble = error.detail ?? "The server does not answer.";
    }
    this.loading = false;
    this.onChange();
  }

  older() {
    this.#wanted = Math.min(this.#wanted + PAGE, 500);
    return this.refresh();
  }

  filter(changed) {
    const asked = "status" in changed && changed.status !== this.status;
    Object.assign(this, changed);
    if (asked) this.refresh();
    this.onChange();
  }

  move(step) {
    const shown = this.shown;
    if (!shown.length) return undefined;
    const at = shown.findIndex((one) => one.id === this.selected);
    return this.select(shown[Math.min(shown.length - 1, Math.max(0, at + step))].id);
  }

  async select(id) {
    this.selected = id;
    this.entries = null;
    this.#linked = undefined;
    this.onChange();
    if (!id) return;
    const path = encodeURIComponent(id);
    const [whole, audit] = await Promise.allSettled([
      this.api.get(`approvals/${path}`),
      this.api.get("audit", { approval_id: id, limit: 100 }),
    ]);
    if (this.selected !== id) return;
    if (whole.status === "fulfilled") {
      const now = read(whole.value);
      this.items = this.items.map((one) => (one.id === id ? now : one));
      this.#linked = now;
    }
    const failed = audit.status === "rejected";
    this.entries = failed
      ? { trouble: audit.reason.detail ?? "the server does not answer" }
      : { items: audit.value.items.toReversed() };
    this.onChange();
  }
}

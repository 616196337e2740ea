// What a run made: its files by name, type and size, images shown, each to be saved.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { Refused } from "./api.js";
import { safe } from "./value.js";

// Pictures of dots, which no browser takes for a page.
const SHOWN = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const LARGEST_SHOWN = 8 * 1024 * 1024;
const UNITS = ["bytes", "KiB", "MiB"];

/** The files of one run at a time; `changed` is called when there is more to be seen. */
export class RunFiles {
  #api;
  #changed;
  #run = "";
  #images = new Map();
  items = [];
  problem = "";

  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  /** Look what there is. A thread that is gone has none. */
  async load(run, thread) {
    if (run !== this.#run) this.clear();
    this.#run = run;
    let items = [];
    try {
      const found = await this.#api.get(`/threads/${encodeURIComponent(thread)}/files`, { origin: "run" });
      items = found.items.filter((one) => one.run_id === run);
    } catch (error) {
      if (!(error instanceof Refused)) return;
    }
    if (run !== this.#run) return;
    this.items = items;
    this.#changed();
    for (const one of items) if (SHOWN.has(one.media_type) && one.bytes <= LARGEST_SHOWN) this.#show(one);
  }

  clear() {
    for (const url of this.#images.values()) if (url) URL.revokeObjectURL(url);
    this.#images.clear();
    Object.assign(this, { items: [], problem: "" });
    this.#run = "";
  }

  /** A key goes with a request only, so an image is fetched and not linked to. */
  async #show(one) {
    if (this.#images.has(one.id)) return;
    const images = this.#images;
    const run = this.#run;
    images.set(one.id, "");
    try {
      const content = await this.#api.content(one.url);
      if (run !== this.#run) return;
      images.set(one.id, URL.createObjectURL(new Blob([content], { type: one.media_type })));
      this.#changed();
    } catch {
      // Its name is there, and saving it tells why.
      images.delete(one.id);
    }
  }

  async #save(event, one) {
    event.preventDefault();
    let url;
    try {
      const content = await this.#api.content(one.url, { download: true });
      // Of no type that a browser would open.
      url = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
      const link = Object.assign(document.createElement("a"), { href: url, download: base(one.name) });
      link.click();
      this.problem = "";
    } catch (error) {
      this.problem = error.detail ?? "The server does not answer; try again.";
    } finally {
      if (url) setTimeout(() => URL.revokeObjectURL(url), 60_000);
    }
    this.#changed();
  }

  view() {
    if (!this.items.length) return nothing;
    return html`<section class="files" aria-labelledby="files">
      <h2 id="files">Files</h2>
      <p class="error" role="alert">${this.problem ? safe(this.problem) : nothing}</p>
      <ul>${repeat(this.items, (one) => one.id, (one) => this.#item(one))}</ul>
    </section>`;
  }

  #item(one) {
    const url = this.#images.get(one.id);
    return html`<li>
      ${url ? html`<img src=${url} alt=${`What ${one.name} shows`} />` : nothing}
      <a href=${`..${one.url}?download=true`} @click=${(event) => this.#save(event, one)}>${safe(one.name)}</a>
      <span>${safe(one.media_type)}, ${size(Number(one.bytes))}</span>
    </li>`;
  }
}

/** How large, in words. */
export function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${UNITS[unit]}`;
}

function base(name) {
  return name.split("/").pop();
}

// The page's state: the connection, what is looked at, what is told.

import { Api, Refused, Unreachable } from "./api.js";
import { Desk } from "./desk.js";
import { History } from "./history.js";
import { prefer, preferences } from "./preferences.js";
import { Queue } from "./queue.js";
import * as words from "./words.js";

const PHONE = matchMedia("(max-width: 52rem)");
const ARRIVALS_MS = 1_500;
const NOTICE_MS = 7_000;
const NOTICES = 4;

export class App {
  view = "queue";
  link = "connecting";
  signin = null;
  selected = null;
  dialog = null;
  notices = [];
  said = { polite: "", urgent: "" };
  #ahead = 0;
  #arrived = 0;
  #reading = null;

  constructor({ draw }) {
    this.draw = draw;
    this.liked = preferences();
    this.api = new Api();
    this.queue = new Queue({
      api: this.api,
      onEnded: (one) => this.desk.ended(one),
      onEdited: (one) => this.desk.edited(one),
      onArrived: (fresh) => this.#arrivals(fresh),
      onClock: (ahead) => (this.#ahead = ahead),
      onChange: draw,
    });
    this.desk = new Desk(this);
    this.history = new History({ api: this.api, onChange: draw });
  }

  /** The server's time. */
  get now() {
    return Date.now() + this.#ahead;
  }

  get isPhone() {
    return PHONE.matches;
  }

  get current() {
    return this.selected ? this.queue.get(this.selected) : undefined;
  }

  start() {
    this.desk.recall();
    this.connect();
    addEventListener("popstate", () => this.#follow());
  }

  /** Look at what the address names: `#` and an approval's id. */
  #follow() {
    const id = decodeURIComponent(location.hash.slice(1));
    if (!id || this.queue.get(id)) {
      this.view = "queue";
      this.select(id || null, { focus: true });
    } else {
      this.show("history");
      this.history.select(id);
    }
  }

  /** Name in the address what is looked at; the way back from one on a phone is the browser's. */
  #name(id, before) {
    const address = `${location.pathname}${id ? `#${encodeURIComponent(id)}` : ""}`;
    if (location.hash === (id ? `#${encodeURIComponent(id)}` : "")) return;
    if (this.isPhone && id && !before) window.history.pushState(null, "", address);
    else window.history.replaceState(null, "", address);
  }

  // The server

  connect() {
    this.#reading?.abort();
    const { signal } = (this.#reading = new AbortController());
    this.signin = null;
    this.api
      .stream("approvals/stream", {
        signal,
        onState: (state) => this.#linked(state),
        onEvent: (event) => this.#event(event),
      })
      .catch((error) => this.refused(error));
  }

  #linked(state) {
    const before = this.link;
    this.link = state === "live" || navigator.onLine ? state : "offline";
    if (state === "broken" && before === "live") this.say("The connection is lost; reconnecting");
    if (state === "live" && this.queue.loaded) this.say("Connected again");
    this.draw();
  }

  async #event({ event, data }) {
    if (event === "snapshot") {
      const first = !this.queue.loaded;
      await this.queue.begin(data);
      if (first && location.hash) this.#follow();
      if (this.selected && !this.current) this.selected = null;
      if (!this.selected && !this.isPhone) this.select(this.queue.shown[0]?.id ?? null);
    } else if (event === "approval") {
      this.queue.counts = data.counts ?? this.queue.counts;
      this.queue.put(data.approval);
    }
  }

  /** The server does not let this key in. */
  refused(error) {
    if (error.status === 401) {
      this.signin = { message: this.api.key ? "This key is not known here." : "" };
      this.api.key = "";
    } else {
      this.signin = { message: `${words.capital(error.detail ?? error.message)}.` };
    }
    this.link = "broken";
    this.draw();
  }

  signIn(key) {
    this.api.key = key.trim();
    this.connect();
  }

  signOut() {
    this.api.key = "";
    location.reload();
  }

  #arrivals(fresh) {
    if (!this.#arrived) {
      setTimeout(() => {
        this.say(
          `${words.count(this.#arrived, "new request")}, ${this.queue.waiting.length} waiting`,
        );
        this.#arrived = 0;
      }, ARRIVALS_MS);
    }
    this.#arrived += fresh.length;
    if (!this.selected && !this.isPhone) this.select(this.queue.shown[0]?.id ?? null);
  }

  // Looking

  show(view) {
    this.view = view;
    this.dialog = null;
    if (view === "history") this.history.refresh();
    this.draw();
  }

  select(id, { focus = false } = {}) {
    const before = this.current;
    // What has ended stays for whoever looks at it, and no longer.
    if (before && before.status !== "pending" && before.id !== id) this.queue.drop(before.id);
    this.#name(id, this.selected);
    this.selected = id;
    this.draw({ focus });
  }

  move(step) {
    const shown = this.queue.shown;
    if (!shown.length) return;
    const at = shown.findIndex((one) => one.id === this.selected);
    const to = at < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, at + step));
    this.select(shown[to].id, { focus: true });
  }

  /** On to the next that can be decided, else stay. */
  advance(from) {
    const shown = this.queue.shown;
    const at = shown.findIndex((one) => one.id === from);
    const open = (one) => one.status === "pending" && !this.desk.outbox.get(one.id);
    const next = shown.slice(at + 1).find(open) ?? shown.slice(0, Math.max(at, 0)).findLast(open);
    this.select(next?.id ?? from, { focus: true });
  }

  filter(changed) {
    Object.assign(this.queue.filters, changed);
    this.draw();
  }

  open(dialog) {
    this.dialog = dialog;
    this.draw();
  }

  close() {
    const dialog = this.dialog;
    this.dialog = null;
    this.desk.closed(dialog);
    this.draw();
  }

  async showRun(one) {
    this.open({ kind: "run" });
    try {
      const path = `threads/${encodeURIComponent(one.threadId)}/runs/${encodeURIComponent(one.runId)}`;
      const run = await this.api.get(path);
      if (this.dialog?.kind === "run") this.open({ kind: "run", run });
    } catch (error) {
      if (this.dialog?.kind === "run") this.open({ kind: "run", trouble: this.trouble(error) });
    }
  }

  // Telling

  trouble(error) {
    if (error instanceof Unreachable) return "The server does not answer; try again in a moment.";
    return error instanceof Refused ? words.refusal(error) : `This page failed: ${error.message}`;
  }

  /** A line for people. `entry`: the decision it speaks of, which can be looked at again. */
  notify(tone, text, { entry = null, brief = false } = {}) {
    const notice = { tone, text, entry };
    this.notices = [...this.notices, notice].slice(-NOTICES);
    this.say(text, { urgent: tone === "bad" || tone === "warn" });
    if (brief) setTimeout(() => this.dismiss(notice), NOTICE_MS);
  }

  dismiss(notice) {
    this.notices = this.notices.filter((one) => one !== notice);
    this.draw();
  }

  /** Told to those who listen to the page. */
  say(text, { urgent = false } = {}) {
    this.said = urgent ? { polite: "", urgent: text } : { polite: text, urgent: "" };
    this.draw();
  }

  like(changed) {
    this.liked = { ...this.liked, ...changed };
    prefer(this.liked);
    this.draw();
  }
}

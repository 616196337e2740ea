// Deciding: one key, perhaps a reason or a second yes, time to take it back, and what came of it.

import { Form } from "./form.js";
import { Outbox, leftBehind } from "./outbox.js";
import { read } from "./record.js";
import * as words from "./words.js";

const REASONS = 3;
// How long nothing is decided by one key after the arguments changed before somebody's eyes.
const LOOK_AGAIN_MS = 2_000;

export class Desk {
  marked = new Set();
  reasons = [];
  me = "";
  #edited = new Map();

  constructor(app) {
    this.app = app;
    this.outbox = new Outbox({
      api: app.api,
      onSent: (entry, json) => this.#sent(entry, json),
      onFailed: (entry, error) => this.#failed(entry, error),
      onLate: (entry) =>
        app.notify("warn", `Not sent, because this page was asleep: ${told(entry)}.`, { entry }),
      onChange: app.draw,
    });
  }

  /** Tell what the page had under way when it was loaded again. */
  recall() {
    for (const entry of leftBehind()) {
      const words =
        entry.phase === "held"
          ? `Not sent, because the page was loaded again: ${told(entry)}.`
          : `It is not known whether this arrived: ${told(entry)}. See how it stands.`;
      this.app.notify("warn", words, { entry });
    }
  }

  // One key

  /** The first step: at once where nothing more is to be said. `draft`: what was written before. */
  begin(choice, { draft } = {}) {
    const { app } = this;
    const many = this.chosen.length > 0 && !draft;
    if (many && (choice === "approve" || choice === "reject")) return this.#beginMany(choice);
    const one = app.current;
    if (!one || this.#closed(one, choice)) return undefined;
    switch (choice) {
      case "approve":
        if (one.critical) return app.open({ kind: "confirm", one, choice });
        return this.hold(one, { choice });
      case "edit":
        this.claim(one, { quietly: true });
        return app.open({
          kind: "edit",
          one,
          message: draft?.message ?? "",
          form: new Form({ schema: one.schema, value: draft?.args ?? one.args, onChange: app.draw }),
        });
      default:
        return app.open({ kind: choice, one, message: draft?.message ?? "" });
    }
  }

  #beginMany(choice) {
    const chosen = this.chosen;
    const fit = chosen.filter((one) => one.open.includes(choice));
    const ones = choice === "approve" ? fit.filter((one) => !one.critical) : fit;
    const left = chosen.length - ones.length;
    this.app.open({ kind: "bulk", choice, ones, left, message: "" });
  }

  #closed(one, choice) {
    const entry = this.outbox.get(one.id);
    let why = "";
    if (entry) why = entry.phase === "held" ? "Decided already; u to undo" : "It is being sent";
    else if (one.status !== "pending") why = words.ending(one);
    else if (!one.open.includes(choice)) why = words.notOpen(one, choice);
    else if (Date.now() - (this.#edited.get(one.id) ?? 0) < LOOK_AGAIN_MS) why = words.EDITED;
    if (why) this.app.notify("plain", `${why}.`, { brief: true });
    return why !== "";
  }

  /** The second step: decided, and sent unless it is taken back in time. */
  hold(one, { choice, args, message }, { group, advance = true } = {}) {
    const { app } = this;
    const seconds = app.liked.undoSeconds;
    const tool = words.headline(one);
    app.dialog = null;
    this.marked.delete(one.id);
    this.outbox.hold({ id: one.id, tool, choice, args, message, sha: one.sha, group }, seconds * 1000);
    if (choice === "reject") {
      const others = this.reasons.filter((reason) => reason !== message);
      this.reasons = [message, ...others].slice(0, REASONS);
    }
    if (!advance) return;
    app.say(`${words.CHOICE[choice].doing} ${tool} in ${seconds} seconds; u to undo`);
    app.advance(one.id);
  }

  holdAll(ones, decision) {
    const { app } = this;
    const open = ones.filter((one) => app.queue.get(one.id)?.status === "pending");
    const group = open[0]?.id;
    for (const one of open) this.hold(one, decision, { group, advance: false });
    app.dialog = null;
    const doing = words.CHOICE[decision.choice].doing;
    app.say(`${doing} ${words.count(open.length, "request")} in ${app.liked.undoSeconds} seconds; u to undo`);
    if (app.selected) app.advance(app.selected);
  }

  /** Take the newest decision back, or the given one, with those that were decided with it. */
  undo(id = this.outbox.held.at(-1)?.id) {
    const { app } = this;
    const given = id && this.outbox.undo(id);
    if (!given) return app.say("Nothing to undo", { urgent: true });
    const rest = given.group
      ? this.outbox.held.filter((one) => one.group === given.group && this.outbox.undo(one.id))
      : [];
    const what = rest.length ? words.count(rest.length + 1, "decision") : told(given);
    app.say(`Taken back: ${what}`);
    app.view = "queue";
    return app.select(given.id, { focus: true });
  }

  // Many

  mark(id) {
    if (this.marked.has(id)) this.marked.delete(id);
    else this.marked.add(id);
    this.app.say(`${this.chosen.length} selected`);
  }

  unmark() {
    this.marked.clear();
    this.app.say("None selected");
  }

  /** Those marked that can still be decided. */
  get chosen() {
    return this.app.queue.waiting.filter(
      (one) => this.marked.has(one.id) && !this.outbox.get(one.id),
    );
  }

  // What came of it

  #sent(entry, json) {
    const { app } = this;
    const now = app.queue.put(json, { mine: true });
    this.me = now.decisions.at(-1)?.who ?? this.me;
    if (now.status === "pending") {
      const missing = words.count(now.quorum - now.consents, "more person has", "more people have");
      app.notify("good", `Counted: ${told(entry)}. ${missing} to agree.`, { brief: true });
    } else {
      const said = `${words.CHOICE[entry.choice].done} ${entry.tool}.`;
      app.notify("good", said, { brief: true });
    }
    if (now.status !== "pending" && app.selected === now.id) {
      if (app.queue.waiting.length) app.advance(now.id);
      else app.select(null);
    }
    this.#leave(now);
  }

  async #failed(entry, error) {
    const { app } = this;
    let now;
    if (error.body?.approval) now = app.queue.put(error.body.approval, { mine: true });
    else if (error.status !== 401) now = await app.queue.look(entry.id).catch(() => undefined);
    const why = words.refusal(error, now);
    const again = error.status === 401 || now?.status === "pending";
    app.notify("bad", `Not done: ${told(entry)}. ${why}`, { entry: again ? entry : null });
    if (error.status === 401) app.refused(error);
    if (now) this.#leave(now);
  }

  /** Somebody else, the clock or its run ended it. */
  ended(one) {
    const { app } = this;
    this.marked.delete(one.id);
    const entry = this.outbox.get(one.id);
    if (entry && this.outbox.undo(one.id)) {
      app.notify("warn", `Not sent: ${told(entry)}. ${words.ending(one)}.`);
    } else if (!entry) {
      const text = `${words.headline(one)}: ${words.ending(one)}.`;
      if (one.id === app.selected) app.say(text, { urgent: true });
      else app.notify("plain", text, { brief: true });
    }
    if (app.dialog?.one?.id === one.id) app.dialog = { ...app.dialog, over: words.ending(one) };
    this.#leave(one);
  }

  /** Somebody else agreed with other arguments: what waits now is not what was looked at. */
  edited(one) {
    this.#edited.set(one.id, Date.now());
    const who = one.decisions.at(-1)?.who || "Somebody";
    if (one.id === this.app.selected) {
      this.app.notify("warn", `${who} edited the arguments of ${words.headline(one)}. Look again.`);
    }
  }

  #leave(one) {
    const { app } = this;
    if (one.status !== "pending" && one.id !== app.selected) app.queue.drop(one.id);
    if (app.view === "history") app.history.refresh();
    app.draw();
  }

  /** Look at what a notice speaks of, with what was written for it. */
  async again(notice) {
    const { app } = this;
    app.dismiss(notice);
    app.view = "queue";
    const { id, choice } = notice.entry;
    const one = app.queue.get(id) ?? (await app.queue.look(id).catch(() => undefined));
    if (!one) return app.notify("plain", "It is over by now; the history has it.", { brief: true });
    app.select(id, { focus: true });
    if (one.status === "pending" && choice !== "approve") this.begin(choice, { draft: notice.entry });
    return undefined;
  }

  // Claims

  /** Who else is at it. */
  claimant(one) {
    const until = one.claimedUntil ?? 0;
    return one.claimedBy && one.claimedBy !== this.me && until > this.app.now ? one.claimedBy : "";
  }

  isMine(one) {
    return one.claimedBy !== "" && one.claimedBy === this.me;
  }

  /** Show the others that one is at it, or no more. `quietly`: for as long as a form is open. */
  async claim(one = this.app.current, { quietly = false } = {}) {
    const { app } = this;
    if (!one || one.status !== "pending" || (quietly && this.isMine(one))) return;
    if (this.isMine(one)) return this.release(one);
    try {
      const json = await app.api.post(`approvals/${encodeURIComponent(one.id)}/claim`);
      this.me = read(json).claimedBy || this.me;
      app.queue.put(json);
      if (quietly && app.dialog?.one.id === one.id) app.dialog.claimed = true;
      else if (quietly) await this.release(one);
      else app.say("Claimed: others see that you are at it");
    } catch (error) {
      if (!quietly) app.notify("bad", app.trouble(error), { brief: true });
    }
  }

  async release(one) {
    try {
      this.app.queue.put(await this.app.api.post(`approvals/${encodeURIComponent(one.id)}/release`));
      this.app.say("Released");
    } catch {
      // A claim ends by itself.
    }
  }

  /** A dialog was left without deciding. */
  closed(dialog) {
    if (dialog?.claimed) this.release(dialog.one);
  }
}

function told(entry) {
  return `${words.CHOICE[entry.choice].verb.toLowerCase()} ${entry.tool}`;
}

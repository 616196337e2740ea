// The queue: what waits on one side, one of it on the other.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { keyed } from "../vendor/lit-html/directives/keyed.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { brief, safe } from "./value.js";
import { detail } from "./view-detail.js";
import { CHOICE, STATUS, count, headline, left } from "./words.js";

const SOON_MS = 10 * 60_000;
const NOW_MS = 2 * 60_000;

export function queue(app) {
  const one = app.current;
  return html`<div class="split ${one ? "looks" : ""}">
    <section class="list" aria-label="Waiting requests">
      ${filters(app)}${many(app)}${rows(app)}
    </section>
    <section class="pane" aria-label="The request">
      ${one ? keyed(one.id, detail(app, one)) : nobody(app)}
    </section>
  </div>`;
}

/** How near the end is. */
export function urgency(one, now) {
  const ms = (one.expiresAt ?? Infinity) - now;
  if (ms <= NOW_MS) return "now";
  return ms <= SOON_MS ? "soon" : "calm";
}

function filters(app) {
  const { q, tool, agent, critical } = app.queue.filters;
  const pick = (name, label, value) => {
    const values = app.queue.values(name);
    if (values.length < 2 && !value) return nothing;
    return html`<select
      aria-label=${label}
      @change=${(event) => app.filter({ [name]: event.target.value })}
    >
      <option value="" .selected=${!value}>${label}</option>
      ${values.map((one) => html`<option value=${one} .selected=${one === value}>${safe(one)}</option>`)}
    </select>`;
  };
  return html`<div class="filters" role="search">
    <input
      type="search"
      id="search"
      placeholder="Search"
      aria-label="Search the waiting requests"
      aria-keyshortcuts="/"
      .value=${live(q)}
      @input=${(event) => app.filter({ q: event.target.value })}
    />
    ${pick("tool", "All tools", tool)}${pick("agent", "All agents", agent)}
    <label class="check"
      ><input
        type="checkbox"
        .checked=${live(critical)}
        @change=${(event) => app.filter({ critical: event.target.checked })}
      />Critical</label
    >
  </div>`;
}

function many(app) {
  const chosen = app.desk.chosen;
  if (!chosen.length) return nothing;
  return html`<div class="many" role="group" aria-label="Selected requests">
    <span>${chosen.length} selected</span>
    <button @click=${() => app.desk.begin("approve")}>Approve</button>
    <button @click=${() => app.desk.begin("reject")}>Reject</button>
    <button class="quiet-button" @click=${() => app.desk.unmark()}>Clear</button>
  </div>`;
}

function rows(app) {
  const shown = app.queue.shown;
  if (!app.queue.loaded) return html`<p class="nothing">Loading…</p>`;
  if (!shown.length) {
    const hidden = app.queue.size;
    return html`<p class="nothing">
      ${hidden ? `No match among ${count(hidden, "request")}` : "Nothing waits"}
    </p>`;
  }
  const stop = shown.some((one) => one.id === app.selected) ? app.selected : shown[0].id;
  return html`<ul class="rows">
    ${repeat(
      shown,
      (one) => one.id,
      (one) => row(app, one, stop),
    )}
  </ul>`;
}

// `stop`: the one that Tab reaches; arrows, j and k go on from there.
function row(app, one, stop) {
  const entry = app.desk.outbox.get(one.id);
  const over = one.status !== "pending";
  const other = app.desk.claimant(one);
  const time = over ? STATUS[one.status] : left((one.expiresAt ?? Infinity) - app.now);
  return html`<li class="row ${urgency(one, app.now)} ${entry || over ? "leaving" : ""}">
    <input
      type="checkbox"
      tabindex=${app.liked.letters ? -1 : 0}
      aria-label=${`Select ${headline(one)}`}
      .checked=${live(app.desk.marked.has(one.id))}
      ?disabled=${over || Boolean(entry)}
      @change=${() => app.desk.mark(one.id)}
    />
    <button
      class="open"
      data-id=${one.id}
      tabindex=${stop === one.id ? 0 : -1}
      aria-current=${app.selected === one.id ? "true" : "false"}
      @click=${() => app.select(one.id, { focus: app.isPhone })}
    >
      <span class="line">
        <span class="tool">${safe(headline(one))}</span>
        ${one.critical ? html`<span class="badge critical">critical</span>` : nothing}
        <span class="left">${entry ? `${CHOICE[entry.choice].doing.replace(/:$/, "")}…` : time}</span>
      </span>
      <span class="summary">${safe(brief(one.args))}</span>
      <span class="from">
        ${safe(one.agent || "a graph")}${one.requestedBy ? html` for ${safe(one.requestedBy)}` : nothing}
        ${one.quorum > 1 ? html`<span class="badge">${one.consents} of ${one.quorum} agree</span>` : nothing}
        ${other ? html`<span class="badge claimed">${safe(other)} is at it</span>` : nothing}
        ${app.desk.isMine(one) ? html`<span class="badge">yours</span>` : nothing}
      </span>
    </button>
  </li>`;
}

function nobody(app) {
  if (!app.queue.loaded) return nothing;
  return html`<div class="nobody">
    <img src="static/mark.svg" alt="" width="56" height="56" />
    <h2>${app.queue.size ? "Choose a request" : "Nothing waits for you"}</h2>
    <p class="quiet">
      ${app.queue.size ? "j and k move through the list" : "New requests appear here by themselves."}
    </p>
  </div>`;
}

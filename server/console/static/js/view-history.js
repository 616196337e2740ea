// What was decided, and by whom: a list to search, and for each its entries in the audit log.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { keyed } from "../vendor/lit-html/directives/keyed.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { changes, difference } from "./diff.js";
import { ENDS, winner } from "./record.js";
import { brief, safe, some } from "./value.js";
import { facts } from "./view-detail.js";
import { STATUS, capital, clock, count, day, ending, headline } from "./words.js";

export function history(app) {
  const one = app.history.current;
  return html`<div class="split ${one ? "looks" : ""}">
    <section class="list" aria-label="Decided requests">${filters(app)}${rows(app)}</section>
    <section class="pane" aria-label="The decided request">
      ${one
        ? keyed(one.id, past(app, one))
        : html`<div class="nobody">
            <img src="static/mark.svg" alt="" width="56" height="56" />
            <h2>${app.history.items.length ? "Choose a decision" : "No decisions yet"}</h2>
            <p class="quiet">What was decided is listed here, with its entries in the audit log.</p>
          </div>`}
    </section>
  </div>`;
}

function filters(app) {
  const { q, status } = app.history;
  return html`<div class="filters" role="search">
    <input
      type="search"
      id="search"
      placeholder="Search"
      aria-label="Search the decided requests"
      aria-keyshortcuts="/"
      .value=${live(q)}
      @input=${(event) => app.history.filter({ q: event.target.value })}
    />
    <select
      aria-label="How it ended"
      @change=${(event) => app.history.filter({ status: event.target.value })}
    >
      <option value="" .selected=${!status}>All endings</option>
      ${ENDS.map((one) => html`<option value=${one} .selected=${one === status}>${capital(STATUS[one])}</option>`)}
    </select>
  </div>`;
}

function rows(app) {
  const { shown, trouble, loading, items, more, total } = app.history;
  if (trouble) return html`<p class="nothing error">${safe(capital(trouble))}</p>`;
  if (!shown.length) {
    const words = items.length ? `No match among ${count(items.length, "decision")}` : "No decisions yet";
    return html`<p class="nothing">${loading && !items.length ? "Loading…" : words}</p>`;
  }
  const stop = shown.some((one) => one.id === app.history.selected) ? app.history.selected : shown[0].id;
  return html`<ul class="rows">
      ${repeat(
        shown,
        (one) => one.id,
        (one) => row(app, one, stop),
      )}
    </ul>
    ${more
      ? html`<p class="nothing">
          <button ?disabled=${loading} @click=${() => app.history.older()}>
            Older ones (${total - items.length})
          </button>
        </p>`
      : nothing}`;
}

function row(app, one, stop) {
  const said = winner(one);
  return html`<li class="row past">
    <button
      class="open"
      data-id=${one.id}
      tabindex=${stop === one.id ? 0 : -1}
      aria-current=${app.history.selected === one.id ? "true" : "false"}
      @click=${() => app.history.select(one.id)}
    >
      <span class="line">
        <span class="tool">${safe(headline(one))}</span>
        <span class="badge ${one.status}">${STATUS[one.status]}</span>
        <span class="left">${day(one.decidedAt ?? one.expiresAt)}</span>
      </span>
      <span class="summary">${safe(brief(one.args))}</span>
      <span class="from">
        ${safe(said && !["expired", "cancelled"].includes(one.status) ? `by ${said.who}` : one.agent)}
        ${some(said?.message, () => html`<span class="reason">“${safe(brief(said.message, 80))}”</span>`)}
      </span>
    </button>
  </li>`;
}

function past(app, one) {
  return html`<article class="request" aria-labelledby="headline">
    <div class="scroll">
      <div class="back-row">
        <button class="back" @click=${() => app.history.select(null)}>‹ All decisions</button>
      </div>
      <header class="head">
        <p class="asks">
          ${safe(one.agent || "A graph")}${one.requestedBy ? html` <span class="quiet">for</span> ${safe(one.requestedBy)}` : nothing}
        </p>
        <h2 id="headline" tabindex="-1">${safe(headline(one))}</h2>
      </header>
      <p class="banner ${one.status}">
        ${safe(ending(one))}${one.usedAt ? html`. <span class="quiet">The call was let run at ${clock(one.usedAt)}.</span>` : nothing}
      </p>
      ${facts(app, one, audit(app))}
    </div>
  </article>`;
}

function audit(app) {
  const { entries } = app.history;
  const content = !entries
    ? html`<p class="quiet">Loading…</p>`
    : entries.trouble
      ? html`<p class="error">${safe(capital(entries.trouble))}</p>`
      : html`<ol class="audit">
          ${entries.items.map(
            (one) => html`<li>
              <span class="quiet number">#${one.seq}</span>
              <strong>${safe(capital(String(one.kind ?? "").replaceAll("_", " ")))}</strong>
              ${some(one.choice, () => html`<span>${safe(one.choice)}</span>`)}
              ${some(one.who, () => html`<span>by ${safe(one.who)}</span>`)}
              <span class="quiet">${day(Date.parse(one.at))}${one.via ? ` via ${one.via}` : nothing}</span>
              ${some(one.message, () => html`<blockquote>${safe(one.message)}</blockquote>`)}
              ${one.args_before && one.args_after && changes(one.args_before, one.args_after).length
                ? difference(one.args_before, one.args_after)
                : nothing}
              ${some(one.hash, () => html`<code class="hash" title=${one.hash}>${String(one.hash).slice(0, 16)}</code>`)}
            </li>`,
          )}
        </ol>`;
  return html`<section class="part"><h3>Audit log</h3>${content}</section>`;
}

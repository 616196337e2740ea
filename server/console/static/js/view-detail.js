// One request, whole: what is to be done, who wants it, why somebody has to say yes, and what is known.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { changes, difference } from "./diff.js";
import { prose, safe, some, table } from "./value.js";
import { urgency } from "./view-queue.js";
import * as words from "./words.js";
import { CHOICE, ago, clock, count, day, ending, headline, left, money } from "./words.js";

export function detail(app, one) {
  const over = one.status !== "pending";
  const entry = app.desk.outbox.get(one.id);
  return html`<article class="request" aria-labelledby="headline">
    <div class="scroll">
      <div class="back-row">
        <button class="back" @click=${() => app.select(null)}>‹ All requests</button>
        ${over ? nothing : claims(app, one)}
      </div>
      ${head(app, one)}
      ${over ? html`<p class="banner ${one.status}">${safe(ending(one))}</p>` : nothing}
      ${entry?.phase === "held"
        ? html`<p class="banner held-here">
            ${CHOICE[entry.choice].doing} it in ${Math.max(0, Math.ceil((entry.until - Date.now()) / 1000))} s.
            <button class="link" @click=${() => app.desk.undo(one.id)}>Undo</button>
          </p>`
        : nothing}
      ${facts(app, one)}
    </div>
    ${over ? nothing : actions(app, one, Boolean(entry))}
  </article>`;
}

/** The parts that history shows as well; `also` stands under the arguments. */
export function facts(app, one, also = nothing) {
  return html`<div class="facts">
    <div>
      ${edited(one) ? part("What was edited", difference(one.asked, one.args)) : nothing}
      ${part(edited(one) ? "Arguments now" : "Arguments", table(one.args))} ${why(one)} ${people(one)}
      ${also}
    </div>
    <div>
      ${some(one.question, () => part("The question", html`<div class="prose">${prose(one.question)}</div>`))}
      ${some(one.plan, () => part("The plan so far", steps(one.plan)))}
      ${some(one.done, () => part("Done so far", steps(one.done)))}
      ${some(one.evidence, () => part(`Evidence (${one.evidence.length})`, evidence(one.evidence)))}
      ${spent(app, one)}
    </div>
  </div>`;
}

function edited(one) {
  return changes(one.asked, one.args).length > 0;
}

function part(title, content) {
  return html`<section class="part"><h3>${title}</h3>${content}</section>`;
}

function head(app, one) {
  const over = one.status !== "pending";
  const ms = (one.expiresAt ?? Infinity) - app.now;
  const whole = Math.max(1, (one.expiresAt ?? 0) - (one.requestedAt ?? 0));
  const other = app.desk.claimant(one);
  return html`<header class="head ${urgency(one, app.now)}">
    <p class="asks">
      ${safe(one.agent || "A graph")}${one.requestedBy ? html` <span class="quiet">for</span> ${safe(one.requestedBy)}` : nothing}
      <span class="quiet">${one.kind === "tool" ? "wants to use" : "asks"}</span>
    </p>
    <h2 id="headline" tabindex="-1">
      ${safe(headline(one))}${one.critical ? html` <span class="badge critical">critical</span>` : nothing}
    </h2>
    ${some(one.description !== one.reason && one.kind !== "interrupt" ? one.description : "", () => html`<p class="description">${safe(one.description)}</p>`)}
    ${over
      ? nothing
      : html`<div class="clock">
          <svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
            <rect width=${(100 * Math.max(0, Math.min(whole, ms))) / whole} height="1"></rect>
          </svg>
          <span><strong>${left(ms)}</strong>${ms > 0 ? " left" : nothing}</span>
          <span class="quiet">asked ${ago(app.now - one.requestedAt)}</span>
        </div>`}
    ${other
      ? html`<p class="claim"><strong>${safe(other)}</strong> is at it. You can still decide.</p>`
      : nothing}
  </header>`;
}

function why(one) {
  if (!one.rule && !one.reason) return nothing;
  return part(
    "Why a person is asked",
    html`<div class="why">
      ${one.reason ? html`<p>${safe(one.reason)}</p>` : nothing}
      ${one.rule ? html`<p class="rule"><span class="quiet">Rule</span> <code>${safe(one.rule)}</code></p>` : nothing}
      <p class="quiet">
        ${one.onExpiry === "fail" ? "If nobody decides in time, the run ends." : "If nobody decides in time, the call does not run."}
        ${one.remember ? " The answer holds for equal calls of this run." : nothing}
        ${one.place ? ` It is request ${one.place.index + 1} of ${one.place.of} that the run waits for.` : nothing}
      </p>
    </div>`,
  );
}

function people(one) {
  if (!one.decisions.length && one.quorum < 2) return nothing;
  const missing = one.quorum - one.consents;
  return part(
    "Who said what",
    html`
      ${one.quorum > 1
        ? html`<p>
            ${count(one.quorum, "person has", "people have")} to agree.
            ${one.status === "pending" ? html`<strong>${count(missing, "more is", "more are")} needed.</strong>` : nothing}
          </p>`
        : nothing}
      <ol class="said">
        ${one.decisions.map(
          (said) => html`<li>
            <strong>${safe(said.who)}</strong> ${(CHOICE[said.choice]?.done ?? said.choice).toLowerCase().replace(/:$/, "").replace("answered in place of", "answered in its place")}
            <span class="quiet">${clock(said.at)}${said.via && said.via !== "api" ? ` via ${said.via}` : nothing}</span>
            ${some(said.message, () => html`<blockquote>${prose(said.message)}</blockquote>`)}
          </li>`,
        )}
      </ol>
    `,
  );
}

function steps(list) {
  if (list.length === 1) return html`<div class="prose">${prose(list[0])}</div>`;
  return html`<ol class="steps">${list.map((one) => html`<li>${prose(one)}</li>`)}</ol>`;
}

function evidence(list) {
  return html`<ul class="evidence">
    ${list.map((one) => {
      if (typeof one !== "object" || one === null) return html`<li>${prose(String(one))}</li>`;
      const page = one.page ? `, page ${one.page}` : "";
      return html`<li>
        <p class="source">${safe(one.title || one.source || "A source")}${page}</p>
        ${some(one.title ? one.source : "", () => html`<p class="quiet">${safe(one.source)}</p>`)}
        ${some(one.text, () => html`<blockquote>${prose(String(one.text))}</blockquote>`)}
      </li>`;
    })}
  </ul>`;
}

function spent(app, one) {
  const usage = one.usage;
  const told = usage
    ? [
        ["Cost so far", money(usage.cost)],
        ["Tokens", ((usage.input_tokens ?? 0) + (usage.output_tokens ?? 0)).toLocaleString("en")],
        ["Model calls", usage.model_calls],
        ["Tool calls", usage.tool_calls],
        ["Active time", usage.seconds === undefined ? undefined : left(usage.seconds * 1000 || 1)],
      ].filter(([, value]) => value !== undefined)
    : [];
  return part(
    "The run",
    html`<dl class="figures">
      ${told.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
      <div><dt>Asked</dt><dd>${day(one.requestedAt)}</dd></div>
      ${one.expiresAt ? html`<div><dt>Expires</dt><dd>${day(one.expiresAt)}</dd></div>` : nothing}
      <div><dt>Decided by</dt><dd>${one.roles.join(" or ") || "operators"}</dd></div>
    </dl>
    <p class="ids">
      <button class="link" @click=${() => app.showRun(one)}>Look at the run</button>
      <span class="quiet">thread <code>${safe(one.threadId)}</code></span>
      <span class="quiet">arguments <code>${one.sha.slice(0, 12)}</code></span>
    </p>`,
  );
}

function actions(app, one, busy) {
  const button = (choice) => html`<button
    class=${`act ${choice}`}
    aria-keyshortcuts=${CHOICE[choice].key}
    ?disabled=${busy || !one.open.includes(choice)}
    @click=${() => app.desk.begin(choice)}
  >
    ${CHOICE[choice].verb}<kbd aria-hidden="true">${CHOICE[choice].key}</kbd>
  </button>`;
  return html`<div class="actions" role="group" aria-label="Decide">
    ${one.open.length ? nothing : html`<p class="quiet">${words.notOpen(one)}.</p>`}
    ${["approve", "edit", "reject", "respond"].map(button)}
    ${claims(app, one)}
  </div>`;
}

function claims(app, one) {
  return html`<button
    class="quiet-button claims"
    aria-keyshortcuts="c"
    title="Show the others that you are at it"
    @click=${() => app.desk.claim(one)}
  >
    ${app.desk.isMine(one) ? "Release" : "Claim"}<kbd aria-hidden="true">c</kbd>
  </button>`;
}

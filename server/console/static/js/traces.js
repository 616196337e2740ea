// A run's trace as a page: asked for by its id, drawn as a waterfall, read with keys.

import { html, nothing, render, svg } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { Api, Refused } from "./api.js";
import { stringify } from "./exact.js";
import { RunFiles } from "./files.js";
import { safe } from "./value.js";
import { bar, extent, rows, seconds, time } from "./waterfall.js";

const AGAIN_MS = 2_000;
const WORKING = new Set(["pending", "running"]);
const CHECKPOINT = "checkpoint";
const CONVERSATION = "gen_ai.conversation.id";
const DEEPEST = 7;

const root = document.getElementById("app");
const api = new Api();
const state = { run: "", trace: null, problem: "", signin: null, folded: new Set(), at: "", full: false };
const files = new RunFiles(api, () => draw());
let timer;

function draw({ focus = false } = {}) {
  render(page(), root);
  document.title = state.run ? `${state.run.slice(0, 8)} · Traces · Counterpoint` : "Traces · Counterpoint";
  if (focus) root.querySelector(`tr[aria-selected="true"]`)?.focus();
}

async function load() {
  clearTimeout(timer);
  const run = (state.run = decodeURIComponent(location.hash.slice(1)));
  if (!run) return draw();
  try {
    const trace = plain(await api.get(`/runs/${encodeURIComponent(run)}/trace`));
    if (run !== state.run) return;
    Object.assign(state, { trace, problem: "", signin: null });
    if (!trace.spans.some((one) => one.id === state.at)) state.at = trace.spans[0]?.id ?? "";
    if (WORKING.has(trace.status)) timer = setTimeout(load, AGAIN_MS);
    // They come when they are there: the trace does not wait for them.
    files.load(run, trace.spans[0]?.attributes[CONVERSATION] ?? "");
  } catch (error) {
    const away = error instanceof Refused && [401, 403].includes(error.status);
    state.signin = away ? { message: api.key ? `${error.detail}.` : "" } : null;
    state.problem = away ? "" : (error.detail ?? "The server does not answer; try again.");
    if (!away) state.trace = null;
  }
  draw();
}

/** Times and counts are nothing that could lose digits that matter. */
function plain(given) {
  return JSON.parse(stringify(given));
}

function page() {
  return html`
    <header class="bar-top">
      <a class="skip" href="#main" @click=${skip}>Skip to the trace</a>
      <a class="home" href="../console"><img src="static/mark.svg" alt="" width="22" height="22" /><span>Counterpoint</span></a>
      <form role="search" @submit=${look}>
        <label class="sr-only" for="run">Run</label>
        <input id="run" name="run" autocomplete="off" spellcheck="false" placeholder="The id of a run" .value=${state.run} />
        <button type="submit">Show</button>
      </form>
      ${api.key ? html`<button class="quiet-button" @click=${signOut}>Sign out</button>` : nothing}
    </header>
    <main id="main" tabindex="-1">${state.signin ? signIn() : body()}</main>
  `;
}

function body() {
  if (state.problem) return html`<h1 class="sr-only">Traces</h1><p class="error" role="alert">${safe(state.problem)}</p>`;
  if (!state.trace) return html`<h1>Traces</h1><p>Give the id of a run to see what it did, and when. <code>counterpoint runs list</code> has them.</p>`;
  const { trace } = state;
  const shown = rows(trace.spans, { folded: state.folded, hidden: (name) => name === CHECKPOINT && !state.full });
  const within = extent(trace.spans);
  const chosen = trace.spans.find((one) => one.id === state.at);
  return html`
    <h1 class="sr-only">Trace of run ${trace.run_id}</h1>
    ${facts(trace, within)}
    ${files.view()}
    <div class="options">
      <label><input type="checkbox" .checked=${state.full} @change=${checkpoints} />Checkpoints</label>
      <span>Arrow keys move, fold and unfold.</span>
      ${trace.left_out ? html`<span class="wrong">${trace.left_out} batches of spans found no room.</span>` : nothing}
    </div>
    <table class="waterfall" role="treegrid" aria-label="Spans" @keydown=${keys}>
      <thead>
        <tr role="row"><th class="what" role="columnheader">What</th><th role="columnheader">When</th><th class="took" role="columnheader">Took</th></tr>
      </thead>
      <tbody>${repeat(shown, (one) => one.span.id, (one) => row(one, within))}</tbody>
    </table>
    ${chosen ? details(chosen, within) : nothing}
  `;
}

function facts(trace, within) {
  const chats = trace.spans.filter((one) => one.attributes["gen_ai.operation.name"] === "chat");
  const sum = (name) => chats.reduce((total, one) => total + (one.attributes[name] ?? 0), 0);
  const cost = sum("counterpoint.cost_usd");
  const told = [
    ["Run", trace.run_id],
    ["Status", trace.status],
    ["From first to last", seconds(within.total)],
    ["Model calls", chats.length],
    ["Tokens in, out", `${sum("gen_ai.usage.input_tokens")}, ${sum("gen_ai.usage.output_tokens")}`],
    ...(cost ? [["Cost", `$${cost.toFixed(4)}`]] : []),
  ];
  return html`<dl class="facts">${told.map(([name, value]) => html`<div><dt>${name}</dt><dd>${safe(value)}</dd></div>`)}</dl>`;
}

function row({ span, depth, opens, folded, number, of }, within) {
  const at = bar(span, within);
  const chosen = span.id === state.at;
  return html`<tr
    role="row"
    data-id=${span.id}
    tabindex=${chosen ? 0 : -1}
    aria-level=${depth}
    aria-posinset=${number}
    aria-setsize=${of}
    aria-selected=${chosen}
    aria-expanded=${opens ? String(!folded) : nothing}
    @click=${() => choose(span.id, { twist: chosen && opens })}
  >
    <td class="what" role="gridcell">
      <span class="d${Math.min(depth, DEEPEST)}"><span class="twist" aria-hidden="true">${opens ? (folded ? "▸" : "▾") : ""}</span><span class=${span.error ? "wrong" : ""}>${safe(span.name)}</span></span>
    </td>
    <td role="gridcell">
      <svg class="track" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
        ${svg`<rect class=${at.kind} x=${at.x.toFixed(2)} y="1" width=${at.width.toFixed(2)} height="8"></rect>`}
      </svg>
      <span class="sr-only">after ${seconds(span.start - within.begin)}</span>
    </td>
    <td class="took number" role="gridcell">${time(span)}</td>
  </tr>`;
}

function details(span, within) {
  const told = [
    ["began", `${new Date(span.start * 1000).toISOString()}, after ${seconds(span.start - within.begin)}`],
    ["took", time(span)],
    ...(span.error ? [["error.type", span.error]] : []),
    ...Object.entries(span.attributes).map(([name, value]) => [name, typeof value === "string" ? value : stringify(value)]),
    ...(span.links ?? []).map((link) => [`link: ${link.why}`, linked(link)]),
  ];
  return html`<section class="details" aria-label="The chosen span">
    <h2>${safe(span.name)}</h2>
    <dl>${told.map(([name, value]) => html`<dt>${safe(name)}</dt><dd>${typeof value === "string" ? safe(value) : value}</dd>`)}</dl>
  </section>`;
}

function linked(link) {
  const here = state.trace.spans.find((one) => one.id === link.span_id);
  if (!here) return `trace ${link.trace_id}, span ${link.span_id}`;
  return html`<button class="link" @click=${() => choose(here.id)}>${safe(here.name)}</button>`;
}

function choose(id, { twist = false } = {}) {
  state.at = id;
  if (twist) fold(id, !state.folded.has(id));
  draw({ focus: true });
}

function fold(id, folds) {
  if (folds) state.folded.add(id);
  else state.folded.delete(id);
}

function keys(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const all = [...root.querySelectorAll("tr[data-id]")];
  const now = all.findIndex((one) => one.dataset.id === state.at);
  const level = (one) => Number(one.getAttribute("aria-level"));
  const here = all[now];
  if (!here) return;
  const opens = here.getAttribute("aria-expanded");
  let next = now;
  if (event.key === "ArrowDown") next = now + 1;
  else if (event.key === "ArrowUp") next = now - 1;
  else if (event.key === "Home") next = 0;
  else if (event.key === "End") next = all.length - 1;
  else if (event.key === "ArrowRight" && opens === "false") fold(state.at, false);
  else if (event.key === "ArrowRight" && opens === "true") next = now + 1;
  else if (event.key === "ArrowLeft" && opens === "true") fold(state.at, true);
  else if (event.key === "ArrowLeft") next = all.findLastIndex((one, place) => place < now && level(one) < level(here));
  else return;
  event.preventDefault();
  choose(all[Math.min(Math.max(next, 0), all.length - 1)].dataset.id);
}

function checkpoints(event) {
  state.full = event.target.checked;
  draw();
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function look(event) {
  event.preventDefault();
  const run = event.target.elements.run.value.trim();
  if (location.hash.slice(1) === encodeURIComponent(run)) load();
  else location.hash = encodeURIComponent(run);
}

function signIn() {
  const send = (event) => {
    event.preventDefault();
    api.key = event.target.elements.key.value.trim();
    load();
  };
  return html`<div class="asks">
    <h1>Sign in</h1>
    <form @submit=${send}>
      <p>This server asks for a key. It is kept for this tab only, until you close it.</p>
      <label for="key">API key</label>
      <input id="key" name="key" type="password" autocomplete="off" required />
      <p class="error" role="alert">${state.signin.message ? safe(state.signin.message) : nothing}</p>
      <button class="primary" type="submit">Sign in</button>
    </form>
  </div>`;
}

function signOut() {
  api.key = "";
  files.clear();
  Object.assign(state, { trace: null, problem: "" });
  load();
}

addEventListener("hashchange", () => {
  files.clear();
  Object.assign(state, { trace: null, problem: "", at: "", folded: new Set() });
  load();
});
draw();
load();

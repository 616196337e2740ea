// The frame around it all: the name, the tabs, the connection, notices, the sign-in.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { safe } from "./value.js";
import { dialogs } from "./view-dialogs.js";
import { history } from "./view-history.js";
import { queue } from "./view-queue.js";
import { CHOICE, STATE } from "./words.js";

export function page(app) {
  return html`
    ${header(app)}
    ${app.signin ? signIn(app) : html`<main id="main" tabindex="-1">${app.view === "queue" ? queue(app) : history(app)}</main>`}
    <aside class="stack" aria-label="Decisions on their way">${held(app)}${notices(app)}</aside>
    ${dialogs(app)}
    <div class="sr-only" role="status" aria-live="polite">${safe(app.said.polite)}</div>
    <div class="sr-only" role="alert" aria-live="assertive">${safe(app.said.urgent)}</div>
  `;
}

function header(app) {
  const tab = (view, label, number) =>
    html`<button
      class="tab"
      aria-current=${app.view === view ? "page" : "false"}
      @click=${() => app.show(view)}
    >
      ${label}${number === undefined ? nothing : html`<span class="number-badge">${number}</span>`}
    </button>`;
  return html`<header class="top">
    <a class="skip" href="#main">Skip to the requests</a>
    <a class="brand" href="../console" aria-label="Counterpoint, all of the console">
      <img src="static/mark.svg" alt="" width="22" height="22" /><span>Counterpoint</span>
    </a>
    <h1 class="sr-only">Approvals</h1>
    <nav aria-label="Approvals">
      ${tab("queue", "Queue", app.queue.loaded ? app.queue.all.filter((one) => one.status === "pending").length : undefined)}
      ${tab("history", "History")}
    </nav>
    <span class="link-state ${app.link}"><span class="dot" aria-hidden="true"></span>${STATE[app.link]}</span>
    ${app.api.key
      ? html`<button class="quiet-button signs-out" @click=${() => app.signOut()}>Sign out</button>`
      : nothing}
    <button class="quiet-button" aria-label="Help and settings" @click=${() => app.open({ kind: "help" })}>?</button>
  </header>`;
}

function signIn(app) {
  const send = (event) => {
    event.preventDefault();
    app.signIn(event.target.elements.key.value);
  };
  return html`<main id="main" class="sign-in" tabindex="-1">
    <form @submit=${send}>
      <h2>Sign in</h2>
      <p>This server asks for a key. It is kept for this tab only, until you close it.</p>
      <label for="key">API key of an operator</label>
      <input id="key" name="key" type="password" autocomplete="off" required aria-describedby="key-error" />
      <p class="error" id="key-error" role="alert">${app.signin.message || nothing}</p>
      <button class="primary" type="submit">Sign in</button>
    </form>
  </main>`;
}

function held(app) {
  const newest = app.desk.outbox.held.at(-1);
  return repeat(
    app.desk.outbox.all,
    (entry) => entry.id,
    (entry) => {
      const seconds = Math.max(0, Math.ceil((entry.until - Date.now()) / 1000));
      const words = html`<strong>${CHOICE[entry.choice].doing}</strong> ${safe(entry.tool)}`;
      if (entry.phase === "held") {
        return html`<div class="held ${entry.choice}">
          <progress max=${entry.whole} value=${Math.max(0, entry.until - Date.now())} aria-label="Time to undo"></progress>
          <p>${words} <span class="quiet">in ${seconds} s</span></p>
          <button @click=${() => app.desk.undo(entry.id)}>Undo${entry === newest ? html`<kbd aria-hidden="true">u</kbd>` : nothing}</button>
          <button class="quiet-button" @click=${() => app.desk.outbox.sendNow(entry.id)}>Send now</button>
        </div>`;
      }
      return html`<div class="held ${entry.choice}">
        <p>
          ${words}
          <span class="quiet"
            >${entry.phase === "sending"
              ? "is being sent"
              : "was not answered: it is sent again, and counts once"}</span
          >
        </p>
        ${entry.phase === "retrying"
          ? html`<button class="quiet-button" @click=${() => app.desk.outbox.abandon(entry.id)}>Stop trying</button>`
          : nothing}
      </div>`;
    },
  );
}

function notices(app) {
  return repeat(
    app.notices,
    (notice) => notice,
    (notice) => html`<div class="notice ${notice.tone}">
      <p>${safe(notice.text)}</p>
      ${notice.entry ? html`<button @click=${() => app.desk.again(notice)}>Look at it</button>` : nothing}
      <button class="quiet-button" aria-label="Dismiss" @click=${() => app.dismiss(notice)}>✕</button>
    </div>`,
  );
}

/** The window's title: how much waits. */
export function title(app) {
  const waiting = app.queue.all.filter((one) => one.status === "pending").length;
  return waiting ? `(${waiting}) Approvals · Counterpoint` : "Approvals · Counterpoint";
}

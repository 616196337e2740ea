// What asks for more than one key: a reason, an answer, other arguments, a second yes.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { changes, difference } from "./diff.js";
import { KEYS } from "./keyboard.js";
import { brief, safe, shown, table } from "./value.js";
import { CHOICE, count, headline } from "./words.js";

export function dialogs(app) {
  const dialog = app.dialog;
  return html`<dialog
    id="dialog"
    class=${dialog?.kind ?? ""}
    aria-labelledby="dialog-title"
    @cancel=${(event) => {
      event.preventDefault();
      app.close();
    }}
  >
    ${dialog ? KINDS[dialog.kind](app, dialog) : nothing}
  </dialog>`;
}

const KINDS = { confirm, reject, respond, edit, bulk, help, run };

function over(dialog) {
  if (!dialog.over) return nothing;
  return html`<p class="banner" role="alert">${safe(dialog.over)}. There is nothing left to decide.</p>`;
}

function buttons(app, yes, { disabled = false, tone = "", focusNo = false } = {}) {
  return html`<div class="buttons">
    <button type="button" ?autofocus=${focusNo} @click=${() => app.close()}>Cancel</button>
    <button type="submit" class=${`act ${tone}`} ?disabled=${disabled}>${yes}</button>
  </div>`;
}

function sends(send) {
  return (event) => {
    event.preventDefault();
    send();
  };
}

// Enter sends a line that was written; with Shift it begins another.
function enters(send) {
  return (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  };
}

function confirm(app, { one, choice, args, message, ...dialog }) {
  const yes = () => !dialog.over && app.desk.hold(one, { choice, args, message });
  return html`<form
    @submit=${sends(yes)}
    @keydown=${(event) => {
      if (event.key === "y") yes();
      if (event.key === "n") app.close();
    }}
  >
    <h2 id="dialog-title">This one is critical</h2>
    ${over(dialog)}
    <p>${CHOICE[choice].verb} <strong>${safe(headline(one))}</strong> with these arguments?</p>
    <div class="boxed">${table(args ?? one.args)}</div>
    <p class="quiet">Press <kbd>y</kbd> for yes, <kbd>n</kbd> or <kbd>Esc</kbd> for no.</p>
    ${buttons(app, "Yes, approve", { tone: "approve", focusNo: true, disabled: Boolean(dialog.over) })}
  </form>`;
}

function reject(app, dialog) {
  const { one } = dialog;
  const send = () => {
    const message = dialog.message.trim();
    if (message && !dialog.over) app.desk.hold(one, { choice: "reject", message });
  };
  return html`<form @submit=${sends(send)}>
    <h2 id="dialog-title">Reject ${safe(headline(one))}</h2>
    ${over(dialog)}
    <label for="message">Reason <span class="quiet">the model and the requester are told</span></label>
    <textarea
      id="message"
      rows="3"
      autofocus
      .value=${live(dialog.message)}
      @input=${(event) => app.open({ ...app.dialog, message: event.target.value })}
      @keydown=${enters(send)}
    ></textarea>
    ${reasons(app)}
    ${buttons(app, "Reject", { tone: "reject", disabled: !dialog.message.trim() || Boolean(dialog.over) })}
  </form>`;
}

function reasons(app) {
  if (!app.desk.reasons.length) return nothing;
  return html`<p class="reasons">
    <span class="quiet">Again:</span>
    ${app.desk.reasons.map(
      (reason) =>
        html`<button type="button" class="chip" @click=${() => app.open({ ...app.dialog, message: reason })}>
          ${safe(brief(reason, 60))}
        </button>`,
    )}
  </p>`;
}

function respond(app, dialog) {
  const { one } = dialog;
  const send = () => {
    if (dialog.message.trim() && !dialog.over) app.desk.hold(one, { choice: "respond", message: dialog.message });
  };
  return html`<form @submit=${sends(send)}>
    <h2 id="dialog-title">Answer in place of ${safe(headline(one))}</h2>
    ${over(dialog)}
    <label for="message">Answer <span class="quiet">the model gets it as the tool's result; the tool does not run</span></label>
    <textarea
      id="message"
      rows="6"
      autofocus
      .value=${live(dialog.message)}
      @input=${(event) => app.open({ ...app.dialog, message: event.target.value })}
      @keydown=${(event) => (event.ctrlKey || event.metaKey) && enters(send)(event)}
    ></textarea>
    ${buttons(app, "Send the answer", { tone: "respond", disabled: !dialog.message.trim() || Boolean(dialog.over) })}
  </form>`;
}

function edit(app, dialog) {
  const { one, form } = dialog;
  const errors = form.errors;
  const changed = changes(one.args, form.value).length > 0;
  const ready = changed && errors.size === 0 && !dialog.over;
  const send = () => {
    if (!ready) return;
    const decision = { choice: "edit", args: form.value, message: dialog.message.trim() || undefined };
    if (one.critical) app.open({ kind: "confirm", one, ...decision });
    else app.desk.hold(one, decision);
  };
  return html`<form
    @submit=${sends(send)}
    @keydown=${(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && send()}
  >
    <header>
      <h2 id="dialog-title">Edit ${safe(headline(one))}</h2>
      <button
        type="button"
        class="quiet-button"
        aria-pressed=${form.raw === null ? "false" : "true"}
        @click=${() => form.toggleRaw()}
      >
        ${form.raw === null ? "As JSON" : "As a form"}
      </button>
    </header>
    ${over(dialog)}
    <div class="columns">
      <div class="fields">
        ${form.render()}
        <div class="field">
          <label for="note">Note <span class="quiet">optional, for the audit log and the model</span></label>
          <input
            id="note"
            autocomplete="off"
            .value=${live(dialog.message)}
            @input=${(event) => app.open({ ...app.dialog, message: event.target.value })}
          />
        </div>
      </div>
      <aside aria-label="What changes">
        <h3>What changes</h3>
        ${difference(one.args, form.value)}
      </aside>
    </div>
    <p class="error" role="status">${errors.size ? `${count(errors.size, "field")} to correct` : changed ? nothing : nothing}</p>
    ${buttons(app, "Approve with edits", { tone: "approve", disabled: !ready })}
  </form>`;
}

function bulk(app, dialog) {
  const { ones, choice, left } = dialog;
  const needs = choice === "reject";
  const ready = ones.length > 0 && (!needs || dialog.message.trim() !== "");
  const send = () => {
    if (!ready) return;
    const message = dialog.message.trim() || undefined;
    app.dialog = null;
    app.desk.holdAll(
      ones.filter((one) => app.queue.get(one.id)?.status === "pending"),
      { choice, message },
    );
  };
  return html`<form
    @submit=${sends(send)}
    @keydown=${(event) => event.key === "y" && !needs && send()}
  >
    <h2 id="dialog-title">${CHOICE[choice].verb} ${count(ones.length, "request")}</h2>
    ${left
      ? html`<p class="banner">
          ${left === 1 ? "One is" : `${left} are`} left out: ${choice === "approve" ? "critical ones are approved one by one" : "their rule does not let you"}.
        </p>`
      : nothing}
    <ul class="listed" tabindex="0" aria-label="The requests">
      ${ones.map((one) => html`<li><strong>${safe(headline(one))}</strong> <span class="quiet">${safe(brief(one.args, 90))}</span></li>`)}
    </ul>
    ${needs
      ? html`<label for="message">Reason <span class="quiet">the same for all</span></label>
          <textarea
            id="message"
            rows="3"
            autofocus
            .value=${live(dialog.message)}
            @input=${(event) => app.open({ ...app.dialog, message: event.target.value })}
            @keydown=${enters(send)}
          ></textarea>
          ${reasons(app)}`
      : html`<p class="quiet">Press <kbd>y</kbd> for yes.</p>`}
    ${buttons(app, `${CHOICE[choice].verb} ${ones.length}`, { tone: choice, disabled: !ready, focusNo: !needs })}
  </form>`;
}

function run(app, dialog) {
  return html`<form @submit=${sends(() => app.close())}>
    <h2 id="dialog-title">The run</h2>
    <div class="boxed tall" tabindex="0" aria-label="The run's record">
      ${dialog.trouble
        ? html`<p class="error">${safe(dialog.trouble)}</p>`
        : dialog.run
          ? shown(dialog.run)
          : html`<p class="quiet">Loading…</p>`}
    </div>
    <div class="buttons"><button type="submit" autofocus>Close</button></div>
  </form>`;
}

function help(app) {
  return html`<form @submit=${sends(() => app.close())}>
    <h2 id="dialog-title">Keys and settings</h2>
    <dl class="keys">
      ${KEYS.map(([keys, does]) => html`<div><dt>${keys.map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${does}</dd></div>`)}
    </dl>
    <label class="check">
      <input
        type="checkbox"
        .checked=${live(app.liked.letters)}
        @change=${(event) => app.like({ letters: event.target.checked })}
      />
      Single letters are shortcuts
    </label>
    <label class="setting">
      Time to undo
      <select @change=${(event) => app.like({ undoSeconds: Number(event.target.value) })}>
        ${[5, 10, 20].map((one) => html`<option value=${one} .selected=${one === app.liked.undoSeconds}>${one} seconds</option>`)}
      </select>
    </label>
    <p class="quiet">
      A decision is sent when the time to undo is over. If the page is closed or loaded again before
      that, it is not sent, and you are told.
    </p>
    <div class="buttons"><button type="submit" autofocus>Close</button></div>
  </form>`;
}

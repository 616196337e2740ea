// Begins the page: state on one side, what is drawn of it on the other, a clock between.

import { render } from "../vendor/lit-html/lit-html.js";
import { App } from "./app.js";
import { listen } from "./keyboard.js";
import { page, title } from "./view-shell.js";

const TICK_MS = 250;

const root = document.getElementById("app");
let drawing = false;
let focusing = false;
let opened = "";

const app = new App({ draw });

function draw({ focus = false } = {}) {
  focusing ||= focus;
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    const before = document.activeElement;
    render(page(app), root);
    document.title = title(app);
    dialogue();
    if (focusing && !app.dialog) point();
    focusing = false;
    // What had the focus is gone: the list is where one goes on.
    if (before && !before.isConnected && !app.dialog && document.activeElement === document.body) point();
  });
}

/** Open or close the dialog as the state says; the browser keeps the focus within and restores it. */
function dialogue() {
  const dialog = document.getElementById("dialog");
  const kind = app.dialog?.kind ?? "";
  if (kind && kind !== opened) {
    if (!dialog.open) dialog.showModal();
    const first = dialog.querySelector("[autofocus], .fields input, .fields textarea, .fields select");
    first?.focus();
  } else if (!app.dialog && dialog.open) {
    dialog.close();
  }
  opened = kind;
}

/** Put the focus on what is looked at. */
function point() {
  const row = root.querySelector(`.open[aria-current="true"]`);
  const heading = document.getElementById("headline");
  const target = app.isPhone && heading ? heading : (row ?? document.getElementById("main"));
  target?.focus({ preventScroll: target === heading });
  row?.scrollIntoView({ block: "nearest" });
}

setInterval(() => {
  app.desk.outbox.tick();
  draw();
}, TICK_MS);

addEventListener("beforeunload", (event) => {
  if (app.desk.outbox.all.length) event.preventDefault();
});
addEventListener("offline", () => {
  app.link = "offline";
  draw();
});

listen(app);
draw();
app.start();

// One key for each thing. Letters count only where nobody writes, and can be turned off.

export const KEYS = [
  [["a"], "approve"],
  [["e"], "edit the arguments, then approve"],
  [["r"], "reject, with a reason"],
  [["p"], "respond in place of the tool"],
  [["u"], "undo the last decision"],
  [["s"], "send what is held at once"],
  [["j", "k"], "next, previous"],
  [["x"], "select for approving or rejecting many"],
  [["c"], "claim or release"],
  [["/"], "search"],
  [["h"], "between queue and history"],
  [["?"], "this help"],
  [["Esc"], "close, leave the search, back to the list"],
];

export function listen(app) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return undefined;
    if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
    if (app.dialog || app.signin) return undefined;
    if (writes(event.target)) {
      if (event.key === "Escape") event.target.blur();
      else if (event.key === "ArrowDown" && event.target.id === "search") go(event, () => step(app, 1));
      return undefined;
    }
    const act = ACTS[event.key];
    if (!act) return undefined;
    // A key that stays down decides once; it may move on and on.
    if (event.repeat && !MOVES.has(event.key)) return event.preventDefault();
    if (!app.liked.letters && event.key.length === 1) return undefined;
    // An arrow moves in the list only from there; elsewhere it scrolls.
    if (event.key.startsWith("Arrow") && !event.target.closest?.(".rows")) return undefined;
    return go(event, () => act(app));
  });
}

const MOVES = new Set(["j", "k", "ArrowDown", "ArrowUp"]);

const ACTS = {
  a: (app) => decide(app, "approve"),
  e: (app) => decide(app, "edit"),
  r: (app) => decide(app, "reject"),
  p: (app) => decide(app, "respond"),
  u: (app) => app.desk.undo(),
  s: (app) => app.desk.outbox.sendNow(),
  j: (app) => step(app, 1),
  k: (app) => step(app, -1),
  ArrowDown: (app) => step(app, 1),
  ArrowUp: (app) => step(app, -1),
  x: (app) => app.view === "queue" && app.current && app.desk.mark(app.current.id),
  c: (app) => app.view === "queue" && app.desk.claim(),
  h: (app) => app.show(app.view === "queue" ? "history" : "queue"),
  "/": () => document.getElementById("search")?.focus(),
  "?": (app) => app.open({ kind: "help" }),
  Escape: (app) => (app.view === "queue" ? app.select(null, { focus: true }) : app.history.select(null)),
};

function decide(app, choice) {
  if (app.view === "queue") app.desk.begin(choice);
}

function step(app, by) {
  if (app.view === "queue") app.move(by);
  else app.history.move(by);
}

function go(event, act) {
  event.preventDefault();
  act();
}

function writes(target) {
  if (target.isContentEditable || target.tagName === "TEXTAREA" || target.tagName === "SELECT") return true;
  return target.tagName === "INPUT" && !["checkbox", "radio", "button"].includes(target.type);
}

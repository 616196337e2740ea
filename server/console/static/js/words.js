// What the page says. Times are milliseconds.

export const CHOICE = {
  approve: { verb: "Approve", doing: "Approving", done: "Approved", key: "a" },
  edit: { verb: "Edit", doing: "Approving with edits:", done: "Approved with edits:", key: "e" },
  reject: { verb: "Reject", doing: "Rejecting", done: "Rejected", key: "r" },
  respond: { verb: "Respond", doing: "Answering in place of", done: "Answered in place of", key: "p" },
};

export const STATUS = {
  pending: "waiting",
  approved: "approved",
  edited: "approved with edits",
  rejected: "rejected",
  responded: "answered by a person",
  expired: "expired",
  cancelled: "cancelled",
};

export const STATE = {
  connecting: "Connecting",
  live: "Live",
  broken: "Reconnecting",
  offline: "Offline",
};

/** What is asked, as a headline. */
export function headline(one) {
  if (one.kind === "limit") return "Raise the limit of a run";
  if (one.kind === "interrupt") return one.description || "A graph asks";
  return one.tool;
}

export function left(ms) {
  if (ms <= 0) return "time is over";
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, "0")} min` : `${Math.floor(hours / 24)} days`;
}

export function ago(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

export function clock(at) {
  return at === null ? "" : CLOCK.format(at);
}

export function day(at) {
  return at === null ? "" : DAY.format(at);
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** How an approval ended, as one sentence: who decided what. */
export function ending(one) {
  const said = one.decisions.at(-1);
  const why = said?.message ? `: “${said.message}”` : "";
  switch (one.status) {
    case "expired":
      return one.onExpiry === "fail"
        ? "Nobody decided in time: it expired, and its run ended"
        : "Nobody decided in time: it expired, and the call does not run";
    case "cancelled":
      return `It was withdrawn: ${one.because || "its run is over"}`;
    case "pending":
      return "It still waits";
    default:
      return `${said?.who || "Somebody"} ${ENDED[one.status]}${said?.at ? ` at ${clock(said.at)}` : ""}${why}`;
  }
}

const ENDED = {
  approved: "approved it",
  edited: "approved it with edits",
  rejected: "rejected it",
  responded: "answered in its place",
};

/** Why a decision did not count, in words; `now` is the approval as it stands, if known. */
export function refusal(error, now) {
  switch (error.status) {
    case 401:
      return "Your key is not accepted any more. Sign in and decide again.";
    case 403:
      return `You may not decide this: ${error.detail}.`;
    case 404:
      return "It is not there any more: its thread or run was deleted.";
    case 409:
      if (now && now.status === "pending") {
        const by = now.decisions.at(-1)?.who;
        return `The arguments changed while you looked${by ? ` (${by} edited them)` : ""}. Look again before you decide.`;
      }
      return now ? `${ending(now)}. Your decision was not needed.` : `${capital(error.detail)}.`;
    case 410:
      return "It expired before your decision arrived: the call does not run.";
    case 422:
      return `The server does not take this: ${error.detail}.`;
    default:
      return `The server could not take it: ${error.detail}.`;
  }
}

export const EDITED = "The arguments changed a moment ago; look again";

/** Why one cannot choose this, or anything. */
export function notOpen(one, choice) {
  if (choice && !one.choices.includes(choice)) return `The rule does not let anybody ${choice} this`;
  if (one.open.length && choice) return `You asked for this yourself: somebody else has to ${choice} it`;
  return `You may not decide this: it is for ${one.roles.join(" or ") || "operators"}, and not for who asked`;
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function money(cost) {
  if (!cost) return "$0";
  return cost < 0.01 ? `$${cost.toPrecision(2)}` : `$${cost.toFixed(2)}`;
}

// An approval as the page knows it, read from the API's JSON in this one place.

export const ENDS = ["approved", "edited", "rejected", "responded", "expired", "cancelled"];
const CHOICES = ["approve", "edit", "reject", "respond"];

/** The API's JSON → what the page shows. */
export function read(raw) {
  const terms = raw.terms ?? {};
  const context = raw.context ?? {};
  return {
    id: raw.id,
    kind: raw.kind ?? "tool",
    status: raw.status ?? "pending",
    tool: raw.tool ?? "",
    agent: raw.agent ?? "",
    asked: raw.requested_args ?? raw.args ?? {},
    args: raw.args ?? {},
    sha: raw.args_sha256 ?? "",
    schema: raw.schema ?? null,
    description: raw.description ?? "",
    rule: raw.rule ?? "",
    reason: raw.reason ?? "",
    requestedBy: raw.requested_by ?? "",
    requestedAt: when(raw.requested_at),
    expiresAt: when(raw.expires_at),
    decidedAt: when(raw.decided_at),
    usedAt: when(raw.used_at),
    claimedBy: raw.claimed_by ?? "",
    claimedUntil: when(raw.claimed_until),
    because: raw.because ?? "",
    decisions: (raw.decisions ?? []).map((one) => ({
      who: one.decider ?? "",
      choice: one.decision ?? "",
      at: when(one.at),
      via: one.via ?? "",
      message: one.message ?? "",
      args: one.args ?? null,
      sha: one.args_sha256 ?? "",
    })),
    runId: raw.run_id ?? "",
    threadId: raw.thread_id ?? "",
    place: raw.of > 1 ? { index: raw.index ?? 0, of: raw.of } : null,
    roles: terms.roles ?? [],
    quorum: terms.quorum ?? 1,
    consents: raw.consents ?? 0,
    // What the rule lets people decide, and what it lets the one who looks.
    choices: CHOICES.filter((one) => (terms.choices ?? CHOICES).includes(one)),
    open: CHOICES.filter((one) => (raw.open_choices ?? []).includes(one)),
    critical: terms.critical === true,
    remember: terms.remember === true,
    selfApproval: terms.self_approval === true,
    onExpiry: terms.on_expiry ?? "reject",
    question: text(context.question),
    plan: listed(context.plan),
    done: listed(context.done),
    evidence: Array.isArray(context.evidence) ? context.evidence : [],
    usage: context.usage ?? null,
  };
}

/** How far the server's clock is ahead (ms); undefined where the JSON does not tell. */
export function ahead(raw) {
  if (!(raw.seconds_left > 0)) return undefined;
  return Date.parse(raw.expires_at) - raw.seconds_left * 1000 - Date.now();
}

/** Who ended it, and how: the last decision. */
export function winner(one) {
  return one.decisions.at(-1) ?? null;
}

/** What a search looks through. */
export function searchable(one) {
  const parts = [one.tool, one.agent, one.requestedBy, one.reason, one.rule, one.question];
  parts.push(one.id, one.runId, one.threadId, JSON.stringify(one.args));
  for (const said of one.decisions) parts.push(said.who, said.message);
  return parts.join("\n").toLowerCase();
}

function when(value) {
  const at = value == null ? NaN : Date.parse(value);
  return Number.isNaN(at) ? null : at;
}

function text(value) {
  if (value == null) return "";
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function listed(value) {
  if (value == null || value === "") return [];
  return (Array.isArray(value) ? value : [value]).map(step).filter((one) => one !== "");
}

function step(one) {
  if (typeof one !== "object" || one === null) return text(one);
  const told = one.instruction ?? one.text ?? one.summary ?? one.title;
  if (typeof told !== "string") return text(one);
  return typeof one.agent === "string" ? `${one.agent}: ${told}` : told;
}

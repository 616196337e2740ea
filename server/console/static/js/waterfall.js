// A trace as rows: which span is part of which, what is folded, where each bar stands.

const WIDE = 1000;
const KINDS = [
  ["invoke_agent", "agent"],
  ["step", "step"],
  ["chat", "chat"],
  ["execute_tool", "tool"],
  ["retrieval", "retrieval"],
  ["guardrail", "check"],
  ["approval_", "check"],
];

/** The spans as rows in order, without what `hidden(name)` leaves out and what is folded. */
export function rows(spans, { folded, hidden }) {
  const shown = spans.filter((one) => !hidden(one.name));
  const known = new Set(shown.map((one) => one.id));
  const parts = new Map();
  for (const one of shown) {
    const place = known.has(one.parent) ? one.parent : "";
    parts.set(place, [...(parts.get(place) ?? []), one]);
  }
  const found = [];
  const walk = (place, depth) => {
    const here = (parts.get(place) ?? []).sort((a, b) => a.start - b.start);
    here.forEach((span, number) => {
      const opens = parts.has(span.id);
      found.push({ span, depth, opens, folded: folded.has(span.id), number: number + 1, of: here.length });
      if (opens && !folded.has(span.id)) walk(span.id, depth + 1);
    });
  };
  walk("", 1);
  return found;
}

/** From when to when a trace goes, in seconds. */
export function extent(spans) {
  const begin = Math.min(...spans.map((one) => one.start));
  const end = Math.max(...spans.map((one) => one.end ?? one.start));
  return { begin, total: Math.max(end - begin, 1e-6) };
}

/** Where a span's bar stands among a thousand parts. */
export function bar(span, { begin, total }) {
  const x = ((span.start - begin) / total) * WIDE;
  const end = span.end ?? begin + total;
  const width = Math.max(((end - span.start) / total) * WIDE, 2.5);
  return { x: Math.min(x, WIDE - 2.5), width, kind: span.error ? "bad" : kind(span.name) };
}

/** How long, in words. */
export function time(span) {
  if (span.end === null) return span.error ? "lost" : "open";
  return seconds(span.end - span.start);
}

export function seconds(given) {
  if (given === 0) return "–";
  if (given < 1) return `${(given * 1000).toFixed(given < 0.01 ? 1 : 0)} ms`;
  return given < 120 ? `${given.toFixed(2)} s` : `${(given / 60).toFixed(1)} min`;
}

function kind(name) {
  return KINDS.find(([begins]) => name.startsWith(begins))?.[1] ?? "other";
}

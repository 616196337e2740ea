// What an edit changes: which arguments, and in texts which words.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { stringify } from "./exact.js";
import { kind, safe, shown } from "./value.js";

const WORDS = 600;

/** `[{path, how: "changed" | "added" | "removed", before, after}]` */
export function changes(before, after, path = []) {
  if (stringify(before) === stringify(after)) return [];
  if (kind(before) === "object" && kind(after) === "object") {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return names.flatMap((name) => {
      const there = [...path, name];
      if (!Object.hasOwn(after, name)) return [{ path: there, how: "removed", before: before[name] }];
      if (!Object.hasOwn(before, name)) return [{ path: there, how: "added", after: after[name] }];
      return changes(before[name], after[name], there);
    });
  }
  if (kind(before) === "array" && kind(after) === "array" && before.length && after.length) {
    const longer = before.length > after.length ? before : after;
    return longer.flatMap((one, index) => {
      const there = [...path, index];
      if (index >= after.length) return [{ path: there, how: "removed", before: one }];
      if (index >= before.length) return [{ path: there, how: "added", after: one }];
      return changes(before[index], after[index], there);
    });
  }
  return [{ path, how: "changed", before, after }];
}

/** The words of two texts as `[{how: "same" | "added" | "removed", text}]`. */
export function words(before, after) {
  const a = before.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
  const b = after.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) {
    end += 1;
  }
  const middle = aligned(a.slice(start, a.length - end), b.slice(start, b.length - end));
  const all = [
    { how: "same", text: a.slice(0, start).join("") },
    ...middle,
    { how: "same", text: a.slice(a.length - end).join("") },
  ];
  return joined(all);
}

function aligned(a, b) {
  if (a.length > WORDS || b.length > WORDS) {
    return [
      { how: "removed", text: a.join("") },
      { how: "added", text: b.join("") },
    ];
  }
  // Longest common subsequence, from the end so that it can be read off forwards.
  const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      best[i][j] =
        a[i] === b[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    }
  }
  const found = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      found.push({ how: "same", text: a[i] });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && best[i + 1][j] >= best[i][j + 1])) {
      found.push({ how: "removed", text: a[i] });
      i += 1;
    } else {
      found.push({ how: "added", text: b[j] });
      j += 1;
    }
  }
  return found;
}

function joined(parts) {
  const found = [];
  for (const part of parts) {
    if (!part.text) continue;
    if (found.at(-1)?.how === part.how) found.at(-1).text += part.text;
    else found.push({ ...part });
  }
  return found;
}

/** The difference, to read. */
export function difference(before, after) {
  const found = changes(before, after);
  if (!found.length) return html`<p class="quiet">Nothing is changed yet</p>`;
  return html`<dl class="diff">
    ${found.map(
      (one) => html`<div>
        <dt>${one.path.length ? safe(one.path.map((step) => (typeof step === "number" ? step + 1 : step)).join(" › ")) : "all arguments"}</dt>
        <dd>${compared(one)}</dd>
      </div>`,
    )}
  </dl>`;
}

function compared({ how, before, after }) {
  if (how === "changed" && kind(before) === "string" && kind(after) === "string") {
    return html`<span class="text"
      >${words(before, after).map((part) => {
        if (part.how === "same") return safe(part.text);
        return part.how === "added" ? html`<ins>${safe(part.text)}</ins>` : html`<del>${safe(part.text)}</del>`;
      })}</span
    >`;
  }
  const was = how === "added" ? nothing : html`<del>${shown(before)}</del>`;
  const is = how === "removed" ? nothing : html`<ins>${shown(after)}</ins>`;
  return html`<div class="sides">${was}${is}</div>`;
}

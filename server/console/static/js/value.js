// JSON values on the page. Everything in them was written by somebody else: it is shown as text,
// and characters that hide or reorder text are shown by their number.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { isRaw, written } from "./exact.js";

const LONG = 700;
const ODD =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/gu;

/** What kind of JSON a value is. */
export function kind(value) {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  if (isRaw(value)) return "number";
  return typeof value;
}

/** Text with what would be invisible in it made visible. */
export function safe(text) {
  const given = String(text);
  const parts = [];
  let from = 0;
  for (const found of given.matchAll(ODD)) {
    parts.push(given.slice(from, found.index), odd(found[0]));
    from = found.index + found[0].length;
  }
  if (!parts.length) return given;
  parts.push(given.slice(from));
  return parts;
}

function odd(character) {
  const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return html`<span class="odd" title="A character that cannot be seen">U+${code}</span>`;
}

/** A value in one line, for lists. */
export function brief(value, most = 140) {
  const text = kind(value) === "object" ? pairs(value) : flat(value);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

function pairs(value) {
  return Object.entries(value)
    .map(([name, one]) => `${name}: ${flat(one)}`)
    .join("  ·  ");
}

function flat(value) {
  switch (kind(value)) {
    case "string":
      return value.replace(/\s+/g, " ");
    case "null":
      return "none";
    case "number":
      return written(value);
    case "boolean":
      return value ? "yes" : "no";
    default:
      return JSON.stringify(value);
  }
}

/** A call's arguments: names on one side, values on the other. */
export function table(args) {
  const entries = Object.entries(args);
  if (!entries.length) return html`<p class="quiet">No arguments</p>`;
  return html`<dl class="args">
    ${entries.map(
      ([name, value]) => html`<div>
        <dt>${safe(name)}</dt>
        <dd>${shown(value)}</dd>
      </div>`,
    )}
  </dl>`;
}

/** One value, nested ones indented. */
export function shown(value) {
  switch (kind(value)) {
    case "string":
      return prose(value);
    case "number":
      return html`<span class="number">${written(value)}</span>`;
    case "boolean":
      return html`<span class="word">${value ? "true" : "false"}</span>`;
    case "null":
      return html`<span class="word">null</span>`;
    case "array":
      if (!value.length) return html`<span class="quiet">empty list</span>`;
      return html`<ol class="items">
        ${value.map((one) => html`<li>${shown(one)}</li>`)}
      </ol>`;
    default:
      if (!Object.keys(value).length) return html`<span class="quiet">empty</span>`;
      return table(value);
  }
}

/** Text as it was written; what is long is folded behind its beginning. */
export function prose(text) {
  if (text === "") return html`<span class="quiet">empty text</span>`;
  if (text.length <= LONG) return html`<span class="text">${safe(text)}</span>`;
  return html`<details class="long">
    <summary>
      <span class="text">${safe(text.slice(0, LONG))}</span>
      <span class="more">… ${text.length.toLocaleString("en")} characters, show all</span>
    </summary>
    <span class="text">${safe(text.slice(LONG))}</span>
  </details>`;
}

/** Nothing for what is empty, else what `render` makes of it. */
export function some(value, render) {
  const empty = value === null || value === undefined || value === "" || value?.length === 0;
  return empty ? nothing : render(value);
}

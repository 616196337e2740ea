// A form made from a tool's JSON Schema, with raw JSON as the other way in.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { number, parse, stringify, written } from "./exact.js";
import { control, fresh, named, problems, resolved } from "./schema.js";
import { kind, safe, shown } from "./value.js";

const TALL = 60;

export class Form {
  /** `onChange()` is called after every keystroke that changes something. */
  constructor({ schema, value, onChange }) {
    this.schema = schema ?? {};
    this.value = structuredCloneOf(value);
    this.onChange = onChange;
    this.raw = null;
    // What was typed where it is no value yet: a number half written, JSON with a comma missing.
    this.typed = new Map();
  }

  /** What is wrong: a Map of path → message; the raw text's has the path "". */
  get errors() {
    if (this.raw !== null) {
      const { value, error } = read(this.raw);
      return error ? new Map([["", error]]) : problems(value, this.schema);
    }
    const found = problems(this.value, this.schema);
    for (const [path, { error }] of this.typed) if (error) found.set(path, error);
    return found;
  }

  /** Between the form and raw JSON; stays where it is while the JSON cannot be read. */
  toggleRaw() {
    if (this.raw === null) {
      this.raw = stringify(this.value, 2);
    } else {
      const { value, error } = read(this.raw);
      if (error || kind(value) !== "object") return;
      this.value = value;
      this.raw = null;
      this.typed.clear();
    }
    this.onChange();
  }

  render() {
    const errors = this.errors;
    if (this.raw !== null) return this.#rawJson(errors);
    return html`<div class="form">${this.#object(this.schema, this.value, [], errors)}</div>`;
  }

  #rawJson(errors) {
    const [first] = errors;
    const message = first && (first[0] ? `${first[0].replaceAll("/", " › ")}: ${first[1]}` : first[1]);
    return html`<div class="field">
      <label for="raw-json">Arguments as JSON</label>
      <textarea
        id="raw-json"
        class="code"
        rows="14"
        spellcheck="false"
        aria-invalid=${message ? "true" : "false"}
        aria-describedby="raw-json-error"
        .value=${live(this.raw)}
        @input=${(event) => {
          this.raw = event.target.value;
          const { value, error } = read(this.raw);
          if (!error && kind(value) === "object") this.value = value;
          this.onChange();
        }}
      ></textarea>
      <p class="error" id="raw-json-error">${message ?? nothing}</p>
    </div>`;
  }

  #object(given, value, path, errors) {
    const { schema } = resolved(given, this.schema);
    const known = Object.keys(schema.properties ?? {});
    const names = [...known, ...Object.keys(value).filter((name) => !known.includes(name))];
    const there = names.filter((name) => Object.hasOwn(value, name) || schema.required?.includes(name));
    const absent = known.filter((name) => !there.includes(name));
    return html`
      ${there.map((name) => {
        const needed = schema.required?.includes(name) ?? false;
        const one = schema.properties?.[name] ?? extra(schema);
        return this.#field(one, value[name], [...path, name], errors, { needed });
      })}
      ${absent.length
        ? html`<p class="absent">
            <span class="quiet">Not set:</span>
            ${absent.map(
              (name) =>
                html`<button
                  type="button"
                  class="chip"
                  @click=${() => this.#set([...path, name], fresh(schema.properties[name], this.schema))}
                >
                  + ${safe(name)}
                </button>`,
            )}
          </p>`
        : nothing}
    `;
  }

  #field(given, value, path, errors, { needed = false, label = path.at(-1), removable = !needed } = {}) {
    const { schema, nullable } = resolved(given, this.schema);
    const is = value === null && nullable ? "none" : control(schema, value);
    const id = `field-${path.join("-").replace(/[^\w-]/g, "_")}`;
    const error = errors.get(named(path));
    const about = { id, error, schema, path, value, needed };
    const remove = removable
      ? html`<button
          type="button"
          class="link"
          aria-label=${`Remove ${typeof label === "number" ? `entry ${label + 1}` : label}`}
          @click=${() => this.#remove(path)}
        >
          Remove
        </button>`
      : nothing;
    const empty =
      nullable && value !== null
        ? html`<button type="button" class="link" @click=${() => this.#set(path, null)}>Set to null</button>`
        : nothing;
    const head = html`${typeof label === "number" ? `Entry ${label + 1}` : safe(label)}${needed
      ? html`<span class="needed" title="needed" aria-hidden="true">*</span>`
      : nothing}`;
    const hint = schema.description
      ? html`<p class="hint" id=${`${id}-hint`}>${safe(schema.description)}</p>`
      : nothing;
    const told = html`<p class="error" id=${`${id}-error`}>${error ?? nothing}</p>`;
    if (is === "object" || is === "array") {
      return html`<fieldset class="field group" aria-describedby=${`${id}-error`}>
        <legend>${head}</legend>
        <span class="tools">${empty}${remove}</span>
        ${hint}
        ${is === "object"
          ? this.#object(schema, kind(value) === "object" ? value : {}, path, errors)
          : this.#array(schema, kind(value) === "array" ? value : [], path, errors)}
        ${told}
      </fieldset>`;
    }
    return html`<div class="field ${is}">
      <label for=${id}>${head}</label>
      <span class="tools">${empty}${remove}</span>
      ${hint}${this.#control(is, about)}${told}
    </div>`;
  }

  #array(schema, value, path, errors) {
    const items = schema.items ?? {};
    return html`
      ${value.map((one, index) =>
        this.#field(items, one, [...path, index], errors, { label: index, removable: true }),
      )}
      <button
        type="button"
        class="chip adds"
        @click=${() => this.#set([...path, value.length], fresh(items, this.schema) ?? "")}
      >
        + entry
      </button>
    `;
  }

  #control(is, { id, error, schema, path, value, needed }) {
    const invalid = error ? "true" : "false";
    const describes = schema.description ? `${id}-hint ${id}-error` : `${id}-error`;
    const required = needed ? "true" : "false";
    switch (is) {
      case "const":
        return html`<output id=${id}>${shown(schema.const)}</output>`;
      case "none":
        return html`<button
          type="button"
          class="chip"
          id=${id}
          @click=${() => this.#set(path, fresh({ ...schema, default: undefined }, this.schema) ?? "")}
        >
          null: set a value
        </button>`;
      case "enum":
        return html`<select
          id=${id}
          aria-invalid=${invalid}
          aria-describedby=${describes}
          @change=${(event) => this.#set(path, schema.enum[event.target.selectedIndex - (listed(schema, value) ? 0 : 1)])}
        >
          ${listed(schema, value) ? nothing : html`<option selected disabled>${safe(plain(value))}</option>`}
          ${schema.enum.map(
            (one) => html`<option .selected=${stringify(one) === stringify(value)}>${safe(plain(one))}</option>`,
          )}
        </select>`;
      case "boolean":
        return html`<input
          type="checkbox"
          id=${id}
          aria-describedby=${describes}
          .checked=${live(value === true)}
          @change=${(event) => this.#set(path, event.target.checked)}
        />`;
      case "number":
        return html`<input
            id=${id}
            inputmode="decimal"
            autocomplete="off"
            aria-required=${required}
            aria-invalid=${invalid}
            aria-describedby=${describes}
            .value=${live(this.typed.get(named(path))?.text ?? (value === undefined ? "" : written(value)))}
            @input=${(event) => this.#number(path, event.target.value)}
          /><span class="bounds">${bounds(schema)}</span>`;
      case "string":
        return this.#text({ id, schema, path, value, invalid, describes, required });
      default:
        return html`<textarea
          id=${id}
          class="code"
          rows="4"
          spellcheck="false"
          aria-invalid=${invalid}
          aria-describedby=${describes}
          .value=${live(this.typed.get(named(path))?.text ?? stringify(value ?? null, 2))}
          @input=${(event) => this.#json(path, event.target.value)}
        ></textarea>`;
    }
  }

  #text({ id, schema, path, value, invalid, describes, required }) {
    const text = value === undefined ? "" : String(value);
    const tall = text.length > TALL || text.includes("\n") || schema.maxLength > 200;
    const input = (event) => this.#set(path, event.target.value);
    if (tall) {
      return html`<textarea
        id=${id}
        rows=${Math.min(14, 2 + text.split("\n").length + Math.floor(text.length / 70))}
        aria-required=${required}
        aria-invalid=${invalid}
        aria-describedby=${describes}
        .value=${live(text)}
        @input=${input}
      ></textarea>`;
    }
    return html`<input
      id=${id}
      autocomplete="off"
      aria-required=${required}
      aria-invalid=${invalid}
      aria-describedby=${describes}
      .value=${live(text)}
      @input=${input}
    />`;
  }

  #number(path, text) {
    const value = number(text);
    if (value === undefined) {
      const error = text.trim() ? "write a number like 12 or 0.5" : "fill this in";
      this.typed.set(named(path), { text, error });
      this.onChange();
    } else {
      this.#set(path, value, text);
    }
  }

  #json(path, text) {
    const { value, error } = read(text);
    if (error) {
      this.typed.set(named(path), { text, error });
      this.onChange();
    } else {
      this.#set(path, value, text);
    }
  }

  /** `text`: how it was typed, which stays on the screen: "1.0" is on its way to "1.05". */
  #set(path, value, text) {
    this.#forget(path);
    if (text !== undefined) this.typed.set(named(path), { text });
    this.value = placed(this.value, path, value);
    this.onChange();
  }

  #remove(path) {
    // What follows in a list moves up.
    this.#forget(typeof path.at(-1) === "number" ? path.slice(0, -1) : path);
    this.value = without(this.value, path);
    this.onChange();
  }

  #forget(path) {
    const prefix = named(path);
    for (const one of [...this.typed.keys()]) {
      if (one === prefix || one.startsWith(`${prefix}/`)) this.typed.delete(one);
    }
  }
}

function read(text) {
  try {
    return { value: parse(text) };
  } catch (error) {
    return { error: `this is no JSON yet: ${error.message}` };
  }
}

function structuredCloneOf(value) {
  return parse(stringify(value ?? {}));
}

function placed(whole, [step, ...rest], value) {
  if (step === undefined) return value;
  const copy = kind(whole) === "array" ? [...whole] : { ...whole };
  copy[step] = placed(copy[step], rest, value);
  return copy;
}

function without(whole, [step, ...rest]) {
  if (kind(whole) === "array") {
    if (rest.length) return whole.map((one, index) => (index === step ? without(one, rest) : one));
    return whole.filter((_, index) => index !== step);
  }
  const copy = { ...whole };
  if (rest.length) copy[step] = without(copy[step], rest);
  else delete copy[step];
  return copy;
}

function extra(schema) {
  return typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
}

function listed(schema, value) {
  return schema.enum.some((one) => stringify(one) === stringify(value));
}

function plain(value) {
  return typeof value === "string" ? value : value === undefined ? "not set" : stringify(value);
}

function bounds(schema) {
  const from = schema.minimum ?? (schema.exclusiveMinimum !== undefined ? `>${schema.exclusiveMinimum}` : undefined);
  const to = schema.maximum ?? (schema.exclusiveMaximum !== undefined ? `<${schema.exclusiveMaximum}` : undefined);
  if (from === undefined && to === undefined) return nothing;
  if (to === undefined) return `${from} at least`;
  return from === undefined ? `${to} at most` : `${from} to ${to}`;
}

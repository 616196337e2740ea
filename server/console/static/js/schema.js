// JSON Schema as far as a form needs it: what a field is, what is wrong with its value.
// The server checks again; what is not known here is left to it.

import { isRaw, stringify, written } from "./exact.js";
import { kind } from "./value.js";

/** A schema with its `$ref`s, `allOf` and "or null" looked through. `nullable`: null is fine too. */
export function resolved(schema, root) {
  let found = schema === true || schema == null ? {} : schema;
  let nullable = false;
  for (let depth = 0; depth < 32; depth += 1) {
    if (typeof found.$ref === "string") {
      const { $ref, ...rest } = found;
      found = { ...(pointed(root, $ref) ?? {}), ...rest };
    } else if (Array.isArray(found.allOf) && found.allOf.length === 1) {
      const { allOf, ...rest } = found;
      found = { ...allOf[0], ...rest };
    } else if (optional(found)) {
      const { anyOf, oneOf, ...rest } = found;
      const [one] = (anyOf ?? oneOf).filter((each) => each?.type !== "null");
      nullable = true;
      found = { ...one, ...rest };
    } else if (Array.isArray(found.type)) {
      const types = found.type.filter((one) => one !== "null");
      nullable ||= types.length < found.type.length;
      if (types.length !== 1) return { schema: { ...found, type: undefined }, nullable, types };
      found = { ...found, type: types[0] };
    } else {
      break;
    }
  }
  return { schema: found, nullable };
}

function optional(schema) {
  const many = schema.anyOf ?? schema.oneOf;
  if (!Array.isArray(many)) return false;
  const nulls = many.filter((one) => one?.type === "null");
  return nulls.length > 0 && many.length - nulls.length === 1;
}

function pointed(root, ref) {
  if (!ref.startsWith("#")) return null;
  const steps = ref.slice(1).split("/").filter(Boolean);
  return steps.reduce((at, step) => at?.[decodeURIComponent(step).replace(/~1/g, "/").replace(/~0/g, "~")], root);
}

/** Which control a schema asks for. */
export function control(schema, value) {
  if ("const" in schema) return "const";
  if (Array.isArray(schema.enum)) return "enum";
  switch (schema.type ?? guessed(schema, value)) {
    case "string":
      return "string";
    case "integer":
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "array":
      return Array.isArray(schema.prefixItems) || Array.isArray(schema.items) ? "json" : "array";
    case "object":
      return "object";
    default:
      return "json";
  }
}

function guessed(schema, value) {
  if (schema.anyOf || schema.oneOf || schema.allOf || schema.not) return undefined;
  if (schema.properties) return "object";
  if (schema.items) return "array";
  const found = kind(value);
  return found === "null" ? undefined : found;
}

/** A value to begin a new field with. */
export function fresh(given, root) {
  const { schema, nullable } = resolved(given, root);
  if ("default" in schema) return schema.default;
  if ("const" in schema) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  switch (control(schema, undefined)) {
    case "string":
      return "";
    case "boolean":
      return false;
    case "array":
      return [];
    case "object":
      return Object.fromEntries(
        (schema.required ?? []).map((name) => [name, fresh(schema.properties?.[name], root)]),
      );
    default:
      return nullable ? null : undefined;
  }
}

/** What is wrong with a value: a Map of path (joined by "/") → message; empty if nothing. */
export function problems(value, given, root = given) {
  const found = new Map();
  check(value, given, root, [], found);
  return found;
}

/** A path as the key of `problems`. */
export function named(path) {
  return path.join("/");
}

function check(value, given, root, path, found) {
  const { schema, nullable, types } = resolved(given, root);
  const wrong = (message) => {
    if (!found.has(named(path))) found.set(named(path), message);
  };
  if (value === undefined) return wrong("fill this in");
  if (value === null && nullable) return undefined;
  if ("const" in schema && !same(value, schema.const)) return wrong(`has to be ${stringify(schema.const)}`);
  if (Array.isArray(schema.enum) && !schema.enum.some((one) => same(value, one))) {
    return wrong(`choose one of ${schema.enum.map((one) => stringify(one)).join(", ")}`);
  }
  const wanted = types ?? (schema.type ? [schema.type] : []);
  if (wanted.length && !wanted.some((type) => is(value, type))) {
    return wrong(`has to be ${wanted.map((type) => TYPES[type] ?? type).join(" or ")}`);
  }
  switch (kind(value)) {
    case "string":
      return text(value, schema, wrong);
    case "number":
      return amount(value, schema, wrong);
    case "array":
      return list(value, schema, root, path, found, wrong);
    case "object":
      return fields(value, schema, root, path, found);
    default:
      return undefined;
  }
}

const TYPES = {
  string: "a text",
  integer: "a whole number",
  number: "a number",
  boolean: "yes or no",
  array: "a list",
  object: "an object",
  null: "empty",
};

function is(value, type) {
  const found = kind(value);
  // The server writes integers that few readers hold as text, and reads them back so.
  if (found === "string" && (type === "integer" || type === "number") && /^-?\d{16,}$/.test(value)) return true;
  if (type === "integer") return found === "number" && /^-?\d+(\.0+)?$/.test(plain(value));
  return found === type;
}

function plain(value) {
  return isRaw(value) ? written(value) : Number.isInteger(value) ? BigInt(value).toString() : String(value);
}

function text(value, schema, wrong) {
  const length = [...value].length;
  if (length < schema.minLength) {
    return wrong(schema.minLength === 1 ? "fill this in" : `${schema.minLength} characters at least`);
  }
  if (length > schema.maxLength) return wrong(`${schema.maxLength} characters at most, now ${length}`);
  if (typeof schema.pattern === "string" && !fits(value, schema.pattern)) {
    return wrong(`has to match ${schema.pattern}`);
  }
  const format = FORMATS[schema.format];
  return format && !format.fits(value) ? wrong(format.words) : undefined;
}

function fits(value, pattern) {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true;
  }
}

const FORMATS = {
  email: { fits: (value) => /^[^\s@]+@[^\s@]+$/.test(value), words: "write an e-mail address" },
  uri: { fits: (value) => URL.canParse(value), words: "write a whole URL, with https://" },
  date: {
    fits: (value) => /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(value)),
    words: "write a date like 2026-03-31",
  },
  "date-time": {
    fits: (value) => /^\d{4}-\d\d-\d\d[Tt ]/.test(value) && !Number.isNaN(Date.parse(value)),
    words: "write a time like 2026-03-31T14:00:00Z",
  },
};

function amount(value, schema, wrong) {
  const at = Number(written(value));
  if (at < schema.minimum) return wrong(`${schema.minimum} at least`);
  if (at > schema.maximum) return wrong(`${schema.maximum} at most`);
  if (at <= schema.exclusiveMinimum) return wrong(`more than ${schema.exclusiveMinimum}`);
  if (at >= schema.exclusiveMaximum) return wrong(`less than ${schema.exclusiveMaximum}`);
  const steps = at / schema.multipleOf;
  if (schema.multipleOf && Math.abs(steps - Math.round(steps)) > 1e-9) {
    return wrong(`a multiple of ${schema.multipleOf}`);
  }
  return undefined;
}

function list(value, schema, root, path, found, wrong) {
  if (value.length < schema.minItems) wrong(`${schema.minItems} entries at least`);
  if (value.length > schema.maxItems) wrong(`${schema.maxItems} entries at most`);
  if (schema.uniqueItems && new Set(value.map((one) => stringify(one))).size < value.length) {
    wrong("an entry is there twice");
  }
  if (schema.items && !Array.isArray(schema.items)) {
    value.forEach((one, index) => check(one, schema.items, root, [...path, index], found));
  }
}

function fields(value, schema, root, path, found) {
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(value, name)) found.set(named([...path, name]), "this one is needed");
  }
  for (const [name, one] of Object.entries(value)) {
    const known = schema.properties?.[name];
    if (known !== undefined) check(one, known, root, [...path, name], found);
    else if (schema.additionalProperties === false) {
      found.set(named([...path, name]), "the tool does not know this one: remove it");
    } else if (typeof schema.additionalProperties === "object") {
      check(one, schema.additionalProperties, root, [...path, name], found);
    }
  }
}

function same(a, b) {
  return stringify(a) === stringify(b);
}

// JSON whose numbers are not rounded: an account number with twenty digits stays what it is.
// A number that JavaScript cannot hold is kept as raw JSON, shown and sent back as it was written.

const DIGITS_HELD = 15;

/** Whether this browser tells how a number was written. */
export const EXACT = (() => {
  let told;
  JSON.parse("1", (_, value, context) => {
    told = context?.source;
    return value;
  });
  return told === "1" && typeof JSON.rawJSON === "function";
})();

/** Whether a value is a number kept as it was written. */
export function isRaw(value) {
  return EXACT && JSON.isRawJSON(value);
}

/** JSON text → value. */
export function parse(text) {
  return EXACT ? JSON.parse(text, keep) : JSON.parse(text);
}

/** Value → JSON text. */
export function stringify(value, indent) {
  return JSON.stringify(value, null, indent);
}

/** A number as a person types it → a value that loses nothing; undefined for what is none. */
export function number(text) {
  const typed = text.trim();
  if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(typed)) return undefined;
  const value = parse(typed);
  return isRaw(value) || Number.isFinite(value) ? value : undefined;
}

/** A number as text. */
export function written(value) {
  return isRaw(value) ? value.rawJSON : String(value);
}

function keep(_, value, context) {
  if (typeof value !== "number" || context.source === undefined) return value;
  const digits = context.source.replace(/[eE].*$/, "").replace(/[-.]/g, "").replace(/^0+/, "");
  const held = digits.length <= DIGITS_HELD || String(value) === context.source;
  return held && Number.isFinite(value) ? value : JSON.rawJSON(context.source);
}

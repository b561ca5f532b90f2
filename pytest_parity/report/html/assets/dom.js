/* Elements, numbers and the few words that every part needs. Data reaches the page as text alone. */

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

function draw(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

const mono = (text, properties = {}) => el("code", properties, text);

/** A dotted or slashed name that may break behind each of its parts. */
function name(text, properties = {}) {
  const parts = String(text).split(/(?<=[./])/);
  return el(
    "code",
    properties,
    parts.flatMap((part) => [part, el("wbr")]),
  );
}

const GROUPED = new Intl.NumberFormat("en-US");

function count(value) {
  return GROUPED.format(value);
}

function amount(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** JSON has no infinity and no NaN: they come as strings. */
function numeric(value) {
  if (typeof value === "boolean") return Number(value);
  if (typeof value !== "string") return value ?? null;
  return { inf: Infinity, "-inf": -Infinity, nan: NaN }[value] ?? null;
}

/** Three significant digits; thousands grouped up to a million, powers of ten beyond. */
function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean" || typeof value === "string") return String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3)
    return value
      .toExponential(2)
      .replace("e+", "e")
      .replace(/\.?0+e/, "e");
  if (size >= 1000) return GROUPED.format(Math.round(value));
  return String(Number(value.toPrecision(3)));
}

function words(text) {
  return String(text).replaceAll("_", " ");
}

/** The key of an event, or null where it belongs to the browser or to a field that is typed into. */
function plainKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  return event.key;
}

/** Runs what a table of keys has for this one; whether it has something. */
function onKey(event, keys) {
  const run = Object.hasOwn(keys, plainKey(event) ?? "") ? keys[event.key] : null;
  if (!run) return false;
  event.preventDefault();
  event.stopPropagation();
  run();
  return true;
}

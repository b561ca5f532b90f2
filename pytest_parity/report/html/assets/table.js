/* Tables, pairs, lists, sections and marks, as every part lays them out. */

const SYMBOL = { failed: "✕", passed: "✓", recorded: "●" };

function outcomeMark(outcome) {
  const tone = { failed: "bad", passed: "good" }[outcome] ?? "quiet";
  return el("span", { class: `outcome ${tone}` }, SYMBOL[outcome] ?? "?");
}

/** A table; the first cell of a row is its head, columns in `numeric_` are numbers. */
function grid(heads, rows, numeric_ = []) {
  const align = (index) => (numeric_.includes(index) ? "n" : null);
  const cell = (value, index) => (index ? el("td", { class: align(index) }, value) : el("th", { scope: "row" }, value));
  return el(
    "div",
    { class: "wide" },
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          heads.map((text, index) => el("th", { scope: "col", class: align(index) }, text)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) => el("tr", {}, row.map(cell))),
      ),
    ),
  );
}

function pairs(entries) {
  const known = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "dl",
    { class: "pairs" },
    known.map(([key, value]) => [el("dt", {}, key), el("dd", {}, value)]),
  );
}

function block(title, ...content) {
  const known = content.flat().filter(Boolean);
  return known.length ? el("section", {}, el("h2", {}, title), known) : null;
}

function list(lines) {
  return lines.length
    ? el(
        "ul",
        { class: "lines" },
        lines.map((line) => el("li", {}, line)),
      )
    : null;
}

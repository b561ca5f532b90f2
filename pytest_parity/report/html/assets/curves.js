/* A curve that was judged: its chart, and what is wrong with it beside, each of which zooms to its steps. */

const CURVE_TOGETHER = 3;
const CURVE_AROUND = 0.4;

/** The lines of a judged curve; of many recorded ones there is one entry in the legend. */
function judgedLines(row) {
  const references = row.lines.filter((line) => line.role === "reference").length;
  return row.lines.map((raw) => {
    const together = raw.role === "reference" && references > CURVE_TOGETHER;
    return {
      ...readLine(raw),
      tone: raw.role,
      group: together ? "references" : `${raw.role}/${raw.label}`,
      groupLabel: together ? amount(references, "recorded run") : raw.label,
    };
  });
}

/** Around a finding, so much that one sees where it begins. */
function aroundFinding(finding, [first, last]) {
  const span = finding.last - finding.step;
  const by = Math.max(span * CURVE_AROUND, (last - first) * 0.01, 2);
  return [Math.max(finding.step - by, first), Math.min(finding.last + by, last)];
}

function findingEntry(finding, index, state, whole) {
  const choose = () => {
    if (state.chosen === index) return state.reset("steps");
    if (state.view === "epochs") state.view = "steps";
    state.zoom("steps", ...aroundFinding(finding, whole), index);
    return state.point("steps", finding.step);
  };
  const steps =
    finding.step === finding.last
      ? `step ${count(finding.step)}`
      : `steps ${count(finding.step)} to ${count(finding.last)}`;
  const share = numeric(finding.share);
  const far = Number.isFinite(share) && share > 0 ? `${number(share)} times what is allowed` : null;
  const button = el(
    "button",
    { type: "button", class: "finding", onclick: choose },
    el("span", {}, finding.text),
    el("span", { class: "quiet" }, [words(finding.check), steps, far].filter(Boolean).join(" · ")),
  );
  state.addEventListener("change", () => button.setAttribute("aria-pressed", String(state.chosen === index)));
  button.setAttribute("aria-pressed", "false");
  return el("li", {}, button);
}

/** A curve that was judged. */
function curveSection(row) {
  const lines = judgedLines(row);
  const state = new CurveState();
  state.log = steep(lines);
  const window = curveWindow(lines);
  const whole = wholeOf(lines, row.findings);
  const views = { steps: lines, smoothed: lines.map((line) => smoothed(line, window)), epochs: [] };
  const title = row.unit ? `${row.name}, ${row.unit}` : row.name;
  const panel = lines.length
    ? new CurvePanel(state, { title, views, window, averaged: "drawn point", marks: row.findings })
    : null;
  const findings = row.findings.length
    ? el(
        "ol",
        { class: "findings", "aria-label": `What is wrong with ${row.name}` },
        row.findings.map((finding, index) => findingEntry(finding, index, state, whole)),
      )
    : null;
  return el(
    "section",
    { class: `curve ${row.passed ? "passed" : "failed"}`, "aria-label": `Curve ${row.name}` },
    el(
      "h2",
      {},
      outcomeMark(row.passed ? "passed" : "failed"),
      " ",
      name(row.name),
      row.unit ? el("span", { class: "quiet" }, `, ${row.unit}`) : null,
    ),
    row.headline === row.findings[0]?.text ? null : el("p", { class: "curve-says" }, row.headline),
    panel ? curveTools(state, [panel]) : el("p", { class: "quiet" }, "Nothing of it was kept to draw."),
    el("div", { class: findings ? "curve-beside" : null }, panel?.root ?? null, findings),
    list(row.notes),
  );
}

/* A chart with its legend, whose entries tell values and hide lines, and the same as a table. */

const CURVE_ROWS = 25;
const CURVE_FAINT = 4;
const CURVE_UNITS = { steps: "step", epochs: "epoch" };

class CurvePanel {
  /** `views` has lines for each of `steps`, `smoothed`, `epochs`; `fixed` is the one view of a panel that has no choice, as `log`; `alone`: the title names its line. */
  constructor(
    state,
    { title, views, window, averaged, fixed = null, log = null, alone = false, height = 320, marks = [], range = null },
  ) {
    Object.assign(this, { state, title, views, window, averaged, fixed, log, range, hidden: new Set() });
    this.alone = alone;
    this.chart = new CurveChart(state, { height, marks });
    this.marks = marks;
    this.at = el("span", { class: "curve-at" });
    this.entries = this.groups().map((group) => this.entry(group));
    this.legend = el(
      "div",
      { class: "curve-legend", role: "group", "aria-label": `Lines of ${title}` },
      this.at,
      this.entries.map(({ button }) => button),
    );
    this.said = el("p", { class: "visually-hidden", role: "status" });
    this.foot = el("p", { class: "curve-foot quiet" });
    this.table = el("details", { class: "curve-table" }, el("summary", {}, "As a table"));
    this.table.addEventListener("toggle", () => this.tabled());
    this.root = el("div", { class: "curve-panel" }, this.legend, this.chart.surface, this.foot, this.said, this.table);
    state.addEventListener("change", () => this.render());
    state.addEventListener("point", () => this.pointed());
    this.render();
  }

  get view() {
    return this.fixed ?? this.state.view;
  }

  get axis() {
    return this.view === "epochs" ? "epochs" : "steps";
  }

  /** From where to where there is something. */
  get whole() {
    return wholeOf(this.views[this.view], this.axis === "steps" ? this.marks : []);
  }

  groups() {
    const lines = Object.values(this.views).flat();
    return [...new Set(lines.map((line) => line.group))].map((key) => ({
      key,
      label: lines.find((line) => line.group === key).groupLabel,
      line: lines.find((line) => line.group === key && !line.band) ?? lines.find((line) => line.group === key),
    }));
  }

  entry({ key, label, line }) {
    const value = el("span", { class: "curve-value" });
    const swatch = draw(
      "svg",
      { viewBox: "0 0 18 10", "aria-hidden": "true" },
      line.band
        ? draw("rect", { x: 0, y: 1, width: 18, height: 8, class: `band ${line.tone}` })
        : draw("path", { d: "M1 5h16", class: `line ${line.tone} ${line.role}` }),
    );
    const toggle = () => {
      if (!this.hidden.delete(key)) this.hidden.add(key);
      this.render();
    };
    const button = el(
      "button",
      { type: "button", onclick: toggle },
      swatch,
      el("span", { class: this.alone ? "visually-hidden" : null }, label),
      value,
    );
    return { key, label, button, value };
  }

  /** The lines of the view that are not hidden. */
  lines() {
    return this.views[this.view].filter((line) => !this.hidden.has(line.group) && (!line.member || this.state.members));
  }

  render() {
    const { state, view, axis } = this;
    const lines = this.lines();
    const { whole } = this;
    const faint = view === "smoothed" ? this.raw() : [];
    const log = this.log ?? state.log;
    for (const { key, button } of this.entries) {
      button.setAttribute("aria-pressed", String(!this.hidden.has(key)));
      button.hidden = !this.views[view].some((line) => line.group === key);
    }
    this.chart.show({ axis, lines, faint, whole, log, range: this.range, label: this.described(lines, whole) });
    this.foot.replaceChildren(this.footing(lines, whole));
    this.pointed();
    this.tabled();
  }

  /** What was averaged, to stand faintly behind. */
  raw() {
    const drawn = this.views.steps.filter(
      (line) => !line.band && !this.hidden.has(line.group) && ["candidate", "run"].includes(line.role) && !line.member,
    );
    return drawn.length <= CURVE_FAINT ? drawn : [];
  }

  described(lines, [from, to]) {
    const unit = CURVE_UNITS[this.axis];
    const shown = lines.map((line) => line.label).join(", ") || "no line";
    const wrong = this.marks.length && this.axis === "steps" ? " Up and down go to what is wrong." : "";
    return `${this.title} by ${unit}: ${shown}; ${unit}s ${count(from)} to ${count(to)}. Arrow left and right move, plus and minus zoom, Escape shows all.${wrong}`;
  }

  footing(lines, [first, last]) {
    const { state, axis, view, window } = this;
    const zoom = state.zooms[axis]?.map((step, index) => (index ? Math.floor(step) : Math.ceil(step)));
    const unit = CURVE_UNITS[axis];
    const below =
      (this.log ?? state.log)
        ? lines.reduce((sum, line) => sum + line.values.filter((value) => value <= 0 && value > -Infinity).length, 0)
        : 0;
    return [
      zoom ? `${unit}s ${zoom.map(count).join(" to ")} of ${count(first)} to ${count(last)}` : "",
      view === "smoothed" ? `the mean of the last ${amount(window, this.averaged)}` : "",
      below ? `${amount(below, "value")} of 0 or less cannot be drawn on a logarithmic scale` : "",
    ]
      .filter(Boolean)
      .join("; ");
  }

  /** What a group of lines has at a step: its line's value, and from where to where its band goes, where it goes anywhere. */
  valueOf(key, step) {
    const lines = this.views[this.view].filter((line) => line.group === key && !line.member);
    const at = (line) => (line ? nearestPlace(line, step) : -1);
    const line = lines.find((one) => !one.band);
    const band = lines.find((one) => one.band);
    const [place, within] = [at(line), at(band)];
    const value = place < 0 ? "" : curveNumber(line.values[place]);
    const [low, high] = within < 0 ? ["", ""] : [band.values, band.high].map((edge) => curveNumber(edge[within]));
    if (!value) return low ? `${low} to ${high}` : "–";
    return low === high ? value : `${value} (${low} to ${high})`;
  }

  pointed() {
    const { state, axis } = this;
    const [first, last] = state.zooms[axis] ?? this.whole;
    const ends = this.chart.steps.at(-1) ?? last;
    const at = state.points[axis];
    const inside = at !== null && at >= first && at <= last;
    const step = inside ? at : ends;
    this.at.textContent = `${CURVE_UNITS[axis]} ${count(step)}`;
    for (const { key, value, button } of this.entries)
      if (!button.hidden) value.textContent = this.hidden.has(key) ? "hidden" : this.valueOf(key, step);
    if (!state.said || !inside || !this.chart.surface.matches(":focus")) return;
    const told = this.entries.filter(({ key, button }) => !button.hidden && !this.hidden.has(key));
    this.said.textContent = `${this.at.textContent}: ${told.map(({ label, value }) => `${label} ${value.textContent}`).join(", ")}`;
  }

  /** What is seen as a table, of many steps some. */
  tabled() {
    if (!this.table.open) return;
    const lines = this.lines();
    const { steps } = this.chart;
    const by = Math.max(1, (steps.length - 1) / (CURVE_ROWS - 1));
    const chosen = [...new Set(steps.map((_, index) => steps[Math.round(index * by)]))].filter(
      (step) => step !== undefined,
    );
    const cell = (line, step) => {
      const place = nearestPlace(line, step);
      if (place < 0) return "–";
      const value = curveNumber(line.values[place]);
      return line.band ? `${value} to ${curveNumber(line.high[place])}` : value;
    };
    const rows = chosen.map((step) => [count(step), ...lines.map((line) => cell(line, step))]);
    this.table.querySelector(".wide")?.remove();
    this.table.append(
      grid(
        [CURVE_UNITS[this.axis], ...lines.map((line) => line.label)],
        rows,
        lines.map((_, index) => index + 1),
      ),
    );
  }
}

/** What chooses how panels are drawn. */
function curveTools(state, panels, { single = false } = {}) {
  const named = { steps: "Every step", smoothed: "Smoothed", epochs: "By epoch" };
  const views = Object.keys(named).filter((view) => panels.some((panel) => panel.views[view]?.length));
  const pressed = [];
  const button = (text, on, click) => {
    const made = el("button", { type: "button", onclick: click }, text);
    pressed.push(() => made.setAttribute("aria-pressed", String(on())));
    return made;
  };
  const choices = views.map((view) =>
    button(
      named[view],
      () => state.view === view,
      () => state.set({ view }),
    ),
  );
  const log = button(
    "Log scale",
    () => state.log,
    () => state.set({ log: !state.log }),
  );
  const runs = single
    ? button(
        "Each run",
        () => state.members,
        () => state.set({ members: !state.members }),
      )
    : null;
  const axis = () => (state.view === "epochs" ? "epochs" : "steps");
  const reset = el("button", { type: "button", class: "curve-reset" }, "Show all");
  reset.addEventListener("click", () => {
    state.reset(axis());
    panels[0].chart.surface.focus();
  });
  const update = () => {
    pressed.forEach((one) => one());
    reset.hidden = state.zooms[axis()] === null;
  };
  state.addEventListener("change", update);
  update();
  return el(
    "div",
    { class: "curve-tools" },
    choices.length > 1 ? el("div", { class: "segments", role: "group", "aria-label": "Show" }, choices) : null,
    log,
    runs,
    reset,
    el("span", { class: "quiet curve-hint" }, "Drag over steps to zoom in, double-click to see all."),
  );
}

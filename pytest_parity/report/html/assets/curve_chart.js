/* One pair of axes: drawn, zoomed by dragging or by keys, with a cursor that the pointer and the arrow keys move. */

const CURVE_DRAG = 5;
const CURVE_DOTS = 60;
let curveClips = 0;

class CurveChart {
  constructor(state, { height, marks = [] }) {
    Object.assign(this, { state, height, marks, width: 900, drag: null, shown: null });
    this.clip = `curve-clip-${(curveClips += 1)}`;
    this.svg = draw("svg", { "aria-hidden": "true" });
    this.surface = el("div", { class: "chart curve-chart", tabindex: "0", role: "application" }, this.svg);
    this.heard();
    new ResizeObserver(([entry]) => this.fit(entry.contentRect.width)).observe(this.surface);
  }

  heard() {
    const { surface, state } = this;
    state.addEventListener("point", () => this.cursor());
    surface.addEventListener("keydown", (event) => onKey(event, this.keys()));
    surface.addEventListener("pointerdown", (event) => this.press(event));
    surface.addEventListener("pointermove", (event) => this.move(event));
    surface.addEventListener("pointerup", (event) => this.release(event));
    surface.addEventListener("pointercancel", () => this.let());
    surface.addEventListener("pointerleave", () => this.drag === null && state.point(this.shown.axis, null));
    surface.addEventListener("dblclick", () => state.reset(this.shown.axis));
  }

  fit(width) {
    if (!width || Math.round(width) === this.width) return;
    this.width = Math.round(width);
    this.render();
  }

  /** Draws lines over an axis; `whole` is from where to where there is something, `range` what y shows, where it is not what is seen. */
  show(shown) {
    this.shown = shown;
    this.surface.setAttribute("aria-label", shown.label);
    this.render();
  }

  get domain() {
    return this.state.zooms[this.shown.axis] ?? this.shown.whole;
  }

  render() {
    const { shown, width, height, domain } = this;
    if (!shown) return;
    const { lines, faint, log } = shown;
    this.steps = stepsOf(lines, domain);
    const strip = [...lines, ...faint].some((line) =>
      line.steps.some((step, at) => step >= domain[0] && step <= domain[1] && !Number.isFinite(line.values[at])),
    );
    const range = shown.range ?? curveRange(lines, domain, log);
    const scale = curveScale({
      domain,
      range: range ?? [1, 2],
      log,
      width,
      height,
      strip,
      inset: shown.axis === "epochs",
    });
    this.scale = scale;
    this.hair = draw("g", { class: "cursor" });
    this.chosen = draw("g");
    const { left, right, top, bottom } = scale;
    const clip = draw(
      "clipPath",
      { id: this.clip },
      draw("rect", { x: left, y: top, width: right - left, height: bottom - top }),
    );
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren(
      draw("defs", {}, clip),
      ...curveTicks(scale, range !== null),
      ...(shown.axis === "steps" ? curveFound(scale, this.marks, this.state.chosen) : []),
      draw("g", { "clip-path": `url(#${this.clip})` }, curvePaths(scale, shown, this.steps.length <= CURVE_DOTS)),
      ...(strip ? curveCrosses(scale, shown) : []),
      ...(range ? [] : [this.empty(lines.length ? "No value here can be drawn." : "No line is shown.")]),
      this.chosen,
      this.hair,
    );
    this.cursor();
  }

  empty(text) {
    const { left, right, top, bottom } = this.scale;
    return draw("text", { x: (left + right) / 2, y: (top + bottom) / 2, "text-anchor": "middle" }, text);
  }

  cursor() {
    if (!this.scale) return;
    const step = this.state.points[this.shown.axis];
    const { domain, top, bottom, x, y } = this.scale;
    if (step === null || step < domain[0] || step > domain[1]) return this.hair.replaceChildren();
    const dots = this.shown.lines.flatMap((line) => {
      const place = nearestPlace(line, step);
      const height = place < 0 || line.band ? null : y(line.values[place]);
      if (height === null || height < top - 1 || height > bottom + 1) return [];
      return [draw("circle", { cx: x(line.steps[place]), cy: height, r: 3.5, class: line.tone })];
    });
    return this.hair.replaceChildren(
      draw("line", { x1: x(step), x2: x(step), y1: CURVE_BOX.top, y2: bottom }),
      ...dots,
    );
  }

  /** The step under a pointer, of those that a line has. */
  under(event) {
    return this.nearest(this.scale.step(this.across(event)));
  }

  nearest(wanted) {
    const after = lowerBound(this.steps, wanted);
    const beside = [this.steps[after - 1], this.steps[after]].filter((step) => step !== undefined);
    return beside.length ? beside.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a)) : null;
  }

  across(event) {
    return event.clientX - this.surface.getBoundingClientRect().left;
  }

  press(event) {
    if (event.button !== 0) return;
    this.drag = this.across(event);
    this.surface.setPointerCapture(event.pointerId);
  }

  move(event) {
    this.state.point(this.shown.axis, this.under(event));
    if (this.drag === null) return;
    const { left, right, top, bottom } = this.scale;
    const [from, to] = [this.drag, this.across(event)]
      .map((at) => Math.min(Math.max(at, left), right))
      .sort((a, b) => a - b);
    this.chosen.replaceChildren(
      draw("rect", { x: from, y: top, width: to - from, height: bottom - top, class: "selection" }),
    );
  }

  release(event) {
    if (this.drag === null) return;
    const [from, to] = [this.drag, this.across(event)];
    this.let();
    if (Math.abs(to - from) >= CURVE_DRAG) this.closer(...[from, to].map((at) => this.scale.step(at)));
  }

  let() {
    this.drag = null;
    this.chosen.replaceChildren();
  }

  /** Zooms in, from a point to another: never between two of them. */
  closer(one, other) {
    const { steps, state, shown } = this;
    let [from, to] = [one, other].map((step) => this.nearest(step)).sort((a, b) => a - b);
    if (from === to) {
      const first = Math.min(lowerBound(steps, from), steps.length - 2);
      [from, to] = [steps[first], steps[first + 1]];
    }
    if (to > from) state.zoom(shown.axis, from, to);
  }

  scaled(by) {
    const [[from, to], [first, last]] = [this.domain, this.shown.whole];
    const at = this.state.points[this.shown.axis];
    const middle = at !== null && at >= from && at <= to ? at : (from + to) / 2;
    const wider = [Math.max(middle - (middle - from) * by, first), Math.min(middle + (to - middle) * by, last)];
    if (by < 1) this.closer(...wider);
    else if (wider[0] <= first && wider[1] >= last) this.state.reset(this.shown.axis);
    else this.state.zoom(this.shown.axis, ...wider);
  }

  /** Moves the cursor by so many points; where there is none yet, to the first or the last. */
  step(by) {
    const at = this.state.points[this.shown.axis];
    if (at === null) this.to(by > 0 ? 0 : Infinity);
    else this.to(lowerBound(this.steps, at) + by);
  }

  to(place) {
    const { steps, state, shown } = this;
    if (steps.length) state.point(shown.axis, steps[Math.min(Math.max(place, 0), steps.length - 1)], { said: true });
  }

  /** To the next place where something is wrong, or the one before. */
  turn(by) {
    const at = this.state.points.steps ?? (by > 0 ? -Infinity : Infinity);
    const beyond = this.marks.map((mark) => mark.step).filter((step) => (by > 0 ? step > at : step < at));
    if (this.shown.axis !== "steps" || !beyond.length) return;
    const step = by > 0 ? Math.min(...beyond) : Math.max(...beyond);
    const zoom = this.state.zooms.steps;
    if (zoom && (step < zoom[0] || step > zoom[1])) this.state.reset("steps");
    this.state.point("steps", step, { said: true });
  }

  keys() {
    const page = Math.max(1, Math.round(this.steps.length / 20));
    const zoomed = this.state.zooms[this.shown.axis] !== null || this.state.chosen !== null;
    return {
      ArrowRight: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      PageDown: () => this.step(page),
      PageUp: () => this.step(-page),
      Home: () => this.to(0),
      End: () => this.to(Infinity),
      ...(this.marks.length ? { ArrowDown: () => this.turn(1), ArrowUp: () => this.turn(-1) } : {}),
      "+": () => this.scaled(0.5),
      "=": () => this.scaled(0.5),
      "-": () => this.scaled(2),
      ...(zoomed ? { Escape: () => this.state.reset(this.shown.axis) } : {}),
    };
  }
}

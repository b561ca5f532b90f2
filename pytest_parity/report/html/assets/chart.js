/* The chart: error over execution order, on a logarithmic scale, against the floor and the bound. */

const CHART = { height: 232, left: 56, right: 8, top: 26, bottom: 8, strip: 18 };
const BLAME = 3;
const DENSE = 1500;
const MARKS = {
  dot: "m0 0h.01",
  ring: "m-2.6 0a2.6 2.6 0 1 0 5.2 0a2.6 2.6 0 1 0 -5.2 0",
  triangle: "m-3.4 2.6h6.8l-3.4 -5.9z",
  dash: "m-2 0h4",
  diamond: "m0 -4.6l4.2 4.6l-4.2 4.6l-4.2 -4.6z",
};
const SERIES = [
  { key: "ok", mark: "dot", label: "within" },
  { key: "in", mark: "ring", label: "within, an input" },
  { key: "fail", mark: "triangle", label: "fails" },
  { key: "in-fail", mark: "triangle", label: "fails, an input" },
  { key: "slight", mark: "dash", label: `introduced, below ${BLAME}` },
  { key: "own", mark: "diamond", label: "introduced" },
];

function series(site) {
  if (site.kind === "input") return site.fails ? "in-fail" : "in";
  return site.fails ? "fail" : "ok";
}

/** Every mark of the chart: its rank on the x axis, its height, the site it opens. */
function chartMarks(item) {
  const marks = item.ordered
    .map((site) => ({ site, rank: site.rank, value: height(site, item.factor), key: series(site) }))
    .filter((mark) => mark.value !== null);
  const byOrder = new Map(item.sites.filter((site) => site.order !== undefined).map((site) => [site.order, site]));
  const introduced = (order, value) => {
    const site = byOrder.get(order);
    if (site && value > 0)
      marks.push({ site, rank: site.rank, value, key: value > BLAME ? "own" : "slight", introduced: value });
  };
  const faults = item.isolation?.faulty ?? [];
  const told = new Set(faults.map((fault) => `${fault.module}#${fault.call}`));
  faults.forEach((fault) => introduced(fault.order, numeric(fault.floors)));
  item.calls
    .filter((call) => !told.has(`${call.module}#${call.call}`))
    .forEach((call) => introduced(call.order, call.introduced));
  return marks.sort((a, b) => a.rank - b.rank);
}

/** Pixels for values: a strip for 0 below, one for infinity above, powers of ten between. */
function chartScale(marks, factor, width) {
  const values = marks.map((mark) => mark.value).filter((value) => value > 0 && Number.isFinite(value));
  const least = values.reduce((a, b) => Math.min(a, b), 0.5);
  const low = Math.floor(Math.log10(Math.max(1e-3, least)));
  const high = Math.ceil(Math.log10(values.reduce((a, b) => Math.max(a, b), 3 * (factor ?? 1))));
  const top = CHART.top + CHART.strip;
  const bottom = CHART.height - CHART.bottom - CHART.strip;
  const ranks = marks.reduce((a, mark) => Math.max(a, mark.rank), 1);
  const y = (value) => {
    if (value === 0) return bottom + CHART.strip * 0.65;
    if (!Number.isFinite(value)) return top - CHART.strip * 0.6;
    const share = (Math.log10(value) - low) / (high - low);
    return bottom - Math.min(Math.max(share, 0), 1) * (bottom - top);
  };
  const x = (rank) => CHART.left + (rank / ranks) * (width - CHART.left - CHART.right);
  return { low, high, x, y, infinite: marks.some((mark) => !Number.isFinite(mark.value)) };
}

function chartGrid(scale, item, width) {
  const every = Math.ceil((scale.high - scale.low) / 7);
  const line = (y, kind) => draw("line", { x1: CHART.left, x2: width - CHART.right, y1: y, y2: y, class: kind });
  const label = (y, text, kind = null) =>
    draw("text", { x: CHART.left - 8, y: y + 4, "text-anchor": "end", class: kind }, text);
  const parts = [label(CHART.top - 12, item.factor === null ? "of allowed" : "floors", "unit"), label(scale.y(0), "0")];
  for (let power = scale.low; power <= scale.high; power += every) {
    const y = scale.y(10 ** power);
    parts.push(line(y, "grid"), label(y, number(10 ** power)));
  }
  if (scale.infinite) parts.push(label(scale.y(Infinity), "∞"));
  parts.push(line(scale.y(1), item.factor === null ? "bound" : "floor"));
  return item.factor === null ? parts : [...parts, line(scale.y(item.factor), "bound")];
}

/** The names of the two lines, which stand above the marks. */
function chartBounds(scale, item, width) {
  const text = (y, words_, kind) =>
    draw("text", { x: width - CHART.right, y: y - 5, "text-anchor": "end", class: `over-marks ${kind}` }, words_);
  if (item.factor === null) return [text(scale.y(1), "allowed", "bound-text")];
  return [
    text(scale.y(item.factor), `allowed: ${number(item.factor)} floors`, "bound-text"),
    text(scale.y(1), "noise floor: 1", ""),
  ];
}

/** Where forward, backward and update begin. */
function chartRegions(item, scale) {
  const parts = [];
  let last = null;
  for (const site of item.ordered) {
    if (site.phase === last) continue;
    last = site.phase;
    const x = scale.x(site.rank);
    const to = item.ordered.findLast((other) => other.phase === last).rank;
    if (site.rank)
      parts.push(draw("line", { x1: x, x2: x, y1: CHART.top - 12, y2: CHART.height - CHART.bottom, class: "split" }));
    if (scale.x(to) - x > 58)
      parts.push(draw("text", { x: x + (site.rank ? 6 : 0), y: CHART.top - 8, class: "region" }, PHASES[last]));
  }
  return parts;
}

function chartLegend(marks) {
  const shown = SERIES.filter(({ key }) => marks.some((mark) => mark.key === key));
  return el(
    "div",
    { class: "legend" },
    shown.map(({ key, mark, label }) =>
      el(
        "span",
        {},
        draw(
          "svg",
          { viewBox: "-7 -5 14 10", "aria-hidden": "true" },
          draw("path", { class: `mark ${key}`, d: `M0 0${MARKS[mark]}` }),
        ),
        label,
      ),
    ),
  );
}

/** The mark nearest to a point, in pixels, of those at most 24 to the left or right. */
function nearest(marks, scale, x, y) {
  let best = null,
    least = Infinity;
  for (const mark of marks) {
    const dx = scale.x(mark.rank) - x;
    if (Math.abs(dx) > 24) continue;
    const distance = Math.hypot(dx, scale.y(mark.value) - y);
    if (distance < least) [best, least] = [mark, distance];
  }
  return best;
}

function markWords(mark) {
  const own = mark.introduced === undefined ? [] : [`alone ${number(mark.introduced)} floors`];
  return [
    name(mark.site.candidate ?? mark.site.site),
    " ",
    el("span", { class: mark.site.fails ? "bad" : "quiet" }, [errorWords(mark.site), ...own].join("; ")),
  ];
}

/** The chart of a case, with a cursor that the pointer and the arrow keys move. */
function chart(item, open) {
  const marks = chartMarks(item);
  if (!marks.length) return el("p", { class: "quiet" }, "No site of this step has a number to draw.");
  const readout = el(
    "p",
    { class: "readout", role: "status" },
    el("span", { class: "quiet" }, "Point at a mark, or press an arrow key here; Enter opens the site."),
  );
  const first = marks.find((mark) => mark.site.fails);
  const label = `Error of ${amount(item.sites.length, "site")} in execution order, in ${item.factor === null ? "shares of what is allowed" : "noise floors"}. Arrow left and right move, up and down go to the failures, Enter opens.`;
  const surface = el("div", { class: "chart", tabindex: "0", role: "application", "aria-label": label });
  let scale = null,
    cursor = null,
    at = null;

  const render = (width) => {
    scale = chartScale(marks, item.factor, width);
    const lines = SERIES.map(({ key, mark }) =>
      draw("path", {
        class: `mark ${key}`,
        d: marks
          .filter((one) => one.key === key)
          .map((one) => `M${scale.x(one.rank).toFixed(1)} ${scale.y(one.value).toFixed(1)}${MARKS[mark]}`)
          .join(""),
      }),
    );
    cursor = draw("g", { class: "cursor" });
    surface.replaceChildren(
      draw(
        "svg",
        {
          viewBox: `0 0 ${width} ${CHART.height}`,
          "aria-hidden": "true",
          class: marks.length > DENSE ? "dense" : null,
        },
        chartGrid(scale, item, width),
        chartRegions(item, scale),
        lines,
        chartBounds(scale, item, width),
        cursor,
      ),
    );
    if (at) point(at);
  };
  const point = (mark) => {
    at = mark;
    const x = scale.x(mark.rank),
      y = scale.y(mark.value);
    cursor.replaceChildren(
      draw("line", { x1: x, x2: x, y1: CHART.top, y2: CHART.height - CHART.bottom }),
      draw("circle", { cx: x, cy: y, r: 6.5 }),
    );
    readout.replaceChildren(...markWords(mark));
  };
  const step = (by, wanted = () => true) => {
    let place = at ? marks.indexOf(at) + by : marks.indexOf(first ?? marks[0]);
    while (marks[place] && !wanted(marks[place])) place += Math.sign(by);
    point(marks[Math.min(Math.max(place, 0), marks.length - 1)]);
  };
  const keys = {
    ArrowRight: () => step(1),
    ArrowLeft: () => step(-1),
    PageDown: () => step(25),
    PageUp: () => step(-25),
    ArrowDown: () => step(1, (mark) => mark.site.fails),
    ArrowUp: () => step(-1, (mark) => mark.site.fails),
    Home: () => point(marks[0]),
    End: () => point(marks.at(-1)),
    Enter: () => at && open(at.site),
  };
  const under = (event) => {
    const box = surface.getBoundingClientRect();
    return nearest(marks, scale, event.clientX - box.left, event.clientY - box.top);
  };
  surface.addEventListener("keydown", (event) => onKey(event, keys));
  surface.addEventListener("pointermove", (event) => {
    const mark = under(event);
    if (mark) point(mark);
  });
  surface.addEventListener("click", (event) => {
    const mark = under(event);
    if (mark) open(mark.site);
  });
  new ResizeObserver(([entry]) => {
    if (entry.contentRect.width) render(Math.round(entry.contentRect.width));
  }).observe(surface);
  return [chartHead(item, chartLegend(marks)), surface, readout];
}

function chartHead(item, legend) {
  return el(
    "div",
    { class: "head" },
    el("h2", {}, `Error over execution order${item.step === null ? "" : `, step ${item.step}`}`),
    legend,
  );
}

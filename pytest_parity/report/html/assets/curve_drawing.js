/* What a chart of curves is made of: ticks, what is wrong behind the lines, the lines, and what is no number above them. */

const CROSS = "m-3 -3l6 6m0 -6l-6 6";

function curveTicks(scale, valued) {
  const { left, right, top, bottom, low, high, log, domain } = scale;
  const parts = [];
  const y = (log ? logTicks : linearTicks)(low, high, Math.max(2, Math.floor((bottom - top) / 36)));
  for (const tick of valued ? y.ticks : []) {
    const at = scale.y(tick);
    parts.push(draw("line", { x1: left, x2: right, y1: at, y2: at, class: "grid" }));
    parts.push(draw("text", { x: left - 8, y: at + 4, "text-anchor": "end" }, tickText(tick, y.by)));
  }
  const x = linearTicks(...domain, roomFor(domain, right - left), 1);
  for (const tick of x.ticks) {
    const at = scale.x(tick);
    parts.push(draw("line", { x1: at, x2: at, y1: bottom, y2: bottom + 4, class: "split" }));
    parts.push(draw("text", { x: at, y: bottom + 18, "text-anchor": "middle" }, stepText(tick, x.by)));
  }
  parts.push(draw("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "split" }));
  return parts;
}

/** Where something is wrong, behind the lines. */
function curveFound({ left, right, top, bottom, domain, x }, marks, chosen) {
  return marks.flatMap((mark, index) => {
    if (mark.last < domain[0] || mark.step > domain[1]) return [];
    const [from, to] = [Math.max(x(mark.step), left), Math.min(x(mark.last), right)];
    const width = Math.max(to - from, 3);
    const kind = chosen === index ? "found chosen" : "found";
    return [
      draw("rect", { x: from - (width > to - from ? 1.5 : 0), y: top, width, height: bottom - top, class: kind }),
      draw("path", { d: `M${from} ${bottom}m-4 6h8l-4 -6z`, class: "found-from" }),
    ];
  });
}

/** Bands, what was averaged, lines; and a dot for each point where there are `few`. */
function curvePaths(scale, { lines, faint, axis }, few) {
  const [bands, others] = [lines.filter((line) => line.band), lines.filter((line) => !line.band)];
  const kind = (line) => (line.member ? "member" : line.role);
  const drawn = (line, as) => draw("path", { d: linePath(line, scale), class: `line ${line.tone} ${as}` });
  const dotted = few || axis === "epochs" ? others : [];
  return [
    ...bands.map((line) => draw("path", { d: bandPath(line, scale), class: `band ${line.tone}` })),
    ...faint.map((line) => drawn(line, "faint")),
    ...others.map((line) => drawn(line, kind(line))),
    ...dotted.map((line) => draw("path", { d: dotsPath(line, scale), class: `dots ${line.tone} ${kind(line)}` })),
  ];
}

function dotsPath(line, { x, y, domain }) {
  const seen = (step, place) => step >= domain[0] && step <= domain[1] && y(line.values[place]) !== null;
  const dot = (step, place) => (seen(step, place) ? `M${x(step)} ${y(line.values[place])}h.01` : "");
  return line.steps.map(dot).join("");
}

/** Steps whose value is no number to draw, on a strip of their own above. */
function curveCrosses({ x, domain, left }, { lines, faint }) {
  const at = CURVE_BOX.top + CURVE_BOX.strip / 2 - 2;
  const crosses = (line) => {
    const places = line.steps.flatMap((step, place) =>
      step >= domain[0] && step <= domain[1] && !Number.isFinite(line.values[place]) ? [Math.round(x(step))] : [],
    );
    return [...new Set(places)].map((place) => `M${place} ${at}${CROSS}`).join("");
  };
  return [
    draw("text", { x: left - 8, y: at + 4, "text-anchor": "end", class: "unit" }, "nan, ∞"),
    ...[...lines, ...faint].map((line) => draw("path", { d: crosses(line), class: `nonfinite ${line.tone}` })),
  ];
}

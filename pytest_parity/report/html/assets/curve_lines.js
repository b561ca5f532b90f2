/* Lines of training curves: read, looked up, smoothed, and as paths. */

const CURVE_WINDOW = 100;
const CURVE_APART = 10;
const CURVE_FEW = 20;

/** A line with numbers as numbers, `order`: its places by step, and `apart`: the distance from which on two points are not joined. */
function readLine(raw) {
  const read = (values) => values.map((value) => numeric(value) ?? NaN);
  const order = raw.steps.map((_, place) => place).sort((a, b) => raw.steps[a] - raw.steps[b]);
  const far = raw.steps.map((step, place) => step - raw.steps[place - 1]).filter((by) => by > 0);
  far.sort((a, b) => a - b);
  const usual = far[far.length >> 1] ?? 1;
  return {
    ...raw,
    values: read(raw.values),
    high: read(raw.high ?? []),
    order,
    apart: raw.steps.length < CURVE_FEW ? Infinity : usual * CURVE_APART,
    band: raw.role === "band",
  };
}

/** The first index of `sorted` whose number is not below `value`. */
function lowerBound(sorted, value, of = (one) => one) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(sorted[middle]) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The place of the point nearest to a step; -1 where the line has none thereabouts. */
function nearestPlace(line, step) {
  const at = (index) => line.steps[line.order[index]];
  const after = lowerBound(line.order, step, (place) => line.steps[place]);
  const found = [after - 1, after].filter((index) => index >= 0 && index < line.order.length);
  if (!found.length) return -1;
  const best = found.reduce((a, b) => (Math.abs(at(b) - step) < Math.abs(at(a) - step) ? b : a));
  const apart = Number.isFinite(line.apart) ? line.apart / 2 : (at(line.order.length - 1) - at(0)) / line.order.length;
  return Math.abs(at(best) - step) <= apart ? line.order[best] : -1;
}

/** The distinct steps of lines from `from` to `to`, ascending. */
function stepsOf(lines, [from, to] = [-Infinity, Infinity]) {
  const found = new Set();
  for (const line of lines) for (const step of line.steps) if (step >= from && step <= to) found.add(step);
  return [...found].sort((a, b) => a - b);
}

/** From the first to the last step of lines, and of what is wrong besides, as steps that are missing. */
function wholeOf(lines, marks = []) {
  let from = Math.min(Infinity, ...marks.map((mark) => mark.step));
  let to = Math.max(-Infinity, ...marks.map((mark) => mark.last));
  for (const line of lines)
    for (const step of line.steps) {
      if (step < from) from = step;
      if (step > to) to = step;
    }
  return from <= to ? [from, to] : [0, 1];
}

/** How many points an average is over: a tenth of a short line's. */
function curveWindow(lines) {
  const most = lines.reduce((most_, line) => Math.max(most_, line.steps.length), 0);
  return Math.min(CURVE_WINDOW, Math.max(2, Math.ceil(most / 10)));
}

/** The mean of the last `window` values that are finite, at each place. */
function trailing(values, window) {
  return values.map((_, place) => {
    let sum = 0,
      times = 0;
    for (let at = Math.max(0, place - window + 1); at <= place; at += 1) {
      if (!Number.isFinite(values[at])) continue;
      sum += values[at];
      times += 1;
    }
    return times ? sum / times : NaN;
  });
}

function smoothed(line, window) {
  return { ...line, values: trailing(line.values, window), high: trailing(line.high, window) };
}

/** Calls `each` with the runs of places that are joined to one another and are seen from `from` to `to`. */
function joinedRuns(line, [from, to], known, each) {
  const { steps, apart } = line;
  const joined = (place) =>
    place > 0 && place < steps.length && known(place - 1) && known(place) && steps[place] - steps[place - 1] <= apart;
  const meets = (place) =>
    joined(place) && Math.max(steps[place - 1], steps[place]) >= from && Math.min(steps[place - 1], steps[place]) <= to;
  let run = [];
  const end = () => {
    if (run.length) each(run);
    run = [];
  };
  for (let place = 0; place < steps.length; place += 1) {
    const seen = steps[place] >= from && steps[place] <= to;
    if (!meets(place)) end();
    if (known(place) && (seen || meets(place) || meets(place + 1))) run.push(place);
    else end();
  }
  end();
}

/** A line as a path: broken where a value cannot be drawn, or steps are missing; a point alone is a dot. */
function linePath(line, scale) {
  const known = (place) => scale.y(line.values[place]) !== null;
  const point = (place) => `${scale.x(line.steps[place]).toFixed(1)} ${scale.y(line.values[place]).toFixed(1)}`;
  let path = "";
  joinedRuns(line, scale.domain, known, (run) => {
    path += `M${point(run[0])}h.01${run
      .slice(1)
      .map((place) => `L${point(place)}`)
      .join("")}`;
  });
  return path;
}

/** A band as a path that can be filled; an edge that a logarithm has no place for is the chart's own. */
function bandPath(line, scale) {
  const edge = (value, other) => scale.y(value) ?? (Number.isNaN(value) ? null : other);
  const known = (place) =>
    edge(line.values[place], scale.bottom) !== null && edge(line.high[place], scale.top) !== null;
  const at = (place, value, other) => `${scale.x(line.steps[place]).toFixed(1)} ${edge(value, other).toFixed(1)}`;
  let path = "";
  joinedRuns(line, scale.domain, known, (run) => {
    const low = run.map((place) => at(place, line.values[place], scale.bottom));
    const high = run.map((place) => at(place, line.high[place], scale.top)).reverse();
    path += `M${[...low, ...high].join("L")}Z`;
  });
  return path;
}

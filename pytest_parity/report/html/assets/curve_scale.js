/* Scales of curves: from steps and values to pixels, and the ticks beside them. */

const CURVE_BOX = { left: 60, right: 14, top: 10, bottom: 26, strip: 18, inset: 9 };
const CURVE_LETTER = 7;
const CURVE_FLAT = 1e-9;
const CURVE_STEEP = 30;

const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 3 });

/** Five significant digits, which tell curves apart that lie on one another. */
function curveNumber(value) {
  if (!Number.isFinite(value)) return number(value);
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(3).replace("e+", "e");
  return Number.isInteger(value) && size >= 1e4 ? count(value) : value.toPrecision(5);
}

/** 1, 2 or 5 times a power of ten, at most `most` of which fit into `span`. */
function niceStep(span, most) {
  const rough = span / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((one) => one * power >= rough) ?? 10);
}

function linearTicks(low, high, most, least = 0) {
  const by = Math.max(niceStep(high - low, most), least);
  const ticks = [];
  for (let at = Math.ceil(low / by - CURVE_FLAT); at * by <= high + by * CURVE_FLAT; at += 1) ticks.push(at * by);
  return { ticks, by };
}

/** Powers of ten; between few of them also their multiples. */
function logTicks(low, high, most) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const every = Math.ceil((last - first) / most);
  const found = (factors) => {
    const ticks = [];
    for (let power = first; power <= last; power += every)
      for (const factor of factors) ticks.push(factor * 10 ** power);
    return ticks.filter((tick) => tick >= low * (1 - CURVE_FLAT) && tick <= high * (1 + CURVE_FLAT));
  };
  const ticks = [[1], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]].map(found).find((one) => one.length > 2);
  return ticks ? { ticks, by: null } : linearTicks(low, high, most);
}

/** A tick's number with as many digits as it takes to tell it from the next. */
function tickText(value, by) {
  if (by === null) return number(value);
  if (Math.abs(value) < by * CURVE_FLAT) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || by < 1e-5) {
    const digits = Math.max(0, Math.floor(Math.log10(size)) - Math.floor(Math.log10(by)));
    return value.toExponential(Math.min(digits, 12)).replace("e+", "e");
  }
  return value.toFixed(Math.max(0, -Math.floor(Math.log10(by) + CURVE_FLAT)));
}

/** How many labels of steps have room beside one another. */
function roomFor([from, to], width) {
  const letters = stepText(to, niceStep(to - from, 5)).length;
  return Math.max(2, Math.floor(width / (letters * CURVE_LETTER + 36)));
}

function stepText(value, by) {
  return value >= 1e5 && by >= 1000 ? COMPACT.format(value) : count(value);
}

/** The lowest and the highest of the values that are seen, as far as they can be drawn; null where there is none. */
function extremes(lines, [from, to], log, edges) {
  let [low, high] = [Infinity, -Infinity];
  const meet = (value) => {
    if (!Number.isFinite(value) || (log && value <= 0)) return;
    low = Math.min(low, value);
    high = Math.max(high, value);
  };
  for (const line of lines)
    line.steps.forEach((step, place) => {
      if (step >= from && step <= to) edges(line).forEach((values) => meet(values[place]));
    });
  return low <= high ? [low, high] : null;
}

/** What an axis has to show: all of the lines, and of a band that is far wider than they are what is around them. */
function curveRange(lines, domain, log) {
  const inner = extremes(
    lines.filter((line) => !line.band),
    domain,
    log,
    (line) => [line.values],
  );
  const outer = extremes(lines, domain, log, (line) => (line.band ? [line.values, line.high] : [line.values]));
  if (!inner || !outer || inner[0] === inner[1]) return outer;
  const [low, high] = inner;
  const beyond = log ? [low * (low / high), high * (high / low)] : [low - (high - low) / 2, high + (high - low) / 2];
  return [Math.max(outer[0], beyond[0]), Math.min(outer[1], beyond[1])];
}

/** Whether a linear axis would show little but the largest values. */
function steep(lines) {
  const values = lines.flatMap((line) => line.values.filter(Number.isFinite)).sort((a, b) => a - b);
  return values.length > 0 && values[0] > 0 && values.at(-1) > CURVE_STEEP * values[values.length >> 1];
}

/** A range with some air around it. */
function airy([low, high], log) {
  if (log) {
    const by = (high / low) ** 0.04 * (high / low < 1 + CURVE_FLAT ? 1.05 : 1);
    return [low / by, high * by];
  }
  const by = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
  return [low - by, high + by];
}

/** `x` of a step, `y` of a value or null where it has no place, `step` of an x. */
function curveScale({ domain, range, log, width, height, strip, inset }) {
  const [from, to] = domain[0] < domain[1] ? domain : [domain[0] - 0.5, domain[1] + 0.5];
  const [left, right] = [CURVE_BOX.left, width - CURVE_BOX.right];
  const [start, end] = inset ? [left + CURVE_BOX.inset, right - CURVE_BOX.inset] : [left, right];
  const [top, bottom] = [CURVE_BOX.top + (strip ? CURVE_BOX.strip : 0), height - CURVE_BOX.bottom];
  const [low, high] = airy(range, log);
  const place = log ? (value) => Math.log(value / low) / Math.log(high / low) : (value) => (value - low) / (high - low);
  const within = (share) => Math.min(Math.max(share, -9), 9);
  return {
    ...{ domain: [from, to], low, high, log, left, right, top, bottom },
    x: (step) => start + ((step - from) / (to - from)) * (end - start),
    y: (value) =>
      !Number.isFinite(value) || (log && value <= 0) ? null : bottom - within(place(value)) * (bottom - top),
    step: (x) => from + ((Math.min(Math.max(x, start), end) - start) / (end - start)) * (to - from),
  };
}

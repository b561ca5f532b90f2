/* The page of `parity curves`: experiments beside one another, in axes for each unit, by step and by epoch. */

const CURVE_TONES = 8;

/** The lines of a panel: one colour and one entry in the legend for each experiment; single runs stand behind their mean. */
function drawnLines(drawn, experiments) {
  const rows = drawn.filter((row) => row.steps.length);
  const averaged = new Set(rows.filter((row) => row.role === "mean").map((row) => row.experiment));
  return rows.map((raw) => ({
    ...readLine(raw),
    tone: `tone-${Math.max(experiments.indexOf(raw.experiment), 0) % CURVE_TONES}`,
    group: raw.experiment,
    groupLabel: raw.experiment,
    member: raw.role === "run" && averaged.has(raw.experiment),
  }));
}

function panelTitle(panel) {
  const metric = words(panel.metric);
  const title = metric.charAt(0).toUpperCase() + metric.slice(1);
  return panel.unit ? `${title}, ${panel.unit}` : title;
}

function panelViews(panel, experiments) {
  const steps = drawnLines(panel.steps, experiments);
  const given = panel.smoothed.length > 0;
  const window = given ? panel.window : curveWindow(steps);
  const means = given ? drawnLines(panel.smoothed, experiments) : steps.map((line) => smoothed(line, window));
  const views = { steps, smoothed: means, epochs: drawnLines(panel.epochs, experiments) };
  return { title: panelTitle(panel), views, window, averaged: given ? "logged step" : "drawn point" };
}

function summary(document_) {
  const value = (one) => (one === null ? "–" : curveNumber(numeric(one)));
  const several = document_.experiments.some((one) => one.runs > 1);
  const units = document_.experiments.some((one) => one.unit);
  const columns = [
    ["experiment", (one) => el("span", {}, name(one.name))],
    ["model", (one) => one.model_type || "–"],
    ...(units ? [["loss in", (one) => one.unit || "–"]] : []),
    ...(several ? [["runs", (one) => count(one.runs), true]] : []),
    ["steps", (one) => count(one.steps), true],
    ["epochs", (one) => count(one.epochs), true],
    ["first", (one) => value(one.first), true],
    ["last", (one) => value(one.last), true],
    ["last, smoothed", (one) => value(one.smoothed), true],
    [
      "lowest",
      (one) => (one.lowest_step === null ? value(one.lowest) : `${value(one.lowest)} at ${count(one.lowest_step)}`),
      true,
    ],
    ["last epoch", (one) => value(one.epoch), true],
    ...(several ? [["spread", (one) => value(one.spread), true]] : []),
    ["not finite", (one) => count(one.nonfinite), true],
    ["hours", (one) => (one.hours === null ? "–" : number(one.hours)), true],
  ];
  const rows = document_.experiments.map((one) => columns.map(([, told]) => told(one)));
  const numeric_ = columns.flatMap(([, , numbers], index) => (numbers ? [index] : []));
  return grid(
    columns.map(([head]) => head),
    rows,
    numeric_,
  );
}

function lossSection(document_, experiments, state) {
  const told = document_.losses.map((panel) => panelViews(panel, experiments));
  state.log = told.some(({ views }) => steep(views.steps));
  const panels = told.map((one) => new CurvePanel(state, one));
  const single = panels.some((panel) =>
    Object.values(panel.views)
      .flat()
      .some((line) => line.member),
  );
  const apart =
    panels.length > 1
      ? el("p", { class: "quiet" }, "These losses mean different things: each has axes of its own.")
      : null;
  return block(
    "Loss",
    curveTools(state, panels, { single }),
    apart,
    el(
      "div",
      { class: "curve-panels" },
      panels.map((panel) => el("section", {}, el("h3", {}, panel.title), panel.root)),
    ),
  );
}

/** What an experiment has at an epoch: its mean with its band, or its run's loss. */
function atEpoch(lines, experiment, epoch) {
  const own = lines.filter((line) => line.group === experiment && !line.member);
  const at = (line) => (line ? line.steps.indexOf(epoch) : -1);
  const [line, band] = [own.find((one) => !one.band), own.find((one) => one.band)];
  if (at(line) < 0) return "–";
  const edges = at(band) < 0 ? "" : ` (${curveNumber(band.values[at(band)])} to ${curveNumber(band.high[at(band)])})`;
  return curveNumber(line.values[at(line)]) + edges;
}

/** Experiments side by side by epoch: those of one unit at one height, and the same in numbers. */
function epochSection(document_, experiments) {
  const state = new CurveState();
  state.view = "epochs";
  const told = document_.losses
    .map((panel) => panelViews(panel, experiments))
    .filter(({ views }) => views.epochs.length);
  if (!told.length) return null;
  state.log = told.some(({ views }) => steep(views.epochs));
  const charts = told.flatMap(({ title, views }) => {
    const range = curveRange(views.epochs, wholeOf(views.epochs), state.log);
    return [...new Set(views.epochs.map((line) => line.group))].map((key) => {
      const epochs = views.epochs.filter((line) => line.group === key);
      const panel = new CurvePanel(state, {
        title: `${key}: ${title}`,
        views: { epochs },
        fixed: "epochs",
        alone: true,
        height: 200,
        range,
      });
      return el("section", {}, el("h3", {}, name(key), el("span", { class: "quiet" }, ` ${title}`)), panel.root);
    });
  });
  const lines = told.flatMap(({ views }) => views.epochs);
  const compared = experiments.filter((one) => lines.some((line) => line.group === one));
  const rows = stepsOf(lines).map((epoch) => [count(epoch), ...compared.map((one) => atEpoch(lines, one, epoch))]);
  const numbers = grid(
    ["epoch", ...compared],
    rows,
    compared.map((_, index) => index + 1),
  );
  return block("By epoch, side by side", el("div", { class: "curve-small" }, charts), numbers);
}

/** Further series, small, at the same steps as the loss. */
function seriesSection(document_, experiments, state) {
  const charts = document_.series.map((panel) => {
    const { views, title, window } = panelViews(panel, experiments);
    const own = new CurvePanel(state, { title, views, window, fixed: "steps", log: steep(views.steps), height: 180 });
    return el("section", {}, el("h3", {}, title), own.root);
  });
  return charts.length ? block("Further series", el("div", { class: "curve-small" }, charts)) : null;
}

function curvesPage(document_) {
  const experiments = document_.experiments.map((one) => one.name);
  const state = new CurveState();
  const judged = document_.judged.map(curveSection);
  const main = document.getElementById("main");
  new Theme(document.getElementById("theme-button"));
  skipTo(main);
  fill(main, {}, [
    el("h1", {}, document_.title),
    block("Summary", el("div", { class: "curve-summary" }, summary(document_))),
    block("Do they differ?", list(document_.differences)),
    judged.length ? block(document_.against ? `Against ${document_.against}` : "Judged", judged) : null,
    document_.losses.length ? lossSection(document_, experiments, state) : null,
    epochSection(document_, experiments),
    seriesSection(document_, experiments, state),
    block("Notes", list(document_.notes)),
  ]);
}

curvesPage(JSON.parse(document.getElementById("document").textContent));

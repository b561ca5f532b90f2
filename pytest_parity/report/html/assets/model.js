/* The document as the page needs it: numbers as numbers, sites with what they are searched, sorted and drawn by. */

const FAILING = new Set(["differs", "shape", "dtype", "nonfinite", "missing", "extra", "empty"]);
const PHASE = {
  batch: 0,
  weight: 0,
  input: 1,
  activation: 1,
  output: 1,
  loss: 1,
  activation_gradient: 2,
  gradient: 2,
  optimizer: 3,
  updated_weight: 3,
};
const PHASES = ["start", "forward", "backward", "update"];

/** The larger of an error's two ratios; one that is no number is as bad as can be. */
function worse(floors) {
  return Math.max(
    ...[floors.norm, floors.gain]
      .map((ratio) => numeric(ratio) ?? 0)
      .map((ratio) => (Number.isNaN(ratio) ? Infinity : ratio)),
  );
}

function readSite(site, index) {
  const floors = site.floors ? worse(site.floors) : null;
  const equal = site.verdict === "equal";
  return {
    ...site,
    index,
    fails: FAILING.has(site.verdict),
    floors: equal ? 0 : floors,
    norm: numeric(site.floors?.norm),
    gain: numeric(site.floors?.gain),
    factor: site.floors?.factor ?? null,
    share: equal ? 0 : numeric(site.share),
    max_abs: equal ? 0 : numeric(site.max_abs),
    relative_l2: equal ? 0 : numeric(site.relative_l2),
    phase: PHASE[site.kind] ?? 1,
    hay: `${site.site} ${site.candidate ?? ""} ${site.verdict} ${site.kind}`.toLowerCase(),
  };
}

function readModule(module) {
  const [inherited, introduced, outgoing] = ["inherited", "introduced", "outgoing"].map((key) => numeric(module[key]));
  return { ...module, inherited, introduced, outgoing };
}

/** Sites as they are computed; a parameter's gradient is told where its module comes by on the way back. */
function inOrder(sites) {
  const first = new Map();
  for (const site of sites) {
    if (site.phase === 1 && site.module !== undefined && !first.has(site.module)) first.set(site.module, site.index);
  }
  const place = (site) => (site.phase === 2 ? -(first.get(site.module) ?? -1) : site.index);
  return [...sites].sort((a, b) => a.phase - b.phase || place(a) - place(b) || a.index - b.index);
}

function readCase(raw) {
  const sites = raw.sites.map(readSite);
  const ordered = inOrder(sites);
  ordered.forEach((site, rank) => {
    site.rank = rank;
  });
  const factor = sites.find((site) => site.factor !== null)?.factor ?? null;
  return {
    ...raw,
    sites,
    ordered,
    factor,
    byName: new Map(sites.map((site) => [site.site, site])),
    modules: raw.modules.map(readModule),
    calls: (raw.isolation?.errors ?? []).map(readModule),
  };
}

/** The height of a site in the chart: floors, or where no floor decided its share of what is allowed; null: unknown. */
function height(site, factor) {
  if (site.floors !== null) return site.floors;
  if (site.share !== null) return factor === null ? site.share : site.share * factor;
  return site.fails ? Infinity : null;
}

/** A site's error in a few words. */
function errorWords(site) {
  if (site.verdict === "equal") return "equal, bit for bit";
  const verdict = words(site.verdict);
  if (site.floors !== null) return `${verdict}, ${number(site.floors)} floors of ${number(site.factor)} allowed`;
  if (site.share !== null) return `${verdict}, ${number(site.share)} of what is allowed`;
  return site.detail ? `${verdict}: ${site.detail}` : verdict;
}

/* Routes: #case, #case/sites, #case/run, #case/kind/path#call. No case's name begins with another's and a slash. */

const TABS = {
  modules: () => "Modules",
  curves: (item) => (item.curves.length > 1 ? `Curves ${count(item.curves.length)}` : "Curve"),
  sites: (item) => `Sites ${count(item.sites.length)}`,
  run: () => "Run",
};
const VIEWS = Object.keys(TABS);

/** The views of a case in their order: curves first where they alone are wrong. */
function viewsOf(item) {
  const first = item.curves.some((curve) => !curve.passed) && !item.sites.some((site) => site.fails);
  return first ? ["curves", ...VIEWS.filter((view) => view !== "curves")] : VIEWS;
}

function href(item, rest = "") {
  const path = rest ? `${item.case}/${rest}` : item.case;
  return `#${encodeURI(path).replaceAll("#", "%23").replaceAll("?", "%3F")}`;
}

function route(cases, hash) {
  let path = hash.replace(/^#/, "");
  try {
    path = decodeURIComponent(path);
  } catch {
    /* typed by hand: taken as it is */
  }
  const item = cases.find((one) => path === one.case || path.startsWith(`${one.case}/`));
  if (!item) return { item: cases[0], view: "" };
  const rest = path.slice(item.case.length + 1);
  if (!rest || VIEWS.includes(rest)) return { item, view: rest };
  const site = item.byName.get(rest);
  return site ? { item, site } : { item, view: "sites", wanted: rest };
}

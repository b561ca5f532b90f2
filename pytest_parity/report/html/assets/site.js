/* A site's page: its numbers, how its differences are spread, its worst elements. */

function tolerance(site) {
  if (site.factor !== null) return `${number(site.factor)} noise floors`;
  if (site.rtol === undefined) return null;
  return `rtol ${number(site.rtol)}, atol ${number(site.atol)}`;
}

function siteNumbers(site) {
  const ratios =
    site.floors === null || site.norm === null
      ? null
      : `${number(site.norm)} by the norm, ${number(site.gain)} by the gain`;
  const flags = [
    site.replayed ? "replayed: the recorded output took the place of its own" : null,
    site.isolated ? "stepped from the reference's own start" : null,
  ].filter(Boolean);
  return pairs([
    ["verdict", el("span", { class: site.fails ? "bad" : "good" }, errorWords(site))],
    ["noise floors", ratios],
    ["allowed", tolerance(site)],
    ["declared", site.origin],
    ["at the worst element", site.allowed === undefined ? null : number(numeric(site.allowed))],
    ["of what is allowed", site.share === null ? null : number(site.share)],
    ["largest |a−r|", site.max_abs === null ? null : number(site.max_abs)],
    ["mean |a−r|", site.mean_abs === undefined ? null : number(numeric(site.mean_abs))],
    ["relative, |a−r| / |r| by norms", site.relative_l2 === null ? null : number(site.relative_l2)],
    ["cosine", site.cosine === undefined ? null : String(Number(numeric(site.cosine).toPrecision(10)))],
    [
      "beyond what is allowed",
      site.mismatched === undefined ? null : `${count(site.mismatched)} of ${amount(site.elements, "element")}`,
    ],
    ["compared", site.elements === undefined ? null : amount(site.elements, "element")],
    ["tensor", site.shape ? mono(`${site.dtype} [${site.shape.join(", ")}]`) : null],
    ["detail", site.detail],
    ["place", site.order === undefined ? "the candidate's alone" : `${count(site.order)} in execution order`],
    ["besides", flags.join("; ")],
  ]);
}

/** Bars of elements by the power of ten of their difference. */
function histogram(site) {
  const { start, width, counts, equal, nonfinite } = site.histogram;
  const rest = `${count(equal)} do not differ${nonfinite ? `, ${count(nonfinite)} are not finite on one side` : ""}.`;
  if (!counts.length) return el("p", { class: "quiet" }, rest);
  const most = Math.max(1, ...counts),
    w = 420,
    h = 150,
    bar = w / counts.length;
  const allowed = numeric(site.allowed);
  const rects = counts.map((value, index) =>
    draw(
      "rect",
      {
        x: index * bar + 0.5,
        y: h - (value / most) * (h - 16),
        width: Math.max(bar - 1, 0.5),
        height: (value / most) * (h - 16),
        class: allowed > 0 && start + index * width >= Math.log10(allowed) ? "beyond" : null,
      },
      draw(
        "title",
        {},
        `${amount(value, "element")} from 1e${number(start + index * width)} to 1e${number(start + (index + 1) * width)}`,
      ),
    ),
  );
  const every = Math.max(1, Math.ceil((counts.length * width) / 6));
  const ticks = [];
  for (let power = Math.ceil(start); power <= start + counts.length * width; power += every)
    ticks.push(
      draw("text", { x: ((power - start) / width) * bar, y: h + 15, "text-anchor": "middle" }, number(10 ** power)),
    );
  const label = `${amount(
    counts.reduce((a, b) => a + b, 0),
    "element",
  )} by how far they differ, from ${number(10 ** start)} to ${number(10 ** (start + counts.length * width))}`;
  return [
    el(
      "div",
      { class: "bars" },
      draw(
        "svg",
        { viewBox: `0 0 ${w} ${h + 20}`, role: "img", "aria-label": label },
        rects,
        draw("line", { x1: 0, x2: w, y1: h, y2: h }),
        ticks,
      ),
    ),
    el("p", { class: "quiet" }, `|a−r|; the tallest bar has ${amount(most, "element")}. ${rest}`),
  ];
}

function worstTable(site) {
  const head = ["element", "here", "reference", "|a−r|"];
  const exact = (value) => (typeof value === "number" ? String(Number(value.toPrecision(9))) : String(value));
  const rows = site.worst.map(({ index, here, reference }) => {
    const [a, r] = [numeric(here), numeric(reference)];
    return [mono(`[${index.join(", ")}]`), exact(here), exact(reference), number(Math.abs(a - r))];
  });
  return grid(head, rows, [1, 2, 3]);
}

function neighbours(item, site) {
  const link = (other, text) =>
    other ? el("a", { href: href(item, other.site), title: other.site }, text) : el("span");
  return el(
    "nav",
    { class: "turn", "aria-label": "Neighbours in execution order" },
    link(item.ordered[site.rank - 1], "← the site before"),
    link(item.ordered[site.rank + 1], "the site after →"),
  );
}

function relatives(item, site) {
  const others =
    site.module === undefined
      ? []
      : item.sites.filter((other) => other.module === site.module && other !== site).slice(0, 40);
  if (!others.length) return null;
  return el(
    "section",
    { class: "block" },
    el("h2", {}, "Of the same module"),
    el(
      "ul",
      { class: "lines" },
      others.map((other) =>
        el(
          "li",
          {},
          el("a", { href: href(item, other.site) }, name(other.site)),
          " ",
          el("span", { class: other.fails ? "bad" : "quiet" }, errorWords(other)),
        ),
      ),
    ),
  );
}

function sitePage(item, site) {
  const section = (title, ...content) => el("section", {}, el("h2", {}, title), content);
  return el(
    "article",
    { class: "site" },
    el(
      "p",
      { class: "crumbs" },
      el("a", { href: href(item) }, item.case),
      " / ",
      el("a", { href: href(item, "sites") }, "sites"),
      item.step === null ? "" : ` / step ${item.step}`,
    ),
    el("h1", { tabindex: "-1" }, name(site.site)),
    site.candidate ? el("p", { class: "quiet" }, "the candidate's ", name(site.candidate)) : null,
    el(
      "div",
      { class: "columns" },
      section("Numbers", siteNumbers(site)),
      el(
        "div",
        {},
        site.histogram ? section("How far the elements differ", histogram(site)) : null,
        site.worst?.length ? section("Worst elements", worstTable(site)) : null,
      ),
    ),
    relatives(item, site),
    neighbours(item, site),
  );
}

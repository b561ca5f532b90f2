/* The table of sites: searched, filtered, sorted; only the rows that can be seen are in the page. */

const ROW = 30;
const SPARE = 8;
const PRINTED = 500;
const COLUMNS = [
  {
    key: "order",
    label: "#",
    kind: "order",
    up: true,
    of: (site) => site.order ?? Infinity,
    text: (site) => site.order ?? "",
  },
  { key: "site", label: "site", kind: "site", up: true, of: (site) => site.site },
  {
    key: "verdict",
    label: "verdict",
    kind: "verdict",
    up: true,
    of: (site) => (site.fails ? 0 : site.verdict === "equal" ? 2 : 1),
  },
  { key: "floors", label: "floors", kind: "floors", of: (site) => site.floors },
  { key: "max_abs", label: "max |a−r|", kind: "number", of: (site) => site.max_abs },
  { key: "relative_l2", label: "relative", kind: "number", of: (site) => site.relative_l2 },
  { key: "share", label: "of allowed", kind: "number", of: (site) => site.share },
];

function compared(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return a < b ? -1 : 1;
}

/** Sites that contain every word, of a verdict and a kind, in the order of a column; of equals the earlier first. */
function chosen(sites, { query, verdict, kind, column, up }) {
  const wanted = query.toLowerCase().split(/\s+/).filter(Boolean);
  const { of } = COLUMNS.find((one) => one.key === column);
  const sign = up ? 1 : -1;
  return sites
    .filter(
      (site) =>
        (!verdict || (verdict === "failing" ? site.fails : site.verdict === verdict)) &&
        (!kind || site.kind === kind) &&
        wanted.every((word) => site.hay.includes(word)),
    )
    .sort((a, b) => sign * compared(of(a), of(b)) || a.index - b.index);
}

function options(label, everything, values) {
  const tally = new Map();
  for (const value of values) tally.set(value, (tally.get(value) ?? 0) + 1);
  return el(
    "select",
    { "aria-label": label },
    el("option", { value: "" }, everything),
    [...tally].map(([value, times]) => el("option", { value }, `${words(value)} (${count(times)})`)),
  );
}

class Sites {
  constructor(item) {
    this.item = item;
    this.state = { query: "", verdict: "", kind: "", column: "verdict", up: true };
    this.search = el("input", {
      type: "search",
      placeholder: "Search sites, as: conv gradient",
      "aria-label": "Search the sites",
      autocomplete: "off",
      spellcheck: "false",
    });
    this.verdict = options(
      "Verdict",
      "every verdict",
      item.sites.map((site) => site.verdict),
    );
    const failing = item.sites.filter((site) => site.fails).length;
    if (failing)
      this.verdict.children[0].after(el("option", { value: "failing" }, `all that fail (${count(failing)})`));
    this.kind = options(
      "Kind",
      "every kind",
      item.sites.map((site) => site.kind),
    );
    this.told = el("output", { "aria-live": "polite" });
    this.heads = COLUMNS.map((column) =>
      el(
        "th",
        { scope: "col", class: column.kind === "site" || column.kind === "verdict" ? null : "n" },
        el("button", { type: "button", onclick: () => this.sort(column) }, column.label),
      ),
    );
    this.body = el("tbody");
    this.table = el(
      "table",
      { "aria-label": "Sites" },
      el(
        "colgroup",
        {},
        COLUMNS.map((column) => el("col", { class: `col-${column.kind}` })),
      ),
      el("thead", {}, el("tr", { "aria-rowindex": 1 }, this.heads)),
      this.body,
    );
    this.port = el("div", { class: "port", tabindex: "-1" }, this.table);
    this.listen();
    this.update();
  }

  listen() {
    const read = () => {
      Object.assign(this.state, { query: this.search.value, verdict: this.verdict.value, kind: this.kind.value });
      this.update();
    };
    for (const control of [this.search, this.verdict, this.kind]) control.addEventListener("input", read);
    this.port.addEventListener("scroll", () => this.render(), { passive: true });
    this.search.addEventListener("keydown", (event) =>
      onKey(event, {
        Escape: () => (this.search.value ? this.find("") : this.search.blur()),
        ArrowDown: () => this.focus(0),
        Enter: () => this.focus(0),
      }),
    );
    this.body.addEventListener("keydown", (event) => this.key(event));
    addEventListener("beforeprint", () => this.render(true));
    addEventListener("afterprint", () => this.render());
    new ResizeObserver(() => this.render()).observe(this.port);
  }

  find(text) {
    this.search.value = text;
    this.search.dispatchEvent(new Event("input"));
  }

  sort(column) {
    const { state } = this;
    Object.assign(state, { up: state.column === column.key ? !state.up : Boolean(column.up), column: column.key });
    this.update();
  }

  update() {
    this.rows = chosen(this.item.sites, this.state);
    this.heads.forEach((head, index) => {
      const sorted = COLUMNS[index].key === this.state.column;
      if (sorted) head.setAttribute("aria-sort", this.state.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
      head.firstChild.textContent = COLUMNS[index].label + (sorted ? (this.state.up ? " ↑" : " ↓") : "");
    });
    this.table.setAttribute("aria-rowcount", this.rows.length + 1);
    this.told.textContent = `${count(this.rows.length)} of ${amount(this.item.sites.length, "site")}`;
    this.port.scrollTop = 0;
    this.render();
  }

  render(printing = false) {
    const seen = Math.ceil((this.port.clientHeight || 600) / ROW) + 2 * SPARE;
    const first = printing
      ? 0
      : Math.max(0, Math.min(Math.floor(this.port.scrollTop / ROW) - SPARE, this.rows.length - seen));
    const last = printing ? PRINTED : first + seen;
    const gap = (rows) => {
      const cell = el("td", { colspan: COLUMNS.length });
      cell.style.height = `${rows * ROW}px`;
      return el("tr", { class: "gap", "aria-hidden": "true" }, cell);
    };
    const held = this.body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.place : null;
    const shown = this.rows.slice(first, last).map((site, index) => this.row(site, first + index));
    this.body.replaceChildren(gap(first), ...shown, gap(printing ? 0 : Math.max(0, this.rows.length - last)));
    if (!this.rows.length)
      this.body.replaceChildren(
        el("tr", {}, el("td", { colspan: COLUMNS.length, class: "quiet" }, "No site is like that.")),
      );
    if (held !== null) this.link(held)?.focus({ preventScroll: true });
  }

  row(site, place) {
    const number_ = (value) => el("td", { class: "n" }, number(value));
    return el(
      "tr",
      { "aria-rowindex": place + 2, "data-place": place },
      el("td", { class: "n quiet" }, String(COLUMNS[0].text(site))),
      el(
        "td",
        {},
        el(
          "a",
          {
            href: href(this.item, site.site),
            title: site.candidate ? `${site.candidate} (reference: ${site.site})` : site.site,
          },
          site.site,
        ),
      ),
      el("td", { class: site.fails ? "bad" : "quiet" }, site.fails ? `✕ ${words(site.verdict)}` : words(site.verdict)),
      number_(site.floors),
      number_(site.max_abs),
      number_(site.relative_l2),
      number_(site.share),
    );
  }

  link(place) {
    return this.body.querySelector(`tr[data-place="${place}"] a`);
  }

  focus(place) {
    const to = Math.min(Math.max(place, 0), this.rows.length - 1);
    const top = to * ROW,
      room = this.port.clientHeight - 2 * ROW;
    if (top < this.port.scrollTop) this.port.scrollTop = top;
    else if (top > this.port.scrollTop + room) this.port.scrollTop = top - room;
    this.render();
    this.link(to)?.focus({ preventScroll: true });
  }

  key(event) {
    const place = Number(event.target.closest("tr")?.dataset.place ?? 0);
    const page = Math.floor(this.port.clientHeight / ROW) - 2;
    onKey(event, {
      ArrowDown: () => this.focus(place + 1),
      PageDown: () => this.focus(place + page),
      End: () => this.focus(this.rows.length - 1),
      Home: () => this.focus(0),
      ArrowUp: () => (place ? this.focus(place - 1) : this.search.focus()),
      PageUp: () => this.focus(place - page),
    });
  }

  section() {
    const { step } = this.item;
    return el(
      "section",
      { "aria-label": "Sites" },
      el("div", { class: "tools", role: "search" }, this.search, this.verdict, this.kind, this.told),
      this.port,
      el(
        "p",
        { class: "quiet" },
        step === null ? "" : `Step ${step}, in the reference's names. `,
        "A row opens its site.",
      ),
    );
  }
}

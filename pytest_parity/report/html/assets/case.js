/* A case: what is wrong and why, on top; below it the tabs. */

const DOTTED = /^[a-z_]\w*(\.\w+)+$/i;

/** Names of modules and sites that a sentence may hold. */
function namesOf(item) {
  const sites = item.sites.flatMap((site) => [site.site, site.candidate]).filter(Boolean);
  const paths = sites.map((site) => site.replace(/^\w+\/|#.*$/g, "")).filter((path) => path.includes("."));
  const modules = item.modules
    .flatMap((module) => [module.path, module.candidate])
    .filter((path) => !/^\d+$/.test(path));
  return new Set([...sites, ...paths, ...modules]);
}

/** A sentence with its names set apart, and the culprit's apart from the others. */
function sentence(text, item) {
  const names = namesOf(item),
    culprit = item.diagnosis?.module;
  return text.split(/(\s+)/).flatMap((word) => {
    const [, before, bare_, after] = word.match(/^([("']*)(.*?)([)"',;:.]*)$/s);
    const whole = [word, word.replace(/[,;:.]+$/, "")].find((one) => one && (one === culprit || names.has(one)));
    if (whole) return [name(whole, whole === culprit ? { class: "culprit" } : {}), word.slice(whole.length)];
    if (bare_ === culprit) return [before, name(culprit, { class: "culprit" }), after];
    return names.has(bare_) || DOTTED.test(bare_) ? [before, name(bare_), after] : [word];
  });
}

/** The first line without the case and the step, which stand above it. */
function headline(item) {
  const own = item.headline.startsWith(item.case);
  return sentence(own ? item.headline.slice(item.case.length).replace(/^( step \d+)?: */, "") : item.headline, item);
}

function over(item) {
  const step = item.diagnosis && item.diagnosis.step !== null ? `step ${item.diagnosis.step}` : null;
  return el(
    "p",
    { class: "over" },
    el("span", {}, outcomeMark(item.outcome), " ", el("span", { class: "outcome" }, item.outcome)),
    el("span", {}, item.case),
    step && el("span", {}, step),
    item.file ? el("span", {}, `${item.file}${item.line ? `:${item.line}` : ""}`) : null,
  );
}

function causes(item) {
  const told = item.diagnosis?.causes ?? [];
  return told.length
    ? el(
        "ul",
        { class: "causes", "aria-label": "Causes" },
        told.map((one) => el("li", {}, sentence(one.text, item), el("span", { class: "cause" }, words(one.cause)))),
      )
    : null;
}

function known(item) {
  const told = item.diagnosis?.hints ?? [];
  return told.length
    ? el("div", { class: "known" }, list(told.map((text) => el("span", {}, sentence(text, item)))))
    : null;
}

function counts(item) {
  if (!item.expected || item.outcome !== "failed") return null;
  const parts = Object.entries(item.counts).filter(([, times]) => times);
  const other = item.settings.length + item.environment.differences.length;
  return el(
    "p",
    { class: "counts" },
    el("span", {}, el("b", {}, count(item.compared)), ` of ${amount(item.expected, "site")} compared`),
    parts.map(([verdict, times]) =>
      el(
        "span",
        { class: FAILING.has(verdict) ? "bad" : null },
        el("b", { class: FAILING.has(verdict) ? "bad" : null }, count(times)),
        ` ${words(verdict)}`,
      ),
    ),
    other ? el("a", { href: href(item, "run") }, `${amount(other, "setting")} not as in the golden's run`) : null,
  );
}

/** A sentence that ends in the numbers, which have columns of their own. */
function faultyRow(item, one) {
  const said = sentence(one.text.replace(/: [^:]*$/, ""), item);
  const why = one.hints.map((hint) => el("span", {}, sentence(hint.text, item)));
  return [
    el(
      "span",
      {},
      item.byName.has(one.site) ? el("a", { href: href(item, one.site) }, said) : said,
      why.length ? el("div", { class: "why" }, list(why)) : null,
    ),
    number(numeric(one.floors)),
    number(numeric(one.relative)),
  ];
}

function faulty(item) {
  const found = item.isolation;
  if (!found) return null;
  const quiet = (text) => el("p", { class: "quiet" }, text);
  const rows = found.faulty.map((one) => faultyRow(item, one));
  const told = found.refused
    ? quiet(`Modules were not looked at alone: ${found.refused}`)
    : rows.length
      ? grid(["Faulty alone, fed the reference's values", "floors", "relative"], rows, [1, 2])
      : quiet(
          `Alone, fed the reference's values, none of ${amount(found.calls, "module call")} adds an error of its own.`,
        );
  return el("section", { class: "faulty", "aria-label": "Isolation" }, told);
}

class Case {
  constructor(app, item) {
    Object.assign(this, { app, item, scroll: 0, focused: null });
    this.sites = item.sites.length ? new Sites(item) : null;
    this.panels = {
      modules: this.modules(),
      curves: item.curves.length ? item.curves.map(curveSection) : null,
      sites: this.sites?.section() ?? null,
      run: runPanel(item, app.run),
    };
    this.views = viewsOf(item).filter((view) => this.panels[view]);
    this.tabs = this.views.map((view, index) =>
      el(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${view}`,
          "aria-controls": `panel-${view}`,
          onclick: () => app.go(href(item, index ? view : "")),
        },
        TABS[view](item),
      ),
    );
    this.bodies = this.views.map((view) =>
      el("div", { role: "tabpanel", id: `panel-${view}`, "aria-labelledby": `tab-${view}` }, this.panels[view]),
    );
    const list_ = el("div", { role: "tablist", "aria-label": "Views" }, this.tabs);
    list_.addEventListener("keydown", (event) => this.key(event));
    this.root = el(
      "div",
      { class: item.outcome },
      over(item),
      el("h1", { tabindex: "-1" }, headline(item)),
      causes(item),
      known(item),
      counts(item),
      faulty(item),
      list_,
      this.bodies,
    );
  }

  modules() {
    const { item, app } = this;
    if (!item.sites.length && !item.modules.length && !item.structure.length) return null;
    const open = (site) => app.go(href(item, site.site));
    const search = (module) => {
      app.go(href(item, "sites"));
      this.sites?.find(module.path === ROOT ? "" : module.path);
    };
    const drawn = item.sites.length
      ? el("section", { "aria-label": "Error over execution order" }, chart(item, open))
      : null;
    return [block("Built differently", structure(item)), drawn, treeSection(item, search)];
  }

  show(view) {
    const at = Math.max(this.views.indexOf(view), 0);
    this.tabs.forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === at));
      tab.setAttribute("tabindex", index === at ? "0" : "-1");
    });
    this.bodies.forEach((body, index) => {
      body.hidden = index !== at;
    });
  }

  key(event) {
    const at = this.tabs.indexOf(document.activeElement);
    const to = (index) => {
      const tab = this.tabs[(index + this.tabs.length) % this.tabs.length];
      tab.click();
      tab.focus();
    };
    onKey(event, { ArrowRight: () => to(at + 1), ArrowLeft: () => to(at - 1), Home: () => to(0), End: () => to(-1) });
  }
}

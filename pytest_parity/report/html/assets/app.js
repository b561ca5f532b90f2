/* The page: the list of cases, the way between them by hash, keys, the theme. */

class App {
  constructor(raw) {
    this.run = raw.run;
    this.cases = raw.cases.map(readCase);
    this.views = new Map();
    this.main = document.getElementById("main");
    this.nav = document.getElementById("cases");
    this.links = this.cases.map((item) =>
      el("a", { href: href(item) }, outcomeMark(item.outcome), el("span", {}, item.case)),
    );
    this.listed();
    addEventListener("hashchange", () => this.render());
    document.addEventListener("keydown", (event) => this.key(event));
    this.furnish();
    this.render();
  }

  listed() {
    if (this.cases.length < 2) return this.nav.remove();
    document.getElementById("frame").classList.add("many");
    const rows = this.links.map((link) => el("li", {}, link));
    const filter = el("input", { type: "search", placeholder: "Find a case", "aria-label": "Find a case" });
    filter.addEventListener("input", () =>
      rows.forEach((row, index) => {
        row.hidden = !this.cases[index].case.toLowerCase().includes(filter.value.toLowerCase());
      }),
    );
    return this.nav.append(this.cases.length > 12 ? filter : "", el("ol", {}, rows));
  }

  furnish() {
    const keys = document.getElementById("keys");
    document.getElementById("keys-button").addEventListener("click", () => keys.showModal());
    skipTo(this.main);
    this.theme = new Theme(document.getElementById("theme-button"));
  }

  /** Goes there now; the event of the same change finds nothing left to do. */
  go(hash) {
    location.hash = hash;
    this.render();
  }

  view(item) {
    if (!this.views.has(item)) this.views.set(item, new Case(this, item));
    return this.views.get(item);
  }

  render() {
    if (!this.cases.length) {
      return this.main.replaceChildren(el("h1", {}, "No test of this run recorded or checked anything."));
    }
    if (this.at?.hash === location.hash) return undefined;
    const before = this.at;
    const { item, view, site, wanted } = route(this.cases, location.hash);
    if (before?.page.root.isConnected) {
      Object.assign(before.page, { scroll: scrollY, focused: document.activeElement });
    }
    const page = this.view(item);
    if (!site) this.from = view;
    this.at = { hash: location.hash, item, view, site, page };
    this.mark(item, site);
    if (site) return this.open(item, site);
    page.show(view);
    if (!page.root.isConnected) this.main.replaceChildren(page.root);
    if (wanted) page.sites?.find(wanted);
    if (before?.site && before.item === item) return this.restore(page);
    if (before && before.item !== item) this.arrive(page.root.querySelector("h1"));
    return undefined;
  }

  mark(item, site) {
    this.links.forEach((link, index) => {
      if (this.cases[index] === item) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    document.title = `${site ? site.site : item.case} · ${SYMBOL[item.outcome] ?? ""} parity`;
  }

  open(item, site) {
    const shown = sitePage(item, site);
    this.main.replaceChildren(shown);
    this.arrive(shown.querySelector("h1"));
  }

  arrive(title) {
    scrollTo(0, 0);
    title.focus({ preventScroll: true });
  }

  restore(page) {
    scrollTo(0, page.scroll);
    if (page.focused?.isConnected && page.focused !== document.body) page.focused.focus({ preventScroll: true });
  }

  turn(by) {
    const next = this.cases[this.cases.indexOf(this.at.item) + by];
    if (next) this.go(href(next));
  }

  find() {
    const { item, page } = this.at;
    if (!page.sites) return;
    if (this.at.view !== "sites") {
      this.go(href(item, "sites"));
      this.render();
    }
    page.sites.search.focus();
    page.sites.search.select();
  }

  key(event) {
    if (!this.at || event.target.closest("input, select, textarea, dialog")) return;
    const { item, page, site } = this.at;
    const tab = (index) => () => {
      if (page.views[index]) this.go(href(item, index ? page.views[index] : ""));
    };
    onKey(event, {
      "/": () => this.find(),
      "?": () => document.getElementById("keys").showModal(),
      t: () => this.theme.turn(),
      "[": () => this.turn(-1),
      "]": () => this.turn(1),
      1: tab(0),
      2: tab(1),
      3: tab(2),
      4: tab(3),
      ...(site ? { Escape: () => this.leave() } : {}),
    });
  }

  /** Back to where a site was opened from; to the table where it was opened by its address. */
  leave() {
    const from = this.from;
    this.go(href(this.at.item, from ?? "sites"));
  }
}

new App(JSON.parse(document.getElementById("document").textContent));

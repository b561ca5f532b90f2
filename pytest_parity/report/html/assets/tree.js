/* The module tree, by the WAI-ARIA pattern: coloured, and numbered, by the error that each module adds of its own. */

const HEAT = { from: Math.log10(BLAME), to: 6 };
const ROOT = "(model)";
const HEAT_STEPS = [BLAME, 10, 100, 1e3, 1e4, 1e5, 1e6];

/** From 0 at what nobody is blamed for to 1 at a million; lightness follows it evenly. */
function heatOf(value) {
  if (value === null || !(value > BLAME)) return 0;
  return Math.min((Math.log10(value) - HEAT.from) / (HEAT.to - HEAT.from), 1);
}

function heatCell(value, text = number(value)) {
  const heat = heatOf(value);
  const cell = el("span", { class: `number heat${heat ? "" : " cold"}` }, text);
  cell.style.setProperty("--heat", heat.toFixed(3));
  return cell;
}

/** The nearest ancestor that is listed; the root stands above everything else. */
function ancestor(path, nodes) {
  for (let at = path.lastIndexOf("."); at > 0; at = path.lastIndexOf(".", at - 1)) {
    const found = nodes.get(path.slice(0, at));
    if (found) return found;
  }
  return path === ROOT ? null : (nodes.get(ROOT) ?? null);
}

/** Modules as nodes with children, each labelled by what its name adds to the nearest ancestor's. */
function grown(modules) {
  const nodes = new Map();
  const roots = [];
  for (const module of modules) {
    const parent = ancestor(module.path, nodes);
    const node = { module, parent, children: [], level: (parent?.level ?? 0) + 1, label: module.candidate };
    for (let up = parent; up && node.label === module.candidate; up = up.parent) {
      node.label = shortened(module.candidate, up.module.candidate);
    }
    (parent?.children ?? roots).push(node);
    nodes.set(module.path, node);
  }
  return { nodes, roots };
}

function shortened(path, parent) {
  return path.startsWith(`${parent}.`) ? path.slice(parent.length + 1) : path;
}

function summed(node, key) {
  return node.module[key] + node.children.reduce((sum, child) => sum + summed(child, key), 0);
}

/** What the tree tells of a module, and by which of it the rows are coloured: nothing, where no error is known. */
function treeColumns(modules) {
  const known = (key) => modules.some((module) => module[key] !== null);
  if (known("introduced"))
    return { keys: ["introduced", "inherited", "outgoing"], heat: "introduced", unit: "introduced, in floors" };
  if (known("outgoing"))
    return { keys: ["inherited", "outgoing"], heat: "outgoing", unit: "went out, in floors; no module was isolated" };
  return { keys: [], heat: null, unit: "" };
}

/** The largest error below a module: what a collapsed row must not hide. */
function hottest(node, key) {
  return node.children.reduce((most, child) => Math.max(most, child.module[key] ?? 0, hottest(child, key)), 0);
}

function errorCell(node, key, heat) {
  const value = node.module[key];
  if (key !== heat) return el("span", { class: "number" }, number(value));
  const below = hottest(node, key);
  if (below <= Math.max(value ?? 0, BLAME)) return el("span", {}, heatCell(value));
  const hidden = heatCell(below, `▾ ${number(below)}`);
  hidden.classList.add("below");
  hidden.title = "in a module below";
  return el("span", { class: "both" }, heatCell(value), hidden);
}

function failCell(node) {
  const failing = summed(node, "failing");
  const passing = summed(node, "sites") ? "✓" : "";
  return el("span", { class: `number${failing ? " bad" : ""}` }, failing ? `✕ ${count(failing)}` : passing);
}

function treeRow(node, columns) {
  const { module } = node;
  const full = module.path === module.candidate ? module.path : `${module.candidate} (reference: ${module.path})`;
  return el(
    "div",
    { class: `row of-${columns.keys.length}`, title: full },
    el(
      "span",
      { class: "name" },
      el("span", { class: "twist", "aria-hidden": "true" }, node.children.length ? "▸" : ""),
      mono(node.label),
      el("span", { class: "type" }, module.type),
      module.faulty ? el("span", { class: "flag" }, "◆ faulty") : null,
    ),
    columns.keys.map((key) => errorCell(node, key, columns.heat)),
    columns.keys.length ? failCell(node) : null,
  );
}

class Tree {
  constructor(item, open) {
    this.open = open;
    this.columns = treeColumns(item.modules);
    const { nodes, roots } = grown(item.modules);
    this.root = el(
      "ul",
      { role: "tree", "aria-label": "Modules" },
      roots.map((node) => this.grow(node)),
    );
    this.root.addEventListener("keydown", (event) => this.key(event));
    roots.forEach((node) => this.expand(node, true));
    this.current = roots[0];
    for (const node of nodes.values()) if (node.module.faulty) this.reveal(node);
    const faulty = [...nodes.values()].filter((node) => node.module.faulty);
    this.select(faulty.find((node) => !node.children.some((child) => child.module.faulty)) ?? faulty[0] ?? roots[0]);
  }

  grow(node) {
    const parent = node.children.length > 0;
    node.item = el(
      "li",
      {
        role: "treeitem",
        tabindex: "-1",
        "aria-level": node.level,
        "aria-selected": "false",
        "aria-expanded": parent ? "false" : null,
        class: node.module.faulty ? "at-fault" : null,
      },
      treeRow(node, this.columns),
    );
    node.item.node = node;
    node.item.style.setProperty("--level", node.level);
    node.item.firstChild.addEventListener("click", (event) => this.click(event, node));
    node.item.querySelector(".bad.number")?.addEventListener("click", () => this.open(node.module));
    return node.item;
  }

  expand(node, wanted) {
    if (!node.children.length) return;
    if (wanted && !node.group)
      node.item.append(
        (node.group = el(
          "ul",
          { role: "group" },
          node.children.map((child) => this.grow(child)),
        )),
      );
    if (node.group) node.group.hidden = !wanted;
    node.item.setAttribute("aria-expanded", String(wanted));
    node.item.querySelector(".twist").textContent = wanted ? "▾" : "▸";
  }

  reveal(node) {
    const above = [];
    for (let up = node.parent; up; up = up.parent) above.unshift(up);
    above.forEach((up) => this.expand(up, true));
    this.expand(node, true);
  }

  expanded(node) {
    return node.item.getAttribute("aria-expanded") === "true";
  }

  select(node, focus = false) {
    this.current?.item.setAttribute("aria-selected", "false");
    this.current?.item.setAttribute("tabindex", "-1");
    this.current = node;
    node.item.setAttribute("aria-selected", "true");
    node.item.setAttribute("tabindex", "0");
    if (focus) node.item.focus();
  }

  click(event, node) {
    this.select(node, true);
    if (event.target.classList.contains("twist")) this.expand(node, !this.expanded(node));
  }

  visible() {
    return [...this.root.querySelectorAll('[role="treeitem"]')]
      .filter((item) => !item.parentElement.closest("[hidden]"))
      .map((item) => item.node);
  }

  key(event) {
    const { current } = this;
    const move = (by) => {
      const all = this.visible();
      const to = all[all.indexOf(current) + by];
      if (to) this.select(to, true);
    };
    const keys = {
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      ArrowRight: () => (this.expanded(current) ? move(1) : this.expand(current, true)),
      ArrowLeft: () =>
        this.expanded(current) ? this.expand(current, false) : current.parent && this.select(current.parent, true),
      Home: () => this.select(this.visible()[0], true),
      End: () => this.select(this.visible().at(-1), true),
      Enter: () => this.open(current.module),
      "*": () => (current.parent?.children ?? [current]).forEach((node) => this.expand(node, true)),
    };
    if (!onKey(event, keys)) this.type(event);
  }

  /** A letter goes to the next module that begins with it. */
  type(event) {
    if (!/^\w$/.test(plainKey(event) ?? "")) return;
    const all = this.visible(),
      from = all.indexOf(this.current) + 1;
    const to = [...all.slice(from), ...all.slice(0, from)].find((node) =>
      node.label.toLowerCase().startsWith(event.key.toLowerCase()),
    );
    if (to) this.select(to, true);
    if (to) event.stopPropagation();
  }
}

const TREE_HEADS = { introduced: "introduced", inherited: "came in", outgoing: "went out" };

function treeSection(item, open) {
  if (!item.modules.length) return null;
  const tree = new Tree(item, open);
  const { keys, heat, unit } = tree.columns;
  const steps = HEAT_STEPS.map((value, index) => heatCell(value, index ? number(value) : `≤ ${number(value)}`));
  return el(
    "section",
    { "aria-labelledby": "modules-title" },
    el("h2", { id: "modules-title" }, "Modules"),
    heat ? treeHead(keys) : null,
    tree.root,
    heat ? el("p", { class: "scale" }, el("span", {}, unit), steps) : null,
  );
}

function treeHead(keys) {
  const head = ["module", ...keys.map((key) => TREE_HEADS[key]), "fail"];
  return el(
    "div",
    { class: `tree-head of-${keys.length}`, "aria-hidden": "true" },
    head.map((text) => el("span", {}, text)),
  );
}

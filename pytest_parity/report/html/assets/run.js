/* What stands beside the numbers: structure, settings, environment, coverage, losses, history, notes. */

function bare(value) {
  return value === null || value === "" || (typeof value === "object" && !Object.keys(value).length);
}

/** Data of a shape that may grow: pairs in pairs, values as text. */
function plain(value) {
  if (value === null || typeof value !== "object")
    return typeof value === "number" ? number(value) : String(value ?? "");
  if (Array.isArray(value))
    return value.every((one) => one === null || typeof one !== "object")
      ? value.map(String).join(", ")
      : list(value.map(plain));
  return pairs(
    Object.entries(value)
      .filter(([, one]) => !bare(one))
      .map(([key, one]) => [words(key), plain(one)]),
  );
}

function settings(item) {
  const rows = item.settings.map((one) => [
    el("span", {}, mono(one.name), one.where ? [" of ", name(one.where)] : null),
    mono(one.here),
    mono(one.golden),
    one.likely ? "of what differs first" : "",
  ]);
  return rows.length ? grid(["setting", "here", "golden", ""], rows) : null;
}

function environment(item) {
  const { golden, here, differences } = item.environment;
  const names = [...new Set([...Object.keys(golden), ...Object.keys(here)])];
  const whole = names.length
    ? el(
        "details",
        {},
        el("summary", {}, `all ${count(names.length)}`),
        grid(
          ["", "here", "golden"],
          names.map((key) => [key, here[key] ?? "–", golden[key] ?? "–"]),
        ),
      )
    : null;
  const other = differences.length
    ? grid(
        ["", "here", "golden"],
        differences.map((one) => [one.name, mono(one.here), mono(one.golden)]),
      )
    : names.length
      ? el("p", { class: "quiet" }, "As in the golden's run.")
      : null;
  return [other, whole];
}

function coverage(item) {
  const found = item.coverage;
  if (!found) return null;
  const of = (part, whole) => `${count(part)} of ${count(whole)}`;
  const ignored = Object.entries(found.ignored).map(([pattern, sites]) => `${pattern} (${amount(sites, "site")})`);
  return pairs([
    ["sites", of(item.compared, item.expected)],
    ["parameters", of(found.parameters, found.parameters_recorded)],
    ["module calls", of(found.calls, found.calls_recorded)],
    ["elements", of(found.elements, found.elements_recorded)],
    ["outside of valid regions", found.outside ? count(found.outside) : null],
    ["ignored by the test", ignored.join(", ")],
    [
      "kinds",
      Object.entries(item.kinds)
        .map(([kind, sites]) => `${words(kind)} ${count(sites)}`)
        .join(", "),
    ],
    [
      "steps",
      item.steps.map(({ step, failing }) => (failing ? `${step} (${count(failing)} fail)` : String(step))).join(", "),
    ],
  ]);
}

function losses(item) {
  const exact = (value) => (value === null ? "–" : String(numeric(value)));
  const rows = item.losses.map((one) => [
    `${one.step}`,
    one.name,
    exact(one.candidate),
    exact(one.reference),
    el("span", { class: FAILING.has(one.verdict) ? "bad" : "quiet" }, words(one.verdict)),
  ]);
  return rows.length ? grid(["step", "loss", "here", "reference", "verdict"], rows, [2, 3]) : null;
}

function structure(item) {
  const rows = item.structure.map((one) => [name(one.candidate || one.site), words(one.verdict), one.detail]);
  return rows.length ? grid(["parameter or buffer", "verdict", ""], rows) : null;
}

const joined = (values, between = " ") =>
  Object.entries(values ?? {})
    .map((pair) => pair.join(between))
    .join(", ");

/** Each time that the golden was recorded again, the latest first. */
function history(item) {
  const told = (one) => [
    one.reason || "no reason given",
    joined(
      Object.fromEntries(Object.entries(one.sites ?? {}).map(([verdict, sites]) => [words(verdict), count(sites)])),
      ": ",
    ),
    Object.entries(one.changes ?? {})
      .map(([key, pair]) => `${key}: ${[pair].flat().join(" → ")}`)
      .join(", "),
    joined(one.versions),
  ];
  return item.history.length
    ? grid(["reason", "sites", "what was otherwise", "recorded with"], [...item.history].reverse().map(told))
    : null;
}

function runPanel(item, run) {
  const message = item.message
    ? el(
        "details",
        {},
        el("summary", {}, "as the terminal tells it"),
        el("pre", { class: "wide", tabindex: "0" }, item.message),
      )
    : null;
  const told = [
    pairs([
      ["test", item.nodeid],
      ["file", item.file ? `${item.file}${item.line ? `:${item.line}` : ""}` : null],
      ["golden", run.golden],
      ["candidate", run.candidate],
      ["device", run.device],
      ["versions", joined(run.versions)],
      ["precision", joined(run.dtypes)],
    ]),
    list(run.lines),
  ];
  return [
    block("Set otherwise than in the golden's run", settings(item)),
    block("Coverage", coverage(item)),
    block("Losses", losses(item)),
    block("Environment", environment(item)),
    block("Notes", list([...item.remarks, ...item.notes])),
    block("Recorded", item.recorded ? plain(item.recorded) : null),
    block("History of the golden", history(item)),
    block("Run", list(run.complaints), told),
    block("Message", message),
  ];
}

/** A country: what it falls back to, its adapters by family, and what is missing. */

import { copyable, h, said } from "./dom.js";
import { bytes, fixed, interval, people, signed } from "./format.js";
import { intervalBars } from "./intervals.js";
import { address } from "./route.js";
import { load, MissingData } from "./store.js";
import { table } from "./table.js";
import { yearLines } from "./years.js";

/** @import { Alpha, ByPolicy, CountryPage, Gate, Overview } from "./contract.js" */
/** @import { Route } from "./route.js" */
/** @typedef {CountryPage["adapters"][number]} Entry */

/** Adapters of a family that are shown before a button. */
const AT_ONCE = 8;

/** @param {{ overview: Overview, route: Route }} context */
export async function countryView({ overview, route }) {
  const country = overview.countries.find(c => c.id === route.id);
  if (!country) throw new MissingData(`${route.id} is not a country's code`);
  /** @type {[CountryPage, Alpha]} */
  const [page, alpha] = await Promise.all([load(`countries/${country.id}`), load("alpha")]);
  const chain = country.chain.slice(1).flatMap((id, at) => [at ? ", then " : "", regionLink(overview, id)]);
  const values = alpha.countries[country.id] ?? [];
  return {
    title: country.name,
    element: h(
      "article",
      {},
      h("p", { class: "kicker" }, "Country ", h("code", {}, country.id)),
      h("h1", {}, country.name),
      h(
        "p",
        { class: "standfirst" },
        ...(chain.length ? ["Falls back to ", ...chain, ". "] : []),
        `Alpha ${fixed(country.alpha, 3)}${country.alpha_from ? `, that of ${country.alpha_from}` : ""}: how much the rest of the world counts in parity here.`,
      ),
      page.adapters.length ? adapters(overview, page) : null,
      page.wanted ? wanted(page.wanted) : null,
      h(
        "div",
        { class: "columns" },
        h(
          "section",
          {},
          h("h2", {}, "Languages"),
          table({
            name: `${country.id}-languages`,
            caption: `Languages of ${country.name}`,
            most: 10,
            rows: [...country.languages].sort((a, b) => (b.speakers ?? -1) - (a.speakers ?? -1)),
            columns: [
              { name: "language", label: "Language", value: l => l.name },
              { name: "code", label: "Code", value: l => l.id },
              {
                name: "speakers",
                label: "Speakers",
                numeric: true,
                value: l => l.speakers,
                show: l => people(l.speakers),
              },
            ],
          }).element,
        ),
        h(
          "section",
          {},
          h("h2", {}, "Alpha over the years"),
          values.some(value => value !== null)
            ? yearLines([{ name: country.name, own: true, values }], alpha.years[0], 280)
            : h("p", {}, "KOF has no value of this country; that of the nearest wider region is taken."),
          h("p", { class: "soft" }, `${alpha.series}, release ${alpha.release}.`),
        ),
      ),
    ),
  };
}

/** A country leads to its page, a wider region to its part of the map. @param {Overview} overview @param {string} id */
export function regionLink(overview, id) {
  const country = overview.countries.find(c => c.id === id);
  const group = overview.regions.find(r => r.id === id);
  if (country) return h("a", { href: address("country", id) }, country.name);
  return group?.members.length
    ? h("a", { href: address("map", "", { focus: id }) }, group.name)
    : said(group?.name ?? id);
}

/** @param {Overview} overview @param {CountryPage} page */
function adapters(overview, page) {
  const regions = new Map([...overview.countries, ...overview.regions].map(r => [r.id, r.name]));
  const nameOf = (/** @type {string} */ id) => regions.get(id) ?? id;
  const families = [...new Set(page.adapters.map(a => a.family))];
  return h(
    "div",
    {},
    ...families.map(id => {
      const of = page.adapters.filter(a => a.family === id);
      return h(
        "section",
        {},
        h("h2", {}, overview.families.find(f => f.id === id)?.name ?? id),
        ...sameSuite(of).map(measured =>
          intervalBars(
            measured.map(a => ({ name: a.title, value: a.gain, low: a.low, high: a.high })),
            "Gain of GRP over the base, in points, on one suite",
          ),
        ),
        ...some(of, adapter => entry(adapter, nameOf)),
        of.length > 1
          ? h(
              "p",
              {},
              h(
                "a",
                { href: address("compare", "", { a: of.slice(0, 4).map(a => a.slug) }) },
                "Compare them on equal tasks",
              ),
            )
          : null,
      );
    }),
  );
}

/** Those that were asked the same, where there are several: gains of other suites are other questions. @param {Entry[]} found */
function sameSuite(found) {
  const suites = new Set(found.flatMap(a => (a.gain === null || a.suite === null ? [] : [a.suite])));
  return [...suites].map(suite => found.filter(a => a.suite === suite && a.gain !== null)).filter(of => of.length > 1);
}

/** Some, and a button for the others. @param {Entry[]} found @param {(adapter: Entry) => Node} draw */
function some(found, draw) {
  const rest = found.slice(AT_ONCE);
  const more = h(
    "button",
    { type: "button", onclick: () => more.replaceWith(...rest.map(draw)) },
    `Show ${rest.length.toLocaleString("en")} more`,
  );
  return [...found.slice(0, AT_ONCE).map(draw), ...(rest.length ? [more] : [])];
}

/** @param {Entry} adapter @param {(id: string) => string} nameOf */
function entry(adapter, nameOf) {
  const facts = [
    [
      "Gain over the base",
      adapter.gain === null
        ? "not measured"
        : `${interval(adapter.gain, adapter.low, adapter.high, signed)} points of GRP${adapter.measured_by === "self" ? ", as its author claims" : ""}`,
    ],
    [
      "β by policy",
      Object.entries(adapter.beta)
        .map(([policy, beta]) => `${policy} ${beta ?? "undetermined"}`)
        .join(", "),
    ],
    ["Made for", nameOf(adapter.region)],
    ["Level", adapter.level],
    ["Licence", `${adapter.license ?? "unknown"}${adapter.gated ? ", its base is gated" : ""}`],
    ["Size", bytes(adapter.bytes)],
    ["Runs with", adapter.runtimes.join(", ") || "unknown"],
  ];
  return h(
    "section",
    { class: "entry" },
    h("h3", {}, h("a", { href: address("adapter", adapter.slug) }, said(adapter.title))),
    adapter.status === "active" ? null : h("p", { class: "banner" }, said(adapter.status), ": pull does not take it."),
    h(
      "dl",
      { class: "facts" },
      ...facts.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, said(text)))),
    ),
    gates(adapter.gates),
    ...pullLines(adapter.pull),
  );
}

/** The lines that pull, one for each policy where they differ. @param {ByPolicy<string | null>} lines */
export const pullLines = lines =>
  [...new Set(Object.values(lines))].flatMap(line => (line === null ? [] : [copyable(line, "the line that pulls it")]));

/** @param {Gate[]} found */
export const gates = found =>
  found.length
    ? h(
        "ul",
        { class: "gates", "aria-label": "Gates" },
        ...found.map(gate =>
          h(
            "li",
            { class: gate.outcome },
            h("b", {}, gate.outcome),
            " ",
            said(gate.name),
            h("span", { class: "soft" }, " ", said(gate.text)),
          ),
        ),
      )
    : h("p", { class: "soft" }, "No gate was passed or failed: nothing was measured by the registry.");

/** @param {NonNullable<CountryPage["wanted"]>} found */
const wanted = found =>
  h(
    "section",
    { class: "wanted" },
    h("h2", {}, "What is wanted here"),
    h("p", {}, said(found.text)),
    found.command ? copyable(found.command, "the command to begin with") : null,
  );

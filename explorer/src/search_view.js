/** Search and filters over all adapters. */

import { h, said } from "./dom.js";
import { columns, FACETS, search, SIZES } from "./filter.js";
import { bytes, counted, signed } from "./format.js";
import { address, replace } from "./route.js";
import { load } from "./store.js";
import { table } from "./table.js";

/** @import { Overview } from "./contract.js" */
/** @import { Facet, Query } from "./filter.js" */
/** @import { Route } from "./route.js" */

/** @param {{ overview: Overview, route: Route }} context */
export async function searchView({ overview, route }) {
  const named = names(overview);
  const parts = await Promise.all(Array.from({ length: overview.tables }, (_, at) => load(`adapters/table-${at}`)));
  const all = columns(parts, named);
  const facets = /** @type {Facet[]} */ (Object.keys(FACETS));
  /** @type {Query} */
  const query = { q: route.params.get("q") ?? "" };
  for (const facet of facets) query[facet] = route.params.get(facet) ?? "";
  const box = h("input", {
    type: "search",
    id: "q",
    autocomplete: "off",
    placeholder: "name, country, language, base",
    oninput: () => change({ q: box.value }),
  });
  box.value = query.q ?? "";
  const count = h("p", { role: "status", class: "count" });
  const boxes = Object.fromEntries(
    facets.map(facet => [facet, h("select", { onchange: event => change({ [facet]: event.target.value }) })]),
  );
  const clear = h(
    "button",
    {
      type: "button",
      onclick: () => {
        box.value = "";
        change({ q: "", ...Object.fromEntries(facets.map(facet => [facet, ""])) });
      },
    },
    "Clear all",
  );
  const { table: rows } = all;
  const result = table({
    name: "adapters",
    caption: "Adapters",
    rows: /** @type {number[]} */ ([]),
    most: 50,
    columns: [
      {
        name: "title",
        label: "Adapter",
        value: at => rows.title[at],
        show: at => h("a", { href: address("adapter", rows.slug[at]) }, said(rows.title[at])),
      },
      {
        name: "gain",
        label: "Gain on its own suite",
        numeric: true,
        unordered: true,
        value: at => rows.gain[at],
        show: at => signed(rows.gain[at]),
      },
      { name: "family", label: "Family", value: at => rows.family[at] },
      {
        name: "regions",
        label: "Regions",
        value: at => rows.regions[at].join(" "),
        show: at => said(rows.regions[at].map(id => named("region", id)).join(", ")),
      },
      { name: "languages", label: "Languages", value: at => rows.languages[at].join(" ") },
      { name: "base", label: "Base", value: at => rows.base[at] },
      { name: "license", label: "Licence", value: at => rows.license[at] },
      { name: "level", label: "Level", value: at => rows.level[at] },
      { name: "bytes", label: "Size", numeric: true, value: at => rows.bytes[at], show: at => bytes(rows.bytes[at]) },
      { name: "status", label: "Status", value: at => rows.status[at] },
      { name: "repo", label: "Repository", value: at => rows.repo[at] },
    ],
  });

  /** @param {Query} to */
  function change(to) {
    Object.assign(query, to);
    replace(address("search", "", query));
    update();
  }

  function update() {
    const { found, counts } = search(all, query);
    count.textContent = `${counted(found.length, "adapter")} of ${all.count.toLocaleString("en")}`;
    // What is measured comes first; never by the score of one suite against another's.
    result.replace(
      found.sort((one, other) => Number(rows.gain[one] === null) - Number(rows.gain[other] === null) || one - other),
    );
    for (const facet of facets) {
      const values = [...counts[facet]].sort(([one, n], [other, m]) => m - n || one.localeCompare(other)).slice(0, 300);
      if (query[facet] && !values.some(([value]) => value === query[facet])) values.push([query[facet], 0]);
      boxes[facet].replaceChildren(
        h("option", { value: "" }, "any"),
        ...values.map(([value, n]) => h("option", { value }, `${named(facet, value)} (${n.toLocaleString("en")})`)),
      );
      boxes[facet].value = query[facet] ?? "";
    }
  }

  update();
  return {
    title: "Search",
    element: h(
      "article",
      {},
      h("h1", {}, "Search"),
      h(
        "form",
        { role: "search", class: "search", onsubmit: event => event.preventDefault() },
        h("label", { class: "words", for: "q" }, h("span", {}, "Words"), box),
        ...facets.map(facet => h("label", { class: "select" }, h("span", {}, FACETS[facet]), boxes[facet])),
        clear,
      ),
      count,
      result.element,
    ),
  };
}

/** @param {Overview} overview */
function names(overview) {
  const regions = new Map([...overview.countries, ...overview.regions].map(r => [r.id, r.name]));
  const languages = new Map(overview.countries.flatMap(c => c.languages).map(l => [l.id, l.name]));
  const families = new Map(overview.families.map(f => [f.id, f.name]));
  const sizes = new Map(SIZES.map(([id, text]) => [id, text]));
  return (/** @type {string} */ facet, /** @type {string} */ id) =>
    ({ region: regions, language: languages, family: families, size: sizes })[facet]?.get(id) ?? id;
}

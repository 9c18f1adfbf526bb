/** An adapter: its trade-off, what is chosen at an alpha, its parts, and what it is made of. */

import { gates, pullLines } from "./country_view.js";
import { curveSections } from "./curve_view.js";
import { h, said } from "./dom.js";
import { bytes, counted, fixed } from "./format.js";
import { controls, parts, people } from "./parts.js";
import { provenance, samples } from "./provenance.js";
import { address } from "./route.js";
import { adapterKey, load } from "./store.js";

/** @import { Adapter, Overview, Policy } from "./contract.js" */
/** @import { Route } from "./route.js" */

/** @param {{ overview: Overview, route: Route }} context */
export async function adapterView({ overview, route }) {
  /** @type {Adapter} */
  const adapter = await load(adapterKey(route.id));
  const asked = Number(route.params.get("alpha") ?? NaN);
  const state = {
    alpha: asked >= 0 && asked <= 1 ? asked : (adapter.alpha ?? 0.5),
    policy: /** @type {Policy} */ (
      (route.params.get("policy") ?? adapter.policy).startsWith("keep") ? "keep" : "parity"
    ),
    suite: route.params.get("suite") ?? adapter.curves[0]?.suite ?? "",
  };
  const region =
    [...overview.regions, ...overview.countries].find(r => r.id === adapter.region)?.name ?? adapter.region;
  const curves = h("div", {});
  const draw = () => curves.replaceChildren(...curveSections(adapter, state, draw));
  draw();
  const stopped =
    adapter.status !== "active" ? `${adapter.status}${adapter.reason ? `: ${adapter.reason}` : ""}` : null;
  return {
    title: adapter.title,
    element: h(
      "article",
      {},
      h("p", { class: "kicker" }, "Adapter of the family ", said(adapter.family), ", ", said(adapter.kind)),
      h("h1", {}, said(adapter.title)),
      stopped ? h("p", { class: "banner" }, said(stopped)) : null,
      adapter.affected ? h("p", { class: "banner" }, said(adapter.affected)) : null,
      ...Object.entries(adapter.summary).map(([lang, text]) =>
        h("p", { class: "standfirst", lang, dir: "auto" }, text),
      ),
      facts(adapter, region),
      h(
        "p",
        {},
        h("a", { href: address("compare", "", { a: [adapter.slug] }) }, "Compare with others"),
        adapter.card_url ? " · " : null,
        adapter.card_url ? h("a", { href: adapter.card_url, rel: "noreferrer" }, "Its card in the index") : null,
      ),
      curves,
      pulls(adapter),
      parts("By country", "countries", adapter.countries, overview, adapter.slug),
      parts("By language", "languages", adapter.languages_measured ?? [], overview, adapter.slug),
      controls(adapter),
      people(adapter),
      samples(adapter.samples),
      provenance(adapter),
    ),
  };
}

/** @param {Adapter} adapter @param {string} region its name */
function facts(adapter, region) {
  const found = [
    [
      "Region",
      adapter.regions.length > 1 ? `${region}, ${counted(adapter.regions.length - 1, "country", "countries")}` : region,
    ],
    ["Languages", adapter.languages.join(", ") || "unknown"],
    ["Level", adapter.level],
    ["Licence", adapter.license ?? "unknown"],
    ["Alpha", adapter.alpha === null ? "unknown" : `${fixed(adapter.alpha, 3)}, ${adapter.alpha_source}`],
    ["Its policy", adapter.policy],
    ["Size", bytes(adapter.bytes)],
    ["Runs with", adapter.runtimes.join(", ") || "unknown"],
    ["Base", adapter.base.repo],
    ["Repository", adapter.repo],
  ];
  return h(
    "dl",
    { class: "facts" },
    ...found.map(([name, text]) =>
      h(
        "div",
        {},
        h("dt", {}, name),
        h(
          "dd",
          {},
          name === "Repository" && adapter.page
            ? h("a", { href: adapter.page, rel: "noreferrer" }, said(text))
            : said(text),
        ),
      ),
    ),
  );
}

/** @param {Adapter} adapter */
const pulls = adapter =>
  h("section", {}, h("h2", {}, "Pull it"), ...pullLines(adapter.pull), h("h2", {}, "Gates"), gates(adapter.gates));

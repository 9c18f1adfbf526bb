/** An adapter: its trade-off, what is chosen at an alpha, its parts, and what it is made of. */

import { gates, pullLines, regionLink } from "./country_view.js";
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
      facts(adapter, overview),
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

/** @param {Adapter} adapter @param {Overview} overview */
function facts(adapter, overview) {
  const members = adapter.regions.length - 1;
  const repository = said(adapter.repo);
  /** @type {[string, (Node | string)[]][]} */
  const found = [
    [
      "Region",
      [regionLink(overview, adapter.region), members > 0 ? `, ${counted(members, "country", "countries")}` : ""],
    ],
    ["Languages", [said(adapter.languages.join(", ") || "unknown")]],
    ["Level", [said(adapter.level)]],
    ["Licence", [said(adapter.license)]],
    ["Alpha", [said(adapter.alpha === null ? "unknown" : `${fixed(adapter.alpha, 3)}, ${adapter.alpha_source}`)]],
    ["Its policy", [said(adapter.policy)]],
    ["Size", [bytes(adapter.bytes)]],
    ["Runs with", [said(adapter.runtimes.join(", ") || "unknown")]],
    ["Base", [said(adapter.base.repo)]],
    ["Repository", [adapter.page ? h("a", { href: adapter.page, rel: "noreferrer" }, repository) : repository]],
  ];
  return h("dl", { class: "facts" }, ...found.map(([name, of]) => h("div", {}, h("dt", {}, name), h("dd", {}, ...of))));
}

/** @param {Adapter} adapter */
const pulls = adapter =>
  h("section", {}, h("h2", {}, "Pull it"), ...pullLines(adapter.pull), h("h2", {}, "Gates"), gates(adapter.gates));

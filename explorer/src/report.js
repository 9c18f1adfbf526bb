/** A report of one adapter's measurement: a page by itself, whose contents stand in it as JSON. */

import { append, h } from "./dom.js";
import { fixed } from "./format.js";
import { live, tradeOffSection, yearsSection } from "./report_charts.js";
import { examples, tasks } from "./report_items.js";
import { baselines, gates, parity, people } from "./report_tables.js";
import { names, sentence } from "./report_words.js";

const contents = document.getElementById("contents")?.textContent ?? "{}";
/** @type {import("./report_words.js").Report} */
const report = JSON.parse(contents);
const named = names(report);

function head() {
  const { alpha, region, selection, parity: scored } = report;
  const source =
    alpha.provenance === "user" ? "set by a user" : `${alpha.series}, KOF release ${alpha.release}, ${alpha.year}`;
  const soft = (/** @type {string} */ text) => h("p", { class: "soft" }, text);
  const compared = named.text(report.compared.beta);
  /** @type {Map<string, string[]>} */
  const states = new Map();
  for (const [task, state] of Object.entries(report.contamination))
    states.set(state, [...(states.get(state) ?? []), task]);
  return h(
    "header",
    {},
    h("p", { class: "kicker" }, "Report"),
    h("h1", {}, `${region.name} (${region.id})`),
    soft(`alpha ${fixed(alpha.value, 5)}: ${source}. A policy weight, not a fact about a culture.`),
    named.single
      ? h("p", {}, `One model${named.isBase(compared) ? "" : `, at beta ${compared}`}: there is no beta to choose.`)
      : h(
          "p",
          { class: "standfirst" },
          named.chosen === null
            ? `No beta is chosen: ${selection.reason}.`
            : `beta ${named.chosen}: ${selection.reason}.`,
        ),
    ...(named.single ? [] : report.policies.map(soft)),
    ...report.seeds.map(soft),
    scored.at_chance?.length
      ? soft(`Left out, at chance at every beta on validation: ${scored.at_chance.join(", ")}.`)
      : null,
    named.composed
      ? soft(`A composition: the betas of a point are of ${report.adapters.join(", ")}, in this order.`)
      : null,
    ...report.by_part.map(soft),
    ...report.problems.map(text => h("p", { class: "banner" }, text)),
    ...[...states]
      .filter(([state]) => state !== "none known")
      .map(([state, found]) => soft(`${sentence(state)}: ${states.size === 1 ? "every task" : found.join(", ")}.`)),
  );
}

append(
  document.body,
  h(
    "main",
    {},
    head(),
    tradeOffSection(report, named),
    live(report),
    parity(report, named),
    baselines(report, named),
    people(report, named),
    gates(report, named),
    tasks(report, named),
    yearsSection(report),
    ...examples(report, named),
  ),
  h(
    "footer",
    {},
    h(
      "p",
      {},
      `${report.generator}. Everything on this page is recomputed from the predictions; nothing is loaded from a network.`,
    ),
  ),
);

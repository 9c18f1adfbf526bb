/** The tables of a report: parity, what stands beside the merge, people, gates. */

import { h } from "./dom.js";
import { betaText, fixed, signed } from "./format.js";
import { figures, scoreText, section } from "./report_words.js";

/** @import { Figure, Names, Report, Score } from "./report_words.js" */

const soft = (/** @type {string} */ text) => h("p", { class: "soft" }, text);
const words = (/** @type {string} */ text) => ({ text, class: "text" });

/** @param {Report} report @param {Names} named */
export function parity({ parity: scored }, named) {
  const found = named.byBeta(scored.points);
  if (scored.points) {
    const parts = Object.keys(found[0]?.[1].q_regional_of ?? {});
    return section(
      "Parity",
      `Report side, ${scored.scale}, 0-100, 95 % intervals clustered by picture; GRP above chance. Others: the global side without the region's items.`,
      figures(
        "Parity",
        ["model", "global", "others", "regional", ...parts.map(part => `of ${part}`), "GRP", "GRP raw"],
        found.map(([beta, point]) => ({
          class: beta === named.chosen ? "chosen" : "",
          cells: [
            `beta ${beta} ${named.label(beta)}`,
            scoreText(point.q_global),
            scoreText(point.q_others),
            scoreText(point.q_regional),
            ...parts.map(part => scoreText(point.q_regional_of?.[part])),
            scoreText(point.grp),
            fixed(point.grp_raw),
          ],
        })),
      ),
    );
  }
  return section(
    "Pareto table",
    scored.reason,
    scored.pareto.length
      ? figures(
          "Pareto table",
          ["beta", ...scored.pareto[0].scores.map(score => `${score.side}: ${score.scale}`), "dominated by"],
          scored.pareto.map(row => ({
            cells: [
              betaText(row.beta),
              ...row.scores.map(scoreText),
              row.dominated_by.map(betaText).join(", ") || "none",
            ],
          })),
        )
      : null,
  );
}

/** What a model beside the merge is called. */
const BESIDE = { switch: "switch by prompt language", average: "averaged outputs", joint: "joint fine-tune" };

/** @param {Report} report @param {Names} named */
export function baselines({ baselines: beside }, named) {
  if (!beside.switch) return null;
  const rows = Object.entries(BESIDE).flatMap(([key, name]) =>
    key in beside ? [[name, beside[key], beside[key].cost]] : [],
  );
  if (beside.switch.upper_bound)
    rows.push(["switch by the data's labels", beside.switch.upper_bound, "an upper bound: no server has the labels"]);
  const { routes, reason, languages } = beside.switch;
  const misrouted = Object.entries(routes?.by_language ?? {})
    .filter(([, of]) => of.misrouted)
    .map(([language, of]) => `; ${language}: ${of.misrouted} of ${of.prompts}`);
  return section(
    "Beside the merge",
    `Report side, ${beside.scale}. The last figure is the paired difference in GRP to the merge${beside.beta === null ? "" : ` at beta ${named.text(beside.beta)}`}.`,
    figures(
      "Beside the merge",
      ["model", "others", "regional", "GRP", "over the merge", "needs"],
      rows.map(([name, found, cost]) => ({
        cells: [
          name,
          scoreText(found.q_others),
          scoreText(found.q_regional),
          scoreText(found.grp),
          change(found.over_merge),
          words(cost),
        ],
      })),
    ),
    routes
      ? soft(
          `Switch: ${routes.to_adapter} prompts went to the adapter (${languages.join(", ")}), ${routes.to_base} to the base, ${routes.misrouted} to the wrong one of the two${misrouted.join("")}.`,
        )
      : null,
    reason ? soft(`Switch: ${routes ? "no cue, not recommended" : "not measured"}: ${reason}.`) : null,
  );
}

/** @param {Score | null} found */
const change = found =>
  found ? `${signed(found.value)} [${signed(found.interval[0])}, ${signed(found.interval[1])}]` : "–";

/** What people said: never averaged with the tasks. @param {Report} report @param {Names} named */
export function people({ people: rows }, named) {
  if (!rows.length) return null;
  const span = (/** @type {Figure | null} */ found, write = fixed) =>
    found === null
      ? "–"
      : `${write(found.value)} [${write(found.low)}, ${write(found.high)}]${found.undetermined ? " undetermined" : ""}`;
  const studies = rows.filter(
    (row, at) => at === rows.findIndex(other => other.measure === row.measure && other.study === row.study),
  );
  return section(
    "People",
    "What raters said, in points from 0 to 100, 95 % intervals over raters and items; human GRP weighs raters of the rest of the world and of the region. It is not averaged with scores of tasks. Ranks and preferences are differences within one study.",
    figures(
      "People",
      ["model", "measure", "world's raters", "region's raters", "human GRP", "over the base"],
      rows.map(row => ({
        class: row.beta === named.chosen ? "chosen" : "",
        cells: [
          `beta ${row.beta} ${named.label(row.beta)}`,
          words(row.measure),
          span(row.q_global),
          span(row.q_regional),
          span(row.grp),
          span(row.over_base, signed),
        ],
      })),
    ),
    ...studies.map(row => {
      const agreement = Object.entries(row.agreement).map(([language, found]) => `in ${language} ${span(found)}`);
      return soft(
        `${row.measure} (${row.design}), judge: ${row.judge}${row.measured_by === "self" ? ", as its author claims" : ""}: ${row.judgements} judgements of ${row.raters} raters a model, ${row.items} items; agreement (Krippendorff's alpha) ${agreement.join(", ") || "unknown"}; study ${row.study.slice(0, 12)}.`,
      );
    }),
  );
}

/** @param {Report} report @param {Names} named */
export function gates({ gates: found }, named) {
  if (!found) return null;
  if (found.reason) return section("Gates", found.reason);
  return section(
    "Gates",
    `${found.beta === null ? "No beta is chosen" : `beta ${named.text(found.beta)} against the base`}, on ${found.on}, by the policy ${found.policy}; paired differences in points above chance.`,
    figures(
      "Gates",
      ["gate", "outcome", "difference", "pictures", "needed for 80 % power"],
      found.gates.map((/** @type {any} */ gate) => ({
        cells: [
          gate.gate,
          { text: gate.outcome, class: gate.outcome },
          gate.difference === null ? "–" : change({ value: gate.difference, interval: gate.interval }),
          gate.pictures === null ? "–" : String(gate.pictures),
          gate.pictures_needed === null ? "–" : String(gate.pictures_needed),
        ],
      })),
    ),
    ...found.gates.map((/** @type {any} */ gate) => soft(`${gate.gate}: ${gate.reason}.`)),
    ...found.statements.map((/** @type {string} */ line) => soft(`${line}.`)),
    found.passing.length
      ? soft(`These betas of the grid would pass every gate: ${found.passing.map(betaText).join(", ")}.`)
      : null,
  );
}

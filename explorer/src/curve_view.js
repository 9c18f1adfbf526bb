/** The curve of an adapter: the trade-off, and what either policy chooses at an alpha. */

import { choose, curveOf, grp, grpError, refusal, sideInterval } from "./choice.js";
import { h, said } from "./dom.js";
import { betaText, fixed } from "./format.js";
import { parityLines } from "./parity_lines.js";
import { address, replace } from "./route.js";
import { select, table } from "./table.js";
import { tradeOff } from "./trade_off.js";

/** @import { Adapter, Curve, Policy } from "./contract.js" */
/** @typedef {Curve["betas"][number]} Beta */
/** @typedef {{ alpha: number, policy: Policy, suite: string }} State what of a page's address decides a choice */

/** @param {Adapter} adapter @param {State} state @param {() => void} redraw */
export function curveSections(adapter, state, redraw) {
  const validation = curveOf(adapter.curves, state.suite, "validation");
  const shown = curveOf(adapter.curves, state.suite, "test") ?? validation ?? adapter.curves[0] ?? null;
  if (!shown)
    return [
      h(
        "section",
        {},
        h("h2", {}, "The trade-off"),
        h("p", {}, "Nothing was measured: the card declares what the adapter is for."),
      ),
    ];
  const chooser = validation ?? shown;
  const keep = () =>
    replace(
      address("adapter", adapter.slug, {
        policy: state.policy,
        alpha: state.alpha,
        suite: state.suite === adapter.curves[0]?.suite ? null : state.suite,
      }),
    );
  const suites = new Map(adapter.curves.map(c => [c.suite ?? "", c.suite_name ?? "of unknown tasks"]));
  const change = (/** @type {Partial<typeof state>} */ to) => {
    Object.assign(state, to);
    keep();
    redraw();
  };
  const place = choose(chooser, state.policy, state.alpha);
  const beta = place === null ? null : chooser.betas[place];
  const trade = h("div", {});
  const drawTrade = () =>
    trade.replaceChildren(tradeOff({ points: points(shown, chosenBeta(chooser, state)), scale: shown.scale }));
  drawTrade();
  let drawnAt = beta;
  return [
    h(
      "section",
      {},
      h("h2", {}, "The region against the world"),
      h(
        "p",
        {},
        `Scores above chance on the ${shown.split} side of ${shown.suite_name ?? "unknown tasks"}, a point for each beta, with 95 % intervals; measured by ${shown.measured_by === "registry" ? "the registry" : "its author"}. `,
        shown.excluded.length ? "Left out: " : "",
        shown.excluded.length ? said(shown.excluded.join(", ")) : null,
      ),
      h(
        "div",
        { class: "choices" },
        suites.size > 1
          ? select({ label: "Suite", value: state.suite, choices: [...suites], change: suite => change({ suite }) })
          : null,
        select({
          label: "Policy",
          value: state.policy,
          choices: [
            ["parity", "parity: the highest GRP"],
            ["keep", "keep: of what keeps 98 % of the world"],
          ],
          change: policy => change({ policy: /** @type {Policy} */ (policy) }),
        }),
      ),
      trade,
    ),
    h(
      "section",
      {},
      h("h2", {}, "GRP against alpha"),
      h(
        "p",
        {},
        `One line for each beta, on the ${chooser.split} side, where beta is chosen. Move alpha to see what either policy would take.`,
      ),
      parityLines({
        lines: chooser.betas.map((b, at) => ({
          name: betaText(b),
          atOne: chooser.q_global[at],
          atZero: chooser.q_regional[at],
        })),
        alpha: state.alpha,
        choices: alpha => marks(chooser, state.policy, alpha),
        sentence: alpha =>
          `alpha ${fixed(alpha, 3)}: ${["parity", "keep"].map(policy => choiceText(chooser, /** @type {Policy} */ (policy), alpha)).join("; ")}.`,
        moved: alpha => {
          state.alpha = alpha;
          keep();
          const now = chosenBeta(chooser, state);
          if (now !== drawnAt) {
            drawnAt = now;
            drawTrade();
          }
        },
      }),
      curveTable(shown, chooser, state, adapter.slug),
    ),
  ];
}

/**
 * What either policy takes at an alpha, that of the page first; one line where they take the same.
 * @param {Curve} curve @param {Policy} first @param {number} alpha
 * @returns {import("./parity_lines.js").Choice[]}
 */
function marks(curve, first, alpha) {
  const second = first === "parity" ? "keep" : "parity";
  const [one, other] = [choose(curve, first, alpha), choose(curve, second, alpha)];
  const mark = (
    /** @type {number | null} */ at,
    /** @type {"chosen" | "second"} */ kind,
    /** @type {string} */ text,
  ) => (at === null ? [] : [{ name: betaText(curve.betas[at]), kind, text }]);
  if (one === other) return mark(one, "chosen", "by both");
  return [...mark(one, "chosen", first), ...mark(other, "second", second)];
}

/** @param {Curve} curve @param {State} state */
function chosenBeta(curve, { policy, alpha }) {
  const place = choose(curve, policy, alpha);
  return place === null ? null : curve.betas[place];
}

/** @param {Curve} curve @param {Policy} policy @param {number} alpha */
function choiceText(curve, policy, alpha) {
  const place = choose(curve, policy, alpha);
  if (place === null) return `${policy} chooses nothing (${refusal(curve, policy)})`;
  const error = grpError(curve, place, alpha);
  return `${policy} takes beta ${betaText(curve.betas[place])}, GRP ${fixed(grp(curve, place, alpha))}${error === null ? "" : ` ± ${fixed(error * 1.96)}`}`;
}

/** The points of a trade-off. @param {Curve} curve @param {Beta | null} beta the chosen one */
export const points = (curve, beta) =>
  curve.betas.map((b, at) => ({
    name: betaText(b),
    world: sideInterval(curve, "global", at),
    region: sideInterval(curve, "regional", at),
    mark: /** @type {import("./trade_off.js").Mark} */ (
      b === beta && beta !== null ? "chosen" : b === 0 ? "base" : b === 1 ? "regional" : null
    ),
  }));

/** @param {Curve} shown @param {Curve} chooser @param {State} state @param {string} slug */
function curveTable(shown, chooser, state, slug) {
  const rows = shown.betas.map((beta, at) => ({
    beta,
    world: sideInterval(shown, "global", at),
    region: sideInterval(shown, "regional", at),
    others: shown.q_others?.[at] ?? null,
    keep: chooser.keep_allowed?.[chooser.betas.indexOf(beta)] ?? null,
    grp: grp(shown, at, state.alpha),
  }));
  return h(
    "details",
    {},
    h("summary", {}, "The figures"),
    table({
      name: `${slug}-curve`,
      caption: `Scores above chance at every beta, ${shown.split} side, alpha ${fixed(state.alpha, 3)}`,
      rows,
      mark: row => (row.beta === chosenBeta(chooser, state) ? "chosen" : null),
      columns: [
        { name: "beta", label: "β", numeric: true, value: row => betaText(row.beta) },
        {
          name: "global",
          label: "Global",
          numeric: true,
          value: row => row.world.value,
          show: row => fixed(row.world.value),
        },
        {
          name: "global_low",
          label: "low",
          numeric: true,
          value: row => row.world.low,
          show: row => fixed(row.world.low),
        },
        {
          name: "global_high",
          label: "high",
          numeric: true,
          value: row => row.world.high,
          show: row => fixed(row.world.high),
        },
        { name: "others", label: "Others", numeric: true, value: row => row.others, show: row => fixed(row.others) },
        {
          name: "regional",
          label: "Regional",
          numeric: true,
          value: row => row.region.value,
          show: row => fixed(row.region.value),
        },
        {
          name: "regional_low",
          label: "low",
          numeric: true,
          value: row => row.region.low,
          show: row => fixed(row.region.low),
        },
        {
          name: "regional_high",
          label: "high",
          numeric: true,
          value: row => row.region.high,
          show: row => fixed(row.region.high),
        },
        { name: "grp", label: "GRP", numeric: true, value: row => row.grp, show: row => fixed(row.grp) },
        {
          name: "passes_keep",
          label: "Passes keep",
          value: row => row.keep,
          show: row => (row.keep === null ? "undetermined" : row.keep ? "yes" : "no"),
        },
      ],
    }).element,
  );
}

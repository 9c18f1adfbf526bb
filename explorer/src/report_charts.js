/** The charts of a report: the trade-off, GRP against alpha, alpha over the years. */

import { h } from "./dom.js";
import { betaText, fixed } from "./format.js";
import { parityLines } from "./parity_lines.js";
import { figures, section } from "./report_words.js";
import { tradeOff } from "./trade_off.js";
import { yearLines } from "./years.js";

/** @import { Line, Names, Report, Score } from "./report_words.js" */
/** @import { Mark } from "./trade_off.js" */

/** @param {Report} report @param {Names} named */
export function tradeOffSection({ parity }, named) {
  const found = named.byBeta(parity.points);
  if (found.length < 2) return null;
  const interval = (/** @type {Score} */ { value, interval: [low, high] }) => ({ value, low, high });
  return section(
    "The region against the world",
    `Report side, with 95 % intervals; the line goes through ${named.composed ? "the points that no other beats on both sides" : "every beta in order"}.`,
    tradeOff({
      composed: named.composed,
      scale: parity.scale,
      points: found.map(([beta, point]) => ({
        name: beta,
        world: interval(point.q_global),
        region: interval(point.q_regional),
        mark: markOf(beta, named),
        text: named.label(beta),
      })),
    }),
  );
}

/** @param {string} beta @param {Names} named @returns {Mark} */
const markOf = (beta, { chosen, composed, isBase }) =>
  beta === chosen ? "chosen" : isBase(beta) ? "base" : !composed && beta === "1" ? "regional" : null;

/** @param {Report} report */
export function live({ lines: { validation, test }, ranges, alpha }) {
  const lines = validation.length ? validation : test;
  if (!lines.length) return null;
  const grp = (/** @type {Line} */ line, /** @type {number} */ at) => at * line.at_one + (1 - at) * line.at_zero;
  const spanOf = (/** @type {number} */ at) => ranges.find(range => range.low <= at && at <= range.high);
  // #alpha=0.9 in the address opens the page there.
  const asked = /alpha=([0-9.]+)/.exec(location.hash);
  return section(
    "GRP against alpha",
    "One line for each beta, on the side where beta is chosen. Move alpha to see what would be chosen.",
    parityLines({
      lines: lines.map(line => ({ name: betaText(line.beta), atOne: line.at_one, atZero: line.at_zero })),
      alpha: asked ? Number(asked[1]) : alpha.value,
      choices(at) {
        const span = spanOf(at);
        return span ? [{ name: betaText(span.beta), kind: "chosen" }] : [];
      },
      sentence(at) {
        const span = spanOf(at);
        return span
          ? `alpha ${fixed(at, 3)}: beta ${betaText(span.beta)} is chosen, and for every alpha from ${fixed(span.low, 3)} to ${fixed(span.high, 3)}.`
          : `alpha ${fixed(at, 3)}: no beta can be chosen.`;
      },
      details(at) {
        const span = spanOf(at);
        const best = Math.max(...lines.map(line => grp(line, at)));
        return figures(
          "GRP of every beta",
          ["beta", "GRP (select side)", "standard error", "behind the best", "GRP (report side)"],
          lines.map(line => {
            const name = betaText(line.beta);
            const other = test.find(found => betaText(found.beta) === name);
            return {
              class: span && betaText(span.beta) === name ? "chosen" : "",
              cells: [
                name,
                fixed(grp(line, at)),
                fixed(errorOf(line, at)),
                fixed(best - grp(line, at)),
                other ? fixed(grp(other, at)) : "–",
              ],
            };
          }),
        );
      },
    }),
  );
}

/** @param {Line} line @param {number} at */
const errorOf = ({ se_one, se_zero, covariance }, at) =>
  Math.sqrt(Math.max(0, (at * se_one) ** 2 + ((1 - at) * se_zero) ** 2 + 2 * at * (1 - at) * covariance));

/** @param {Report} report */
export function yearsSection({ years, alpha }) {
  if (!years.some(row => row.values.some(value => value !== null))) return null;
  const marks = (/** @type {string} */ sign, /** @type {string[]} */ ids) => ids.map(id => `${sign}${id}`);
  return section(
    "alpha by region and year",
    `KOF de facto interpersonal / 100. Each point is a mean over countries; this page's alpha is ${fixed(alpha.value, 3)}.`,
    ...years.flatMap(({ name, panel }) =>
      panel
        ? [
            h(
              "p",
              { class: "soft" },
              `${name}, dashed: the mean over the ${panel.members.length} countries with a value in every year (${panel.members.join(" ")}). + and - mark who enters and leaves the mean of the solid line.`,
            ),
          ]
        : [],
    ),
    yearLines(
      years.map(({ name, own, values, panel }) => ({
        name,
        own,
        values,
        dashed: panel?.values,
        notes: panel?.breaks.map(({ year, entered, left }) => ({
          year,
          text: [...marks("+", entered), ...marks("-", left)].join(" "),
        })),
      })),
      years[0].first,
      400,
    ),
  );
}

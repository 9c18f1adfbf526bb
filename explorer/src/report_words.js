/** What a report holds, and how its points are called. */

import { h, said } from "./dom.js";
import { betaText, fixed } from "./format.js";

/** @import { Child } from "./dom.js" */
/** @typedef {number | number[]} Beta */
/** @typedef {{ value: number, interval: [number, number] }} Score */
/** @typedef {{ q_global: Score, q_regional: Score, q_others: Score | null, q_regional_of?: Record<string, Score>, grp: Score, grp_raw: number }} Point */
/** @typedef {{ beta: Beta, at_one: number, at_zero: number, se_one: number, se_zero: number, covariance: number }} Line */
/** @typedef {{ value: number, low: number, high: number, undetermined?: boolean }} Figure */
/** @typedef {{ text: string, id: string, picture: string | null }} Shown */
/**
 * `ggez_hub.evaluation.report.contents` writes it.
 * @typedef {object} Report
 * @property {{ id: string, name: string }} region
 * @property {{ value: number, provenance: string, series: string, release: string, year: number }} alpha
 * @property {string} generator
 * @property {string[]} adapters
 * @property {string[]} by_part
 * @property {Beta[]} points
 * @property {string[]} problems
 * @property {{ beta: Beta | null, reason: string }} selection
 * @property {string[]} policies
 * @property {string[]} seeds
 * @property {{ points?: Record<string, Point>, scale: string, reason: string, at_chance?: string[], pareto: { beta: Beta, scores: (Score & { side: string, scale: string })[], dominated_by: Beta[] }[] }} parity
 * @property {any} baselines
 * @property {{ base: Beta | null, beta: Beta }} compared
 * @property {{ validation: Line[], test: Line[] }} lines
 * @property {{ beta: Beta, low: number, high: number }[]} ranges
 * @property {any} gates
 * @property {any[]} people
 * @property {{ id: string, name: string, own: boolean, first: number, values: (number | null)[], panel: { members: string[], values: (number | null)[], breaks: { year: number, entered: string[], left: string[] }[] } | null }[]} years
 * @property {any[]} tasks
 * @property {Record<string, string>} contamination
 * @property {{ won: boolean, task: string, drawn: boolean, item: Shown, right: Shown | null, base: Shown | null, merged: Shown | null }[]} examples
 */

/** @typedef {ReturnType<typeof names>} Names */

/** What the points of a report are called. @param {Report} report */
export function names(report) {
  const chosen = report.selection.beta === null ? null : betaText(report.selection.beta);
  const single = report.compared.base === null;
  const composed = report.adapters.length > 1;
  // An object's keys come in another order than betas do.
  const order = report.points.map(betaText);
  const isBase = (/** @type {string} */ beta) => beta.split("+").every(part => Number(part) === 0);
  return {
    chosen,
    single,
    composed,
    isBase,
    text: betaText,
    /** What the second column of a comparison is. */
    other: single ? "score" : chosen === null ? `beta ${betaText(report.compared.beta)}` : "merged",
    /** Which models a point is, beside its betas. @param {string} beta */
    label(beta) {
      if (isBase(beta)) return single ? "" : "base";
      if (beta === chosen) return "merged";
      const own = beta.split("+").flatMap((part, at) => (Number(part) ? [report.adapters[at]] : []));
      return composed ? (own.length === 1 ? `${own[0]} alone` : "") : beta === "1" ? "regional" : "";
    },
    /** @template T @param {Record<string, T> | undefined} found @returns {[string, T][]} */
    byBeta: found => order.flatMap(beta => (found && beta in found ? [[beta, found[beta]]] : [])),
  };
}

/** @param {Score | null | undefined} score */
export const scoreText = score =>
  score ? `${fixed(score.value)} [${fixed(score.interval[0])}, ${fixed(score.interval[1])}]` : "–";

/** @param {string} text */
export const sentence = text => text.charAt(0).toUpperCase() + text.slice(1);

/** A cell is text, or text with a class. @typedef {string | { text: string, class: string }} Cell */

/** @param {string} caption @param {string[]} heads @param {{ cells: Cell[], class?: string }[]} rows */
export const figures = (caption, heads, rows) =>
  h(
    "div",
    { class: "wide", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h("tr", {}, ...heads.map((text, at) => h("th", { scope: "col", class: at ? "figure" : null }, text))),
      ),
      h(
        "tbody",
        {},
        ...rows.map(row =>
          h(
            "tr",
            { class: row.class },
            ...row.cells.map((cell, at) =>
              typeof cell === "string"
                ? h("td", { class: at ? "figure" : null }, cell)
                : h("td", { class: cell.class }, cell.text),
            ),
          ),
        ),
      ),
    ),
  );

/** @param {string} title @param {string | null} lead @param {...Child} children */
export const section = (title, lead, ...children) =>
  h("section", {}, h("h2", {}, title), lead ? h("p", {}, said(lead)) : null, ...children);

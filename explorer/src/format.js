/** How figures are written; what is unknown is a dash, never 0. */

export const UNKNOWN = "–";

/** @import { Overview } from "./contract.js" */
/** @typedef {number | null | undefined} Figure */

/** @param {Figure} value @param {number} [digits] */
export const fixed = (value, digits = 2) =>
  value === null || value === undefined ? UNKNOWN : minus(value.toFixed(digits));

/** With its sign, as a difference. @param {Figure} value @param {number} [digits] */
export const signed = (value, digits = 2) =>
  value === null || value === undefined
    ? UNKNOWN
    : `${Number(value.toFixed(digits)) > 0 ? "+" : ""}${fixed(value, digits)}`;

/** @param {string} text */
const minus = text => (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");

/**
 * "+1.20 [0.40, 2.00]"
 * @param {Figure} value @param {Figure} low @param {Figure} high @param {(value: Figure) => string} [write]
 */
export const interval = (value, low, high, write = fixed) =>
  low === null || low === undefined || high === null || high === undefined
    ? write(value)
    : `${write(value)} [${write(low)}, ${write(high)}]`;

/** A point of the grid: "0.5"; of two adapters "0.25+0.5". @param {number | number[]} beta */
export const betaText = beta =>
  [beta]
    .flat()
    .map(value => String(Number(value.toPrecision(6))))
    .join("+");

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** @param {Figure} value */
export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** People: "68 million". @param {Figure} value */
export function people(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value >= 999_500_000) return `${(value / 1e9).toFixed(1)} billion`;
  if (value >= 999_500) return `${(value / 1e6).toFixed(value < 9_950_000 ? 1 : 0)} million`;
  return Math.round(value).toLocaleString("en");
}

/** "1 adapter", "2 adapters" @param {number} count @param {string} noun @param {string} [plural] */
export const counted = (count, noun, plural = `${noun}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;

/** Which index it is; that of the package says so itself. @param {Pick<Overview, "hub" | "index">} overview */
export const indexText = ({ hub, index }) =>
  index.shipped ??
  [
    `Index ${index.repo ?? hub}`,
    index.number === null ? "" : `, number ${index.number}`,
    index.commit === null ? "" : `, commit ${index.commit.slice(0, 12)}`,
    index.date === null ? "" : `, of ${index.date}`,
  ].join("");

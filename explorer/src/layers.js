/** What the map shows of each country, layer by layer: values, classes of colour, words. */

import { counted, fixed, interval, people, signed } from "./format.js";

/** @import { Alpha, Country, Maybe, Overview, Placed, State } from "./contract.js" */

/** @typedef {"gain" | "alpha" | "count" | "wanted"} LayerName */
/** @typedef {{ family: string, suite: string, policy: string, layer: LayerName, year: number }} Shown */
/**
 * `fill` is a class of the style sheet; `value` sorts.
 * @typedef {{ country: Country, placed: Maybe<Placed>, fill: string, value: Maybe<number>, text: string }} Place
 */

/** @typedef {State | "other_suite"} Look */

/** @type {Record<LayerName, string>} */
export const LAYERS = { gain: "Measured gain", alpha: "Alpha", count: "Adapters", wanted: "Most wanted" };

/** @type {Record<Look, string>} */
const STATES = {
  gain: "better than its base",
  loss: "worse than its base",
  no_difference: "no difference shown: the interval includes 0",
  other_suite: "measured, on another suite",
  declared: "declared, not measured",
};

/** Of a gain's size, in points; the step is the smallest that lets the largest gain into the fourth class. */
const STEPS = [0.5, 1, 2, 2.5, 5, 10, 20];
const CLASSES = 4;

/** A gain is told on the suite that is shown alone. @param {Placed} placed @param {string} suite @returns {Look} */
export const lookOf = (placed, suite) =>
  placed.state !== "declared" && placed.suite !== suite ? "other_suite" : placed.state;

/** @param {Record<string, Placed>} countries @param {string} suite */
export function gainStep(countries, suite) {
  const sizes = Object.values(countries)
    .filter(p => ["gain", "loss"].includes(lookOf(p, suite)))
    .map(p => Math.abs(p.gain ?? 0));
  const largest = Math.max(0, ...sizes);
  return STEPS.find(step => step * CLASSES >= largest) ?? STEPS[STEPS.length - 1];
}

/** @param {Placed} placed @param {string} suite @param {number} step */
export function gainFill(placed, suite, step) {
  const look = lookOf(placed, suite);
  if (look !== "gain" && look !== "loss") return look;
  return `${look}-${Math.min(CLASSES, Math.max(1, Math.ceil(Math.abs(placed.gain ?? 0) / step)))}`;
}

const ALPHA = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
const COUNT = [1, 2, 3, 6, 11, 21];
const WANTED = [1e5, 1e6, 1e7, 5e7, 1e8, 5e8];

/** The class of a sequence: 0 below the first limit. @param {number[]} limits @param {number} value */
export const sequence = (limits, value) => limits.filter(limit => value >= limit).length;

/** The layer of a family and policy. @param {Overview} overview @param {Shown} shown */
export const placedCountries = (overview, shown) =>
  overview.layers.find(l => l.family === shown.family && l.policy === shown.policy)?.countries ?? {};

/**
 * @param {Overview} overview @param {Alpha | null} alpha of the layer `alpha` alone @param {Shown} shown
 * @returns {Place[]}
 */
export function places(overview, alpha, shown) {
  const layer = placedCountries(overview, shown);
  const step = gainStep(layer, shown.suite);
  return overview.countries.map(country => {
    const placed = layer[country.id] ?? null;
    switch (shown.layer) {
      case "alpha": {
        const at = alpha ? alpha.years.indexOf(shown.year) : -1;
        const value = alpha?.countries[country.id]?.[at] ?? null;
        return {
          country,
          placed,
          value,
          fill: value === null ? "none" : `seq-${sequence(ALPHA, value)}`,
          text: value === null ? `no value of ${shown.year}` : `alpha ${fixed(value, 3)} in ${shown.year}`,
        };
      }
      case "count":
        return {
          country,
          placed,
          value: country.adapters,
          text: counted(country.adapters, "adapter"),
          fill: country.adapters ? `seq-${sequence(COUNT, country.adapters)}` : "none",
        };
      case "wanted": {
        const { wanted } = country;
        return {
          country,
          placed,
          value: wanted?.speakers ?? null,
          fill: wanted ? `seq-${sequence(WANTED, wanted.speakers)}` : "none",
          text: wanted
            ? `${people(wanted.speakers)} speakers of ${wanted.name} there; no measured adapter names it`
            : "every language is named by a measured adapter, or its speakers are unknown",
        };
      }
      default:
        return {
          country,
          placed,
          value: placed && lookOf(placed, shown.suite) !== "other_suite" ? placed.gain : null,
          fill: placed ? gainFill(placed, shown.suite, step) : "none",
          text: gainText(placed, shown.suite),
        };
    }
  });
}

/** @param {Maybe<Placed>} placed @param {string} suite */
export function gainText(placed, suite) {
  if (!placed) return "no adapter";
  const look = lookOf(placed, suite);
  const figure =
    placed.gain === null || look === "other_suite"
      ? ""
      : `${interval(placed.gain, placed.low, placed.high, signed)} points, `;
  if (look === "declared" && figure) return `${figure}as its author claims`;
  return look === "no_difference" && placed.beta === 0
    ? "beta 0, the base itself, is chosen"
    : `${figure}${STATES[look]}`;
}

/**
 * The classes of a layer, with their words.
 * @param {Shown} shown @param {Overview} overview
 * @returns {[fill: string, text: string][]}
 */
export function legend(shown, overview) {
  const step = gainStep(placedCountries(overview, shown), shown.suite);
  switch (shown.layer) {
    case "alpha":
      return [...ranges(ALPHA, value => fixed(value, 1)), ["none", "no value"]];
    case "count":
      return [
        ["seq-1", "1"],
        ["seq-2", "2"],
        ["seq-3", "3–5"],
        ["seq-4", "6–10"],
        ["seq-5", "11–20"],
        ["seq-6", "over 20"],
        ["none", "none"],
      ];
    case "wanted":
      return [...ranges(WANTED, short), ["none", "served, or unknown"]];
    default:
      return [
        ...[4, 3, 2, 1].map(at => /** @type {[string, string]} */ ([`loss-${at}`, size("−", at, step)])),
        ["no_difference", "interval includes 0"],
        ...[1, 2, 3, 4].map(at => /** @type {[string, string]} */ ([`gain-${at}`, size("+", at, step)])),
        ["other_suite", "measured on another suite"],
        ["declared", "declared only"],
        ["none", "no adapter"],
      ];
  }
}

/** @param {string} sign @param {number} at @param {number} step */
const size = (sign, at, step) =>
  at === CLASSES ? `over ${sign}${step * (at - 1)}` : `${at > 1 ? sign : ""}${step * (at - 1)} to ${sign}${step * at}`;

/** @param {number[]} limits @param {(value: number) => string} write @returns {[string, string][]} */
const ranges = (limits, write) => [
  ["seq-0", `under ${write(limits[0])}`],
  ...limits.map(
    (limit, at) =>
      /** @type {[string, string]} */ ([
        `seq-${at + 1}`,
        at + 1 < limits.length ? `${write(limit)}–${write(limits[at + 1])}` : `over ${write(limit)}`,
      ]),
  ),
];

/** @param {number} value */
const short = value => (value >= 1e6 ? `${value / 1e6} m` : `${value / 1e3} k`);

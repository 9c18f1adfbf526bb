/** What the map shows, as words and as a table. */

import { h } from "./dom.js";
import { fixed, signed } from "./format.js";
import { lookOf, placedCountries } from "./layers.js";
import { address } from "./route.js";

/** @import { Overview } from "./contract.js" */
/** @import { Place, Shown } from "./layers.js" */

/** @param {{ id: string, name: string }} suite */
export const suiteText = suite => `${suite.name} · ${suite.id.slice(0, 7)}`;

/** What is asked of each layer. @type {Record<import("./layers.js").LayerName, string>} */
export const TITLES = {
  gain: "Where regional models are measurably better",
  alpha: "How much the rest of the world counts",
  count: "Where there are adapters",
  wanted: "Where an adapter is most wanted",
};

/** @param {Overview} overview @param {Shown} shown */
export function summary(overview, shown) {
  const total = `${overview.countries.length} countries and territories`;
  if (shown.layer === "alpha")
    return "alpha weighs the world's score against the region's in parity: near 1 for countries whose people are closely tied to the world, by KOF's index.";
  if (shown.layer === "count") {
    const served = overview.countries.filter(country => country.adapters).length;
    return `Of ${total}, ${served} have an adapter of any family, their own or that of a wider region.`;
  }
  if (shown.layer === "wanted")
    return "Of each country the most spoken language, beside English, that no measured adapter which serves the country names.";
  const all = Object.values(placedCountries(overview, shown));
  const count = (/** @type {string} */ state) => all.filter(p => lookOf(p, shown.suite) === state).length;
  const measured = count("gain") + count("loss") + count("no_difference");
  const family = overview.families.find(f => f.id === shown.family)?.name ?? "adapter";
  if (!all.length) return `No country has an adapter of the family ${family} yet. What is grey is waiting for one.`;
  const found = measured
    ? `On this suite ${measured} ${measured === 1 ? "is" : "are"} measured: ${count("gain")} better than the base, ${count("loss")} worse, ${count("no_difference")} without a difference shown.`
    : "None of them is measured on a suite that can be shown.";
  return `Of ${total}, ${all.length} ${all.length === 1 ? "has" : "have"} an adapter of the family ${family}. ${found} The adapter of a country is the one that ggez-hub pull would take there.`;
}

/** @param {() => Shown} shown @returns {import("./table.js").Column<Place>[]} */
export function columns(shown) {
  // An interval belongs to a gain that is shown.
  const end = (/** @type {Place} */ row, /** @type {"low" | "high"} */ side) =>
    shown().layer === "gain" && row.value !== null ? (row.placed?.[side] ?? null) : null;
  return [
    {
      name: "country",
      label: "Country",
      value: row => row.country.name,
      show: row => h("a", { href: address("country", row.country.id) }, row.country.name),
    },
    { name: "state", label: "State", value: row => row.text },
    {
      name: "value",
      label: "Value",
      numeric: true,
      value: row => row.value,
      show: row =>
        shown().layer === "gain"
          ? signed(row.value)
          : shown().layer === "alpha"
            ? fixed(row.value, 3)
            : row.value === null
              ? "–"
              : row.value.toLocaleString("en"),
    },
    { name: "low", label: "Low", numeric: true, value: row => end(row, "low"), show: row => signed(end(row, "low")) },
    {
      name: "high",
      label: "High",
      numeric: true,
      value: row => end(row, "high"),
      show: row => signed(end(row, "high")),
    },
    { name: "beta", label: "β", numeric: true, value: row => row.placed?.beta ?? null },
    {
      name: "adapter",
      label: "Adapter",
      value: row => row.placed?.adapter ?? null,
      show: row =>
        row.placed
          ? h(
              "a",
              { href: address("adapter", row.placed.adapter, { policy: shown().policy }) },
              h("bdi", {}, row.placed.title),
            )
          : "–",
    },
  ];
}

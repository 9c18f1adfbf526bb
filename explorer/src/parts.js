/** What stands beside an adapter's curve: its countries and languages, controls, people. */

import { h, said } from "./dom.js";
import { fixed, interval, signed } from "./format.js";
import { intervalBars } from "./intervals.js";
import { table } from "./table.js";

/** @import { Adapter, Overview, PartRow } from "./contract.js" */

/** What the gain of a part is. */
const MEANING = {
  countries: "GRP over the base's for each country, by its own items and its own alpha",
  languages: "The merged model's score less its base's, paired item by item",
};

/** @param {string} title @param {keyof typeof MEANING} name @param {PartRow[]} rows @param {Overview} overview @param {string} slug */
export function parts(title, name, rows, overview, slug) {
  if (!rows.length) return null;
  const nameOf = (/** @type {PartRow} */ row) =>
    row.name ?? overview.countries.find(c => c.id === row.id)?.name ?? row.id;
  return h(
    "section",
    {},
    h("h2", {}, title),
    h("p", {}, `${MEANING[name]}, in points; an interval that includes 0 decides nothing.`),
    intervalBars(
      rows.map(row => ({
        name: nameOf(row),
        value: row.gain,
        low: row.low,
        high: row.high,
        text: row.n === null ? "" : `, n ${row.n}`,
      })),
      title,
    ),
    h(
      "details",
      {},
      h("summary", {}, "The figures"),
      table({
        name: `${slug}-${name}`,
        caption: title,
        rows,
        columns: [
          { name: "name", label: "Name", value: nameOf },
          { name: "id", label: "Code", value: row => row.id },
          { name: "beta", label: "β", numeric: true, value: row => row.beta },
          { name: "base", label: "Base", numeric: true, value: row => row.base, show: row => fixed(row.base) },
          { name: "score", label: "Merged", numeric: true, value: row => row.score, show: row => fixed(row.score) },
          { name: "gain", label: "Gain", numeric: true, value: row => row.gain, show: row => signed(row.gain) },
          { name: "low", label: "Low", numeric: true, value: row => row.low, show: row => signed(row.low) },
          { name: "high", label: "High", numeric: true, value: row => row.high, show: row => signed(row.high) },
          { name: "n", label: "n", numeric: true, value: row => row.n },
        ],
      }).element,
    ),
  );
}

/** @param {Adapter} adapter */
export function controls({ controls: found }) {
  if (!found.length) return null;
  return h(
    "section",
    {},
    h("h2", {}, "Controls"),
    h(
      "dl",
      { class: "facts wide-facts" },
      ...found.map(control =>
        h(
          "div",
          {},
          h("dt", {}, said(control.name)),
          h(
            "dd",
            {},
            control.value === null ? null : h("b", {}, interval(control.value, control.low, control.high, signed)),
            " ",
            said(control.text),
          ),
        ),
      ),
    ),
  );
}

/** @param {Adapter} adapter */
export function people({ people: rows, slug }) {
  if (!rows.length) return null;
  const names = [...new Set(rows.flatMap(row => Object.keys(row)))];
  return h(
    "section",
    {},
    h("h2", {}, "What people said"),
    h("p", {}, "Never averaged with the tasks."),
    table({
      name: `${slug}-people`,
      caption: "Scores of people",
      rows,
      columns: names.map(key => ({
        name: key,
        label: key.replaceAll("_", " "),
        value: row => personText(row[key] ?? null),
      })),
    }).element,
  );
}

/** @param {import("./contract.js").Json} value */
function personText(value) {
  if (value === null || typeof value !== "object") return value;
  if (
    !Array.isArray(value) &&
    typeof value.value === "number" &&
    typeof value.low === "number" &&
    typeof value.high === "number"
  )
    return `${fixed(value.value)} [${fixed(value.low)}, ${fixed(value.high)}]${value.undetermined ? " undetermined" : ""}`;
  return JSON.stringify(value);
}

/** A table that can be sorted, and downloaded as CSV and JSON. */

import { append, h } from "./dom.js";
import { csv, json, save } from "./download.js";
import { UNKNOWN } from "./format.js";

/** @import { Cell } from "./download.js" */
/** @import { Child } from "./dom.js" */

/**
 * `value` is what is sorted and downloaded, `show` what is read; `unordered` values must not be ranked.
 * @template Row
 * @typedef {{ name: string, label: string, value: (row: Row) => Cell, show?: (row: Row) => Child, numeric?: boolean, unordered?: boolean }} Column
 */

/**
 * @template Row
 * @param {object} options
 * @param {string} options.name of the downloaded files
 * @param {string} options.caption
 * @param {Column<Row>[]} options.columns the first one names the row
 * @param {Row[]} options.rows
 * @param {number} [options.most] rows that are shown at once
 * @param {(row: Row) => string | null} [options.mark] a row's class
 */
export function table({ name, caption, columns, rows, most = 100, mark }) {
  let shown = most;
  let ordered = rows;
  /** @type {{ column: number, down: boolean } | null} */
  let order = null;
  const body = h("tbody");
  const more = h("button", { type: "button", class: "more", onclick: () => ((shown += most * 5), draw()) });
  const heads = columns.map((column, at) =>
    h(
      "th",
      { scope: "col", class: column.numeric ? "figure" : null },
      column.unordered ? column.label : h("button", { type: "button", onclick: () => sort(at) }, column.label),
    ),
  );

  /** @param {number} at */
  function sort(at) {
    const down = order?.column === at ? !order.down : Boolean(columns[at].numeric);
    order = { column: at, down };
    heads.forEach((head, place) =>
      place === at
        ? head.setAttribute("aria-sort", down ? "descending" : "ascending")
        : head.removeAttribute("aria-sort"),
    );
    ordered = [...rows].sort((one, other) => compare(columns[at].value(one), columns[at].value(other), down));
    draw();
  }

  function draw() {
    body.replaceChildren(
      ...ordered.slice(0, shown).map(row =>
        h(
          "tr",
          { class: mark?.(row) },
          ...columns.map((column, at) => {
            const child = column.show ? column.show(row) : h("bdi", {}, shownCell(column.value(row)));
            return at === 0
              ? h("th", { scope: "row" }, child)
              : h("td", { class: column.numeric ? "figure" : null }, child);
          }),
        ),
      ),
    );
    more.hidden = shown >= ordered.length;
    more.textContent = `Show more of ${ordered.length.toLocaleString("en")}`;
  }

  /** @param {"csv" | "json"} kind */
  const download = kind => () => {
    const names = columns.map(column => column.name);
    const cells = ordered.map(row => columns.map(column => column.value(row)));
    if (kind === "csv") save(`${name}.csv`, csv(names, cells), "text/csv;charset=utf-8");
    else save(`${name}.json`, json(names, cells), "application/json");
  };
  const element = h(
    "div",
    { class: "table" },
    h(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-label": caption },
      h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, ...heads)), body),
    ),
    h(
      "p",
      { class: "tools" },
      more,
      "Download ",
      h("button", { type: "button", "aria-label": `${caption}: download CSV`, onclick: download("csv") }, "CSV"),
      " ",
      h("button", { type: "button", "aria-label": `${caption}: download JSON`, onclick: download("json") }, "JSON"),
    ),
  );
  draw();
  return {
    element,
    /** @param {Row[]} found */
    replace(found) {
      rows = ordered = found;
      shown = most;
      if (order) {
        const { column, down } = order;
        ordered = [...rows].sort((one, other) =>
          compare(columns[column].value(one), columns[column].value(other), down),
        );
      }
      draw();
    },
  };
}

/** What is unknown comes last, whatever the direction. @param {Cell} one @param {Cell} other @param {boolean} down */
function compare(one, other, down) {
  if (one === null || other === null) return Number(one === null) - Number(other === null);
  const found = typeof one === "string" ? one.localeCompare(String(other)) : Number(one) - Number(other);
  return down ? -found : found;
}

/** @param {Cell} cell */
const shownCell = cell => (cell === null || cell === "" ? UNKNOWN : String(cell));

/**
 * A group of choices of which one is taken.
 * @param {object} options
 * @param {string} options.label
 * @param {[value: string, text: string][]} options.choices
 * @param {string} options.value
 * @param {(value: string) => void} options.change
 */
export function select({ label, choices, value, change }) {
  const box = h("select", { onchange: () => change(box.value) });
  for (const [id, text] of choices) append(box, h("option", { value: id, selected: id === value }, text));
  return h("label", { class: "select" }, h("span", {}, label), box);
}

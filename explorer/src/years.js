/** alpha over the years, a line for each region. */

import { line } from "d3-shape";
import { svg } from "./dom.js";
import { chart, extent } from "./frame.js";

/** @typedef {{ name: string, own: boolean, values: (number | null)[], dashed?: (number | null)[], notes?: { year: number, text: string }[] }} Series */

/** @param {Series[]} series @param {number} first the year of the first value @param {number} [height] */
export function yearLines(series, first, height = 360) {
  const known = series.flatMap(s => [...s.values, ...(s.dashed ?? [])]).filter(value => value !== null);
  const count = Math.max(...series.map(s => s.values.length));
  return chart(
    {
      label: "alpha of regions over the years",
      height,
      xs: [first, first + count - 1],
      ys: extent(known),
      xName: "year",
      yName: "alpha",
      right: series.length > 1 ? 190 : 14,
      xText: String,
    },
    ({ x, y, layer, right, narrow }) => {
      const path = line(/** @type {(p: [number, number | null]) => number} */ (p => x(p[0])), p =>
        y(p[1] ?? 0),
      ).defined(p => p[1] !== null);
      /** @type {{ y: number, text: string, own: boolean }[]} */
      const ends = [];
      // One's own lines lie over the others.
      for (const s of [...series].sort((one, other) => Number(one.own) - Number(other.own))) {
        const dated = (/** @type {(number | null)[]} */ values) =>
          values.map((v, at) => /** @type {[number, number | null]} */ ([first + at, v]));
        layer.append(svg("path", { class: s.own ? "year own" : "year", d: path(dated(s.values)) }));
        if (s.dashed) layer.append(svg("path", { class: "year own dashed", d: path(dated(s.dashed)) }));
        for (const note of s.notes ?? [])
          layer.append(
            svg(
              "text",
              { x: x(note.year), y: y(s.values[note.year - first] ?? 0) - 8, "text-anchor": "middle" },
              note.text,
            ),
          );
        const last = s.values.findLast(value => value !== null);
        if (last !== undefined && last !== null && series.length > 1)
          ends.push({ y: y(last) + 4, text: s.name, own: s.own });
      }
      ends.sort((one, other) => one.y - other.y);
      ends.forEach((end, at) => {
        if (at && end.y < ends[at - 1].y + 15) end.y = ends[at - 1].y + 15;
      });
      for (const end of ends)
        layer.append(
          svg(
            "text",
            {
              x: narrow ? right - 4 : right + 6,
              y: end.y,
              "text-anchor": narrow ? "end" : "start",
              class: end.own ? "halo own" : "halo",
            },
            end.text,
          ),
        );
    },
  );
}

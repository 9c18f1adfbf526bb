/** Differences with their intervals around zero, a row for each part. */

import { scaleLinear } from "d3-scale";
import { h, svg } from "./dom.js";
import { signed } from "./format.js";

/** @typedef {{ name: string, value: number | null, low: number | null, high: number | null, text?: string }} Bar */

/** What an interval shows. @param {Bar} bar */
export const verdict = ({ value, low, high }) =>
  value === null || low === null || high === null ? "unknown" : low > 0 ? "gain" : high < 0 ? "loss" : "no_difference";

/**
 * Rows of text and a bar each. Their scale is common; the figures stand beside them as text.
 * @param {Bar[]} bars @param {string} label
 */
export function intervalBars(bars, label) {
  const ends = bars.flatMap(bar => [bar.value, bar.low, bar.high]).filter(value => value !== null);
  const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const x = scaleLinear([low, high === low ? low + 1 : high], [3, 97]);
  return h(
    "ul",
    { class: "bars", "aria-label": label },
    ...bars.map(bar => {
      const drawing = svg(
        "svg",
        { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": true, class: `bar ${verdict(bar)}` },
        svg("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: 12 }),
      );
      if (bar.value !== null)
        drawing.append(
          svg("rect", { x: Math.min(x(0), x(bar.value)), width: Math.abs(x(bar.value) - x(0)), y: 3.5, height: 5 }),
        );
      if (bar.low !== null && bar.high !== null)
        drawing.append(svg("line", { class: "whisker", x1: x(bar.low), x2: x(bar.high), y1: 6, y2: 6 }));
      const range = bar.low === null ? "" : ` [${signed(bar.low)}, ${signed(bar.high)}]`;
      return h(
        "li",
        {},
        h("bdi", { class: "name" }, bar.name),
        drawing,
        h("span", { class: "figure" }, h("b", {}, signed(bar.value)), range, bar.text ?? ""),
      );
    }),
  );
}

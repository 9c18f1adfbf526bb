/** The trade-off of an adapter: the region's score against the world's at every beta, with intervals. */

import { line } from "d3-shape";
import { svg } from "./dom.js";
import { chart, extent } from "./frame.js";

/** @typedef {{ value: number, low: number | null, high: number | null }} Interval */
/** @typedef {"base" | "regional" | "chosen" | null} Mark */
/** @typedef {{ name: string, world: Interval, region: Interval, mark: Mark, text?: string }} Point */

/** What a mark is called beside its point. @type {Record<string, string>} */
const NAMES = { base: "base", regional: "regional", chosen: "chosen" };

/**
 * @param {object} options
 * @param {Point[]} options.points in the order of betas
 * @param {boolean} [options.composed] several adapters: the line goes through the points that no other beats on both sides
 * @param {number} [options.height]
 * @param {string} [options.scale] the metric
 */
export function tradeOff({ points, composed = false, height = 400, scale = "score" }) {
  return chart(
    {
      label: `The trade-off over beta: ${points.map(p => `beta ${p.name}: world ${p.world.value.toFixed(1)}, region ${p.region.value.toFixed(1)}`).join("; ")}`,
      height,
      xs: extent(points.flatMap(p => ends(p.region))),
      ys: extent(points.flatMap(p => ends(p.world))),
      xName: `regional ${scale} →`,
      yName: `global ${scale} →`,
    },
    ({ x, y, layer }) => {
      const path = line(/** @type {(p: Point) => number} */ (p => x(p.region.value)), p => y(p.world.value));
      const through = composed ? undominated(points) : points;
      layer.append(svg("path", { class: "curve", d: path(through) }));
      // What is marked lies over the others.
      for (const point of [...points].sort((one, other) => Number(one.mark !== null) - Number(other.mark !== null))) {
        const [px, py] = [x(point.region.value), y(point.world.value)];
        const group = svg(
          "g",
          { class: `point ${point.mark ?? "plain"}` },
          svg("title", {}, `beta ${point.name}${point.text ? `: ${point.text}` : ""}`),
        );
        const { world, region } = point;
        if (region.low !== null && region.high !== null)
          group.append(svg("line", { class: "whisker", x1: x(region.low), x2: x(region.high), y1: py, y2: py }));
        if (world.low !== null && world.high !== null)
          group.append(svg("line", { class: "whisker", x1: px, x2: px, y1: y(world.low), y2: y(world.high) }));
        group.append(svg("circle", { cx: px, cy: py, r: point.mark ? 6 : 3.5 }));
        if (point.mark || composed)
          group.append(
            svg("text", { x: px + 9, y: py - 9 }, point.mark ? `${NAMES[point.mark]}, β ${point.name}` : point.name),
          );
        layer.append(group);
      }
      inside(layer, x.range()[1]);
    },
  );
}

/** Text that would leave the drawing stands left of its point. @param {SVGGElement} layer @param {number} right */
function inside(layer, right) {
  for (const text of layer.querySelectorAll("text")) {
    const at = Number(text.getAttribute("x"));
    if (at + (text.textContent?.length ?? 0) * 7 > right) {
      text.setAttribute("x", String(at - 18));
      text.setAttribute("text-anchor", "end");
    }
  }
}

/** @param {Interval} found */
const ends = found => [found.value, found.low, found.high];

/** @param {Point[]} points */
export const undominated = points =>
  points
    .filter(
      p =>
        !points.some(
          q =>
            q !== p &&
            q.world.value >= p.world.value &&
            q.region.value >= p.region.value &&
            (q.world.value > p.world.value || q.region.value > p.region.value),
        ),
    )
    .sort((p, q) => p.region.value - q.region.value);

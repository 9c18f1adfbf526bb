/** The frame of a chart: axes, grid, and a drawing that follows the width of its place. */

import { scaleLinear } from "d3-scale";
import { h, svg } from "./dom.js";

/** @typedef {import("d3-scale").ScaleLinear<number, number>} Scale */
/** @typedef {{ x: Scale, y: Scale, layer: SVGGElement, left: number, right: number, top: number, bottom: number, narrow: boolean }} Frame */

/**
 * @typedef {object} FrameOptions
 * @property {string} label what the chart shows, for those who cannot see it
 * @property {number} height
 * @property {[number, number]} xs
 * @property {[number, number]} ys
 * @property {string} xName
 * @property {string} yName
 * @property {number} [right] room beside it
 * @property {(value: number) => string} [xText]
 */

/**
 * A chart that is drawn anew when its width changes: as many units as pixels, so that text is as large on a phone.
 * @param {FrameOptions} options @param {(frame: Frame) => void} fill
 */
export function chart(options, fill) {
  const place = h("div", { class: "chart" });
  let drawn = 0;
  const draw = (/** @type {number} */ width) => {
    if (!width || width === drawn) return;
    drawn = width;
    place.replaceChildren(framed(width, options, fill));
  };
  new ResizeObserver(([entry]) => draw(Math.round(entry.contentRect.width))).observe(place);
  // The observer is called after the first layout; where there is one already nothing has to wait.
  queueMicrotask(() => draw(place.clientWidth));
  return place;
}

/** @param {number} width @param {FrameOptions} options @param {(frame: Frame) => void} fill */
function framed(width, options, fill) {
  const { height, xs, ys } = options;
  const narrow = width < 560;
  const [left, top, bottom] = [52, 12, height - 44];
  const right = width - (narrow ? Math.min(14, options.right ?? 14) : (options.right ?? 14));
  const x = scaleLinear(xs, [left, right]);
  const y = scaleLinear(ys, [bottom, top]);
  const grid = svg("g", { class: "grid" });
  const ticks = svg("g", { class: "ticks" });
  const xText = options.xText ?? tick;
  for (const value of x.ticks(narrow ? 4 : 8)) {
    grid.append(svg("line", { x1: x(value), x2: x(value), y1: top, y2: bottom }));
    ticks.append(svg("text", { x: x(value), y: bottom + 18, "text-anchor": "middle" }, xText(value)));
  }
  for (const value of y.ticks(6)) {
    grid.append(svg("line", { x1: left, x2: right, y1: y(value), y2: y(value), class: value === 0 ? "zero" : null }));
    ticks.append(svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, tick(value)));
  }
  const middle = (top + bottom) / 2;
  const layer = svg("g");
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": options.label },
    grid,
    ticks,
    layer,
    svg("text", { class: "axis", x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, options.xName),
    svg(
      "text",
      { class: "axis", x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` },
      options.yName,
    ),
  );
  fill({ x, y, layer, left, right, top, bottom, narrow });
  return drawing;
}

/** @param {number} value */
const tick = value => String(Number(value.toFixed(6))).replace("-", "−");

/**
 * From the least to the largest value, with some room.
 * @param {(number | null)[]} values @param {number} [room]
 * @returns {[number, number]}
 */
export function extent(values, room = 0.07) {
  const known = values.filter(value => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const space = (high - low || 1) * room;
  return [low - space, high + space];
}

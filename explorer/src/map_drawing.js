/** The map as a drawing: colours, tooltip, pointer and keyboard. */

import { append, h, svg } from "./dom.js";
import { neighbour } from "./world.js";

/** @import { Place } from "./layers.js" */
/** @import { Shape, shapes } from "./world.js" */

/**
 * @param {ReturnType<typeof shapes>} world
 * @param {object} options
 * @param {(id: string) => void} options.open
 * @param {(place: Place) => (Node | string)[]} options.tip
 */
export function mapDrawing(world, { open, tip }) {
  /** @type {Map<string, Place>} */
  let places = new Map();
  /** @type {Map<string, SVGGElement>} */
  const groups = new Map();
  // What has the focus says the same by its label.
  const tooltip = h("div", { class: "tooltip", "aria-hidden": true, hidden: true });
  const land = svg("g", { class: "countries" });
  const drawing = svg(
    "svg",
    {
      viewBox: `0 0 ${world.width} ${world.height}`,
      role: "group",
      "aria-label": "Map: arrow keys go from country to country, Enter opens one; the table below says the same",
    },
    svg("defs", {}, hatch("hatch-declared", 6), hatch("hatch-other_suite", 4)),
    svg("path", { class: "sphere", d: world.outline }),
    svg("path", { class: "rest", d: world.rest }),
    land,
    svg("path", { class: "borders", d: world.borders }),
  );
  // Circles lie over the borders of large neighbours.
  const circles = svg("g", { class: "countries small" });
  append(drawing, circles);
  for (const shape of world.shapes) {
    const group = svg("g", {
      role: "link",
      tabindex: -1,
      "data-id": shape.id,
      onpointerenter: event => event.pointerType === "touch" || point(shape),
      onpointerleave: hide,
      onfocus: () => point(shape),
      onblur: hide,
      onclick: event => press(event, shape),
      onkeydown: event => key(event, shape),
    });
    // An own stroke makes a narrow country easier to hit.
    if (shape.path) append(group, svg("path", { d: shape.path }));
    if (shape.small)
      append(
        group,
        svg("circle", { class: "reach", cx: shape.x, cy: shape.y, r: 9 }),
        svg("circle", { class: "dot", cx: shape.x, cy: shape.y, r: 4 }),
      );
    groups.set(shape.id, group);
    append(shape.small ? circles : land, group);
  }

  /** @param {Shape} shape */
  function point(shape) {
    const place = places.get(shape.id);
    if (!place) return;
    tooltip.replaceChildren(h("b", {}, place.country.name), ...tip(place));
    tooltip.hidden = false;
    const scale = drawing.clientWidth / world.width;
    const [x, y] = [shape.x * scale, shape.y * scale];
    const wide = drawing.clientWidth;
    tooltip.style.left = `${Math.max(0, Math.min(x + 12, wide - tooltip.offsetWidth - 4))}px`;
    tooltip.style.top = `${y > tooltip.offsetHeight + 16 ? y - tooltip.offsetHeight - 12 : y + 16}px`;
    tooltip.dataset.id = shape.id;
  }

  function hide() {
    tooltip.hidden = true;
    delete tooltip.dataset.id;
  }

  /** A finger has no hover: its first tap shows what a country is, the second opens it. @param {PointerEvent} event @param {Shape} shape */
  function press(event, shape) {
    if (event.pointerType === "touch" && tooltip.dataset.id !== shape.id) point(shape);
    else open(shape.id);
  }

  /** @param {KeyboardEvent} event @param {Shape} shape */
  function key(event, shape) {
    if (event.key === "Enter" || event.key === " ") open(shape.id);
    else if (event.key === "Escape") hide();
    else if (event.key.startsWith("Arrow")) {
      const next = neighbour(world.shapes, shape, event.key);
      if (next) reach(next.id)?.focus();
    } else return;
    event.preventDefault();
  }

  /** The one country that the Tab key comes to. @param {string} id */
  function reach(id) {
    for (const group of groups.values()) group.setAttribute("tabindex", "-1");
    groups.get(id)?.setAttribute("tabindex", "0");
    return groups.get(id);
  }

  return {
    element: h("div", { class: "map" }, drawing, tooltip),
    /** @param {Place[]} found */
    paint(found) {
      places = new Map(found.map(place => [place.country.id, place]));
      for (const [id, group] of groups) {
        const place = places.get(id);
        const fill = place?.fill ?? "none";
        group.setAttribute("class", `country fill-${fill}`);
        group.setAttribute("aria-label", place ? `${place.country.name}: ${place.text}` : id);
        if (fill === "declared" || fill === "other_suite") group.setAttribute("fill", `url(#hatch-${fill})`);
        else group.removeAttribute("fill");
      }
      const first = found.find(place => place.fill !== "none" && groups.has(place.country.id));
      reach(first?.country.id ?? world.shapes[0]?.id ?? "");
    },
  };
}

/** @param {string} id @param {number} size */
const hatch = (id, size) =>
  svg(
    "pattern",
    {
      id,
      width: size,
      height: size,
      patternUnits: "userSpaceOnUse",
      patternTransform: `rotate(${id.endsWith("declared") ? 45 : -45})`,
      class: id,
    },
    svg("rect", { width: size, height: size }),
    svg("line", { x1: 0, y1: 0, x2: 0, y2: size }),
  );

/** A swatch of the legend, drawn as the map draws it. @param {string} fill */
export const swatch = fill =>
  svg(
    "svg",
    { width: 22, height: 14, "aria-hidden": true },
    svg(
      "g",
      {
        class: `country fill-${fill}`,
        fill: fill === "declared" || fill === "other_suite" ? `url(#hatch-${fill})` : null,
      },
      svg("rect", { x: 0.5, y: 0.5, width: 21, height: 13 }),
    ),
  );

/** The world's countries as places of a drawing: equal areas, Natural Earth's borders. */

import { geoEqualEarth, geoPath } from "d3-geo";
import { feature, mesh } from "topojson-client";

/** @import { GeometryCollection, Topology } from "topojson-specification" */
/** @import { Country } from "./contract.js" */

/** @typedef {Topology<{ countries: GeometryCollection<{ name: string }> }>} World */
/**
 * `small` countries are drawn as a circle that can be hit.
 * @typedef {{ id: string, path: string, x: number, y: number, small: boolean }} Shape
 */

/** Narrower or lower than this a country cannot be hit. */
const SMALL = 7;

/**
 * @param {World} world @param {Country[]} countries @param {number} width
 * @param {string[]} focus countries that fill the drawing; none: all
 */
export function shapes(world, countries, width, focus = []) {
  const { features } = feature(world, world.objects.countries);
  const byNumber = new Map(features.map(found => [String(found.id), found]));
  const land = countries.flatMap(country => {
    const found = country.numeric === null ? undefined : byNumber.get(country.numeric);
    return found ? [{ country, found }] : [];
  });
  const wanted = new Set(focus);
  const shown = land.filter(({ country }) => wanted.has(country.id)).map(({ found }) => found);
  const all = { type: /** @type {const} */ ("Sphere") };
  const height = Math.round(width * (shown.length ? 0.62 : 0.4867));
  const projection = geoEqualEarth();
  if (shown.length) {
    // Countries that lie across the date line are drawn around their own middle.
    const collection = { type: /** @type {const} */ ("FeatureCollection"), features: shown };
    projection.rotate([-middle(shown.map(found => centroid(found)[0])), 0]);
    projection.fitExtent(
      [
        [16, 16],
        [width - 16, height - 16],
      ],
      collection,
    );
    projection.clipExtent([
      [-2, -2],
      [width + 2, height + 2],
    ]);
  } else {
    projection.rotate([-11, 0]).fitSize([width, height], all);
  }
  const path = geoPath(projection).digits(1);
  /** @type {Shape[]} */
  const placed = [];
  for (const { country, found } of land) {
    const [[left, top], [right, bottom]] = path.bounds(found);
    const [x, y] = projection(centroid(found)) ?? [-9, -9];
    const inside = x > -2 && x < width + 2 && y > -2 && y < height + 2;
    const text = path(found) ?? "";
    if (!text && !inside) continue;
    placed.push({
      id: country.id,
      path: text,
      x,
      y,
      small: inside && !(right - left >= SMALL && bottom - top >= SMALL),
    });
  }
  const own = new Set(land.map(({ found }) => found));
  // Antarctica is not drawn: the map ends below the southern tip of America.
  const south = shown.length ? height : Math.ceil(projection([0, -58])?.[1] ?? height);
  return {
    width,
    height: south,
    shapes: placed,
    outline: path(all) ?? "",
    rest: features
      .filter(found => !own.has(found))
      .map(found => path(found) ?? "")
      .join(""),
    borders: path(mesh(world, world.objects.countries, (one, other) => one !== other)) ?? "",
  };
}

/** The largest part of a country: its middle lies on land more often than that of all parts. @param {any} found */
function largest(found) {
  if (found.geometry.type !== "MultiPolygon") return found;
  const parts = found.geometry.coordinates.map((/** @type {any} */ coordinates) => ({ type: "Polygon", coordinates }));
  const plane = geoPath();
  return parts.reduce((/** @type {any} */ best, /** @type {any} */ part) =>
    plane.area(part) > plane.area(best) ? part : best,
  );
}

/** @param {any} found */
const centroid = found => geoPath().centroid(largest(found));

/** The middle of longitudes on a circle, in degrees. @param {number[]} longitudes */
function middle(longitudes) {
  const sum = (/** @type {(angle: number) => number} */ of) =>
    longitudes.reduce((total, value) => total + of((value * Math.PI) / 180), 0);
  return (Math.atan2(sum(Math.sin), sum(Math.cos)) * 180) / Math.PI;
}

/**
 * The nearest shape in the direction of an arrow key; null where there is none.
 * @param {Shape[]} found @param {Shape} from @param {string} key
 */
export function neighbour(found, from, key) {
  const [across, along] = /** @type {Record<string, [number, number]>} */ ({
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  })[key] ?? [0, 0];
  let best = null;
  let least = Infinity;
  for (const shape of found) {
    const [dx, dy] = [shape.x - from.x, shape.y - from.y];
    const ahead = dx * across + dy * along;
    const aside = Math.abs(dx * along) + Math.abs(dy * across);
    if (shape === from || ahead <= 0 || aside > ahead * 2) continue;
    const distance = ahead + aside * 2;
    if (distance < least) [best, least] = [shape, distance];
  }
  return best;
}

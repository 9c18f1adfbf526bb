import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { neighbour, shapes } from "../src/world.js";
import { undominated } from "../src/trade_off.js";

const text = readFileSync(new URL("../../ggez_hub/charts/world.js", import.meta.url), "utf8");
const world = JSON.parse(text.replace(/^ggezData\("world",/, "").replace(/\);\s*$/, ""));
/** @param {string} id @param {string} numeric @returns {any} */
const country = (id, numeric) => ({ id, numeric, name: id });
const countries = [
  country("th", "764"),
  country("sg", "702"),
  country("bn", "096"),
  country("tl", "626"),
  country("us", "840"),
  country("xx", "999"),
];

test("a number is that of one country", () => {
  const ids = world.objects.countries.geometries.flatMap((/** @type {any} */ found) => found.id ?? []);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ["036", "702", "096", "626", "983"]) assert.ok(ids.includes(id), id);
});

test("small countries have a circle, large ones have none, unknown ones no place", () => {
  const found = new Map(shapes(world, countries, 1000).shapes.map(shape => [shape.id, shape]));
  assert.deepEqual(
    ["th", "sg", "bn", "tl", "us"].map(id => found.get(id)?.small),
    [false, true, true, true, false],
  );
  assert.ok(!found.has("xx"));
});

test("a part of the world fills the drawing", () => {
  const near = shapes(world, countries, 1000, ["th", "sg"]);
  const th = near.shapes.find(shape => shape.id === "th");
  assert.ok(th && th.x > 0 && th.x < 1000 && th.y > 0 && th.y < near.height);
  assert.ok(!near.shapes.some(shape => shape.id === "us"));
  assert.ok(near.shapes.every(shape => Number.isFinite(shape.x) && Number.isFinite(shape.y)));
});

test("arrow keys go to the neighbour in their direction", () => {
  const found = shapes(world, countries, 1000).shapes;
  const th = found.find(shape => shape.id === "th");
  assert.ok(th);
  assert.equal(neighbour(found, th, "ArrowDown")?.id, "sg");
  assert.equal(neighbour(found, th, "ArrowLeft")?.id, "us");
});

test("of a composition the line goes through what no other beats on both sides", () => {
  const point = (/** @type {string} */ name, /** @type {number} */ w, /** @type {number} */ r) => ({
    name,
    world: { value: w, low: null, high: null },
    region: { value: r, low: null, high: null },
    mark: null,
  });
  assert.deepEqual(
    undominated([point("a", 3, 1), point("b", 1, 3), point("c", 1, 1), point("d", 2, 2)]).map(p => p.name),
    ["a", "d", "b"],
  );
});

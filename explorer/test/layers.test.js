import assert from "node:assert/strict";
import { test } from "node:test";
import { gainFill, gainStep, gainText, legend, places } from "../src/layers.js";

/** @param {object} change @returns {any} */
const placed = change => ({
  adapter: "th.vlm.a",
  title: "a",
  beta: 0.5,
  suite: "s",
  measured_by: "registry",
  gain: 3,
  low: 1,
  high: 5,
  state: "gain",
  ...change,
});
const th = {
  id: "th",
  name: "Thailand",
  numeric: "764",
  alpha: 0.4,
  alpha_from: null,
  chain: ["th"],
  languages: [],
  adapters: 7,
  wanted: { language: "tts", name: "Isan", speakers: 2e7 },
};
/** @type {any} */
const overview = {
  countries: [th, { ...th, id: "la", name: "Laos", adapters: 0, wanted: null }],
  layers: [{ family: "vlm", policy: "parity", countries: { th: placed({}) } }],
};
/** @type {any} */
const shown = { family: "vlm", suite: "s", policy: "parity", layer: "gain", year: 2000 };

test("a gain of another suite is hatched and shows no figure; what is declared stays declared", () => {
  assert.equal(gainFill(placed({}), "s", 1), "gain-3");
  assert.equal(gainFill(placed({}), "other", 1), "other_suite");
  assert.equal(gainText(placed({}), "other"), "measured, on another suite");
  assert.equal(gainFill(placed({ state: "declared", suite: null, gain: null }), "other", 1), "declared");
});

test("an interval that includes 0 has a colour of its own", () => {
  assert.equal(gainFill(placed({ state: "no_difference", low: -1 }), "s", 1), "no_difference");
  assert.match(
    gainText(placed({ state: "no_difference", gain: 0.4, low: -1, high: 2 }), "s"),
    /^\+0\.40 \[−1\.00, \+2\.00\].*includes 0/,
  );
});

test("every class that a layer paints stands in its legend", () => {
  for (const layer of ["gain", "alpha", "count", "wanted"]) {
    /** @type {any} */
    const alpha = { years: [2000], countries: { th: [0.41], la: [null] } };
    const named = legend({ ...shown, layer }, overview).map(([fill]) => fill);
    for (const place of places(overview, alpha, { ...shown, layer }))
      assert.ok(named.includes(place.fill), `${layer}: ${place.fill}`);
  }
});

test("the step lets the largest gain into the last class", () => {
  assert.equal(gainStep({ th: placed({ gain: 7.9 }) }, "s"), 2);
  assert.equal(gainStep({ th: placed({ gain: 500 }) }, "s"), 20);
  assert.equal(gainStep({ th: placed({ gain: 7.9 }) }, "other"), 0.5);
  assert.equal(gainFill(placed({ gain: 500 }), "s", 20), "gain-4");
});

test("a country without a value is grey, never 0", () => {
  const [, la] = places(overview, null, { ...shown, layer: "alpha" });
  assert.deepEqual([la.value, la.fill], [null, "none"]);
});

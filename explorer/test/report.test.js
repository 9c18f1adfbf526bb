import assert from "node:assert/strict";
import { test } from "node:test";
import { names, scoreText } from "../src/report_words.js";

/** @param {object} change @returns {any} */
const report = change => ({
  adapters: ["th"],
  points: [0, 0.5, 1],
  selection: { beta: 0.5, reason: "" },
  compared: { base: 0, beta: 0.5 },
  ...change,
});

test("a point is called by what it is", () => {
  const named = names(report({}));
  assert.deepEqual(["0", "0.5", "1"].map(named.label), ["base", "merged", "regional"]);
  assert.equal(named.other, "merged");
});

test("of a composition an adapter by itself bears its name", () => {
  const points = [
    [0, 0],
    [0.5, 0],
    [0.5, 0.25],
  ];
  const named = names(report({ adapters: ["th", "la"], points, selection: { beta: null, reason: "" } }));
  assert.deepEqual(["0+0", "0.5+0", "0.5+0.25"].map(named.label), ["base", "th alone", ""]);
  assert.equal(named.other, "beta 0.5");
  // In the order of the points, whatever that of the keys is.
  assert.deepEqual(
    named.byBeta({ "0.5+0.25": 3, "0+0": 1, "0.5+0": 2 }).map(([, value]) => value),
    [1, 2, 3],
  );
});

test("one model has no base beside it", () => {
  const named = names(report({ compared: { base: null, beta: 0 } }));
  assert.deepEqual([named.single, named.label("0"), named.other], [true, "", "score"]);
  assert.equal(scoreText(null), "–");
});

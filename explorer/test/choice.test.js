import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, eligible, grpError, refusal } from "../src/choice.js";

/** @param {object} change @returns {any} */
const curve = change => ({
  betas: [0, 0.5, 1],
  q_global: [50, 48, 30],
  q_regional: [10, 20, 30],
  error_global: [1, 1, 1],
  error_regional: [2, 2, 2],
  parity_allowed: [true, true, true],
  keep_allowed: [true, true, false],
  undetermined: { parity: null, keep: null },
  ...change,
});

test("the highest GRP is chosen, and by keep the highest of what keeps", () => {
  assert.equal(choose(curve({}), "parity", 0), 2);
  assert.equal(choose(curve({}), "keep", 0), 1);
  assert.equal(choose(curve({}), "parity", 1), 0);
});

test("of equal GRPs the smaller beta is taken, also where rounding parts them", () => {
  const equal = curve({ q_global: [10, 10.0000000001, 10], q_regional: [10, 10, 10.0000000002] });
  for (const alpha of [0, 0.1, 0.5, 1]) assert.equal(choose(equal, "parity", alpha), 0);
});

test("where a policy is undetermined nothing is chosen, and the reason is given", () => {
  const none = curve({ keep_allowed: null, undetermined: { parity: null, keep: "the base was not measured" } });
  assert.equal(choose(none, "keep", 0.5), null);
  assert.deepEqual(eligible(none, "keep"), []);
  assert.equal(refusal(none, "keep"), "the base was not measured");
  assert.equal(refusal(none, "parity"), null);
});

test("the error of GRP takes in what the sides share, and is unknown without it", () => {
  assert.equal(grpError(curve({}), 0, 0.5), null);
  assert.equal(grpError(curve({ covariance: [0, 0, 0] }), 0, 1), 1);
  assert.equal(grpError(curve({ covariance: [2, 2, 2] }), 0, 0.5), 1.5);
});

/** The choice of beta, as `ggez_hub.parity.beta_choice` makes it; a test compares the two. */

/** @import { Curve, Policy } from "./contract.js" */

/** Of GRP in points: far below any digit of a score, and above the rounding of sums of them. */
const ROUNDING = 1e-9;

/** @param {Curve} curve @param {number} index @param {number} alpha */
export const grp = (curve, index, alpha) => alpha * curve.q_global[index] + (1 - alpha) * curve.q_regional[index];

/** The places of the betas that a policy may take. @param {Curve} curve @param {Policy} policy */
export function eligible(curve, policy) {
  const allowed = curve[`${policy}_allowed`];
  return [...curve.betas.keys()].filter(place => allowed?.[place]);
}

/**
 * The place of the chosen beta: the highest GRP, of equal ones the smaller beta; null where none may be chosen.
 * @param {Curve} curve @param {Policy} policy @param {number} alpha
 */
export function choose(curve, policy, alpha) {
  const places = eligible(curve, policy);
  if (!places.length) return null;
  const best = Math.max(...places.map(place => grp(curve, place, alpha)));
  return places.find(place => grp(curve, place, alpha) >= best - ROUNDING) ?? null;
}

/**
 * Why a policy chooses nothing; null where it chooses.
 * @param {Curve} curve @param {Policy} policy
 */
export const refusal = (curve, policy) =>
  eligible(curve, policy).length ? null : (curve.undetermined[policy] ?? `no beta passes ${policy}`);

/**
 * The standard error of GRP; null where an error, or what the sides share, is unknown.
 * @param {Curve} curve @param {number} index @param {number} alpha
 */
export function grpError(curve, index, alpha) {
  const [world, region, both] = [
    curve.error_global[index],
    curve.error_regional[index],
    curve.covariance?.[index] ?? null,
  ];
  if (world === null || region === null || both === null) return null;
  return Math.sqrt(Math.max(0, (alpha * world) ** 2 + ((1 - alpha) * region) ** 2 + 2 * alpha * (1 - alpha) * both));
}

/**
 * A side with its 95 % interval.
 * @param {Curve} curve @param {"global" | "regional"} side @param {number} index
 */
export function sideInterval(curve, side, index) {
  return { value: curve[`q_${side}`][index], low: curve[`low_${side}`][index], high: curve[`high_${side}`][index] };
}

/**
 * The curve of a suite on a split; null where there is none.
 * @param {Curve[]} curves @param {string} suite @param {"validation" | "test"} split
 */
export function curveOf(curves, suite, split) {
  const same = curves.filter(curve => (curve.suite ?? "") === suite);
  return same.find(curve => curve.split === split) ?? null;
}

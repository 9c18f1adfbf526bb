import assert from "node:assert/strict";
import { test } from "node:test";
import { columns, search } from "../src/filter.js";

/** @param {number} count @param {number} from @returns {any} */
function part(count, from) {
  const rows = Array.from({ length: count }, (_, at) => from + at);
  return {
    slug: rows.map(n => `th.vlm.a${n}`),
    title: rows.map(n => `São ${n}`),
    repo: rows.map(n => `org/a${n}`),
    regions: rows.map(n => (n % 2 ? ["th"] : ["ph", "southeast-asia"])),
    languages: rows.map(() => ["th"]),
    scripts: rows.map(() => ["Thai"]),
    family: rows.map(n => (n % 3 ? "vlm" : "diffusion")),
    base: rows.map(() => "org/base"),
    license: rows.map(() => "mit"),
    level: rows.map(() => "measured"),
    bytes: rows.map(n => (n ? n * 1e6 : null)),
    runtimes: rows.map(() => ["peft"]),
    gain: rows.map(() => null),
    status: rows.map(() => "active"),
  };
}

test("parts are one table, and filters meet", () => {
  const all = columns([part(20, 0), part(10, 20)]);
  assert.equal(all.count, 30);
  const { found } = search(all, { region: "th", family: "vlm" });
  assert.deepEqual(found.slice(0, 3), [1, 5, 7]);
  assert.equal(search(all, { q: "sao 7" }).found.length, 1 + 2);
  assert.deepEqual(search(all, { size: "10mb" }).found, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("words find regions and languages by their names too", () => {
  const all = columns([part(10, 0)], (facet, id) => (facet === "region" && id === "th" ? "Thailand" : id));
  assert.deepEqual(search(all, { q: "thailand" }).found, [1, 3, 5, 7, 9]);
});

test("counts say what another choice of the same facet would find", () => {
  const all = columns([part(30, 0)]);
  const { counts, found } = search(all, { region: "th", family: "vlm" });
  assert.equal(counts.region.get("th"), found.length);
  assert.equal(counts.region.get("ph"), search(all, { region: "ph", family: "vlm" }).found.length);
  assert.equal(counts.family.get("diffusion"), search(all, { region: "th", family: "diffusion" }).found.length);
});

test("without rows nothing is found", () => {
  assert.equal(search(columns([]), { q: "x" }).found.length, 0);
});

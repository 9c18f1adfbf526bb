import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { safeAddress } from "../src/dom.js";
import { csv, json } from "../src/download.js";
import { betaText, bytes, indexText, interval, people, signed } from "../src/format.js";
import { address, parse } from "../src/route.js";
import { adapterKey, isKey } from "../src/store.js";

test("no source reads markup or runs text", () => {
  const folder = new URL("../src/", import.meta.url);
  for (const name of readdirSync(folder).filter(name => name.endsWith(".js"))) {
    const text = readFileSync(new URL(name, folder), "utf8");
    assert.doesNotMatch(
      text,
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\(|new Function|setAttribute\("style"|\bfetch\(/,
      name,
    );
  }
});

test("addresses that lead elsewhere than to https or this page lead nowhere", () => {
  for (const bad of [
    "javascript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,x",
    "http://example.org",
    "//example.org",
    "https://user:word@example.org/",
    "pictures/../../x",
    "data/x.js",
    "vbscript:x",
  ])
    assert.equal(safeAddress(bad), "#/", bad);
  for (const good of ["https://huggingface.co/a/b", "#/country/th", "pictures/a.webp", "tables/alpha.csv"])
    assert.equal(safeAddress(good), good);
});

test("keys name files below data/ and nothing else", () => {
  assert.equal(adapterKey("th.vlm.name"), "adapters/th/th.vlm.name");
  for (const bad of ["../x", "a/../b", "/a", "a//b", "A", "a b", "a?b", "https://x", ".a", ""])
    assert.ok(!isKey(bad), bad);
  for (const good of ["overview", "adapters/th/th.vlm.x_1-2", "countries/th"]) assert.ok(isKey(good), good);
});

test("an address comes back as it was written", () => {
  const hash = address("compare", "", { a: ["th.a.b", "x&y=z"], alpha: 0.5, suite: null, q: "" });
  const { view, params } = parse(hash);
  assert.deepEqual(
    [view, params.getAll("a"), params.get("alpha"), params.has("suite")],
    ["compare", ["th.a.b", "x&y=z"], "0.5", false],
  );
  assert.equal(parse(address("adapter", "a/b c")).id, "a/b c");
  assert.equal(parse("#/adapter/%E0%A4%A").id, "");
  assert.equal(parse("").view, "map");
});

test("CSV quotes what needs it and hands no formula to a spreadsheet; JSON keeps all as it is", () => {
  assert.equal(
    csv(
      ["a", "b"],
      [
        ['x,"y"', -1.5],
        ["=HYPERLINK(1)", null],
      ],
    ),
    'a,b\r\n"x,""y""",-1.5\r\n\'=HYPERLINK(1),\r\n',
  );
  assert.deepEqual(JSON.parse(json(["a", "b"], [["=x", null]])), [{ a: "=x", b: null }]);
});

test("figures", () => {
  assert.deepEqual([signed(0.004), signed(-1), signed(null), interval(1, null, 2)], ["0.00", "−1.00", "–", "1.00"]);
  assert.deepEqual([betaText(0.30000000000000004), betaText([0.25, 1])], ["0.3", "0.25+1"]);
  assert.deepEqual(
    [bytes(999), bytes(999_600), bytes(null), people(55_936_800), people(9_960_000)],
    ["999 bytes", "1.0 MB", "–", "56 million", "10 million"],
  );
});

test("an index is named by its hub, or by the package that ships it", () => {
  const none = { repo: null, commit: null, number: null, date: null, expires: null, shipped: null };
  const index = { ...none, repo: "org/index", commit: "d".repeat(40), number: 7, date: "2026-01-01" };
  assert.equal(indexText({ hub: "hf", index }), "Index org/index, number 7, commit dddddddddddd, of 2026-01-01");
  assert.equal(indexText({ hub: "hf", index: none }), "Index hf");
  const shipped = "The adapters are from the index of ggez-hub 0.1.0";
  assert.equal(indexText({ hub: "hf", index: { ...none, commit: "d".repeat(40), shipped } }), shipped);
});

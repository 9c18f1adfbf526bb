/** Builds the package data below ggez_hub/charts: scripts, the world, licences. */

import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";
import { quantize } from "topojson-client";
import { presimplify, simplify } from "topojson-simplify";

const OUT = process.argv[2] ?? "../ggez_hub/charts";
const HERE = new URL(".", import.meta.url);
/** @param {string} path */
const read = path => readFile(new URL(path, HERE), "utf8");

/** Square degrees: triangles that are smaller cannot be seen at the width of a screen. */
const DETAIL = 0.01;
/** Antarctica, and islands of Australia that bear its number. */
const LEFT_OUT = new Set(["Antarctica", "Ashmore and Cartier Is."]);
/** CLDR's number of a country that ISO 3166 has none for. */
const NUMBERS = new Map([["Kosovo", "983"]]);

const built = await build({
  entryPoints: { explorer: "src/main.js", report: "src/report.js", style: "src/style.css" },
  absWorkingDir: HERE.pathname,
  bundle: true,
  format: "iife",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  outdir: OUT,
  metafile: true,
});

/** @typedef {{ id?: string, properties: { name: string } }} Country */
const atlas = JSON.parse(await read("node_modules/world-atlas/countries-50m.json"));
delete atlas.objects.land;
const { countries } = atlas.objects;
countries.geometries = countries.geometries.filter(
  (/** @type {Country} */ found) => !LEFT_OUT.has(found.properties.name),
);
for (const found of countries.geometries) found.id ??= NUMBERS.get(found.properties.name);
const world = quantize(simplify(presimplify(atlas), DETAIL), 1e4);
await writeFile(new URL(`${OUT}/world.js`, HERE), `ggezData("world",${JSON.stringify(world)});\n`);

/** Whose code or data is in what was written. */
const inside = new Set(["world-atlas"]);
for (const path of Object.keys(built.metafile.inputs)) {
  const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
  if (found) inside.add(found[1]);
}
const { packages } = JSON.parse(await read("package-lock.json"));
const notices = [];
for (const name of [...inside].sort()) {
  const { version, license, integrity } = packages[`node_modules/${name}`];
  const terms = await read(`node_modules/${name}/LICENSE`);
  notices.push(
    `${name} ${version} (${license})\nhttps://registry.npmjs.org/${name}\nintegrity ${integrity}\n\n${terms.trim()}\n`,
  );
}
const head = `Packages of npm whose code or data is in explorer.js, report.js and world.js.
world.js is made of world-atlas's countries-50m.json, simplified: Natural Earth, in the public domain.
`;
await writeFile(new URL(`${OUT}/NOTICE.txt`, HERE), [head, ...notices].join(`\n${"-".repeat(78)}\n\n`));

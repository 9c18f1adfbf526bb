/** Samples, files, data and lock of an adapter. */

import { copyable, h, said } from "./dom.js";
import { save } from "./download.js";
import { bytes } from "./format.js";
import { table } from "./table.js";

/** @import { Adapter, Json, Sample } from "./contract.js" */

/** @param {Sample[]} found */
export function samples(found) {
  if (!found.length) return null;
  return h(
    "section",
    {},
    h("h2", {}, "Samples"),
    h(
      "div",
      { class: "samples" },
      ...found.map(sample =>
        h(
          "figure",
          { class: "sample" },
          sample.picture ? h("img", { src: sample.picture, alt: sample.prompt ?? sample.text }) : null,
          h(
            "figcaption",
            { dir: "auto" },
            said(sample.text),
            ...[
              ["asked", sample.prompt],
              ["base", sample.base_answer],
              ["merged", sample.merged_answer],
            ].flatMap(([name, text]) =>
              text ? [h("p", {}, h("span", { class: "soft" }, `${name}: `), said(text))] : [],
            ),
            sample.license ? h("p", { class: "soft" }, said(sample.license)) : null,
          ),
        ),
      ),
    ),
  );
}

/** @param {Adapter} adapter */
export function provenance({ slug, repo, commit, base, licences, provenance: found, lock }) {
  const files = Object.entries(found.files).map(([path, file]) => ({ path, ...file }));
  const weights = Object.entries(base.weights ?? {}).map(([path, sha256]) => ({ path, sha256 }));
  return h(
    "section",
    {},
    h("h2", {}, "What it is made of"),
    h(
      "dl",
      { class: "facts wide-facts" },
      h(
        "div",
        {},
        h("dt", {}, "Adapter"),
        h("dd", {}, said(repo), " at ", h("code", {}, commit ?? "an unknown commit")),
      ),
      h(
        "div",
        {},
        h("dt", {}, "Base"),
        h("dd", {}, said(base.repo), " at ", h("code", {}, base.revision ?? "an unknown commit")),
      ),
    ),
    table({
      name: `${slug}-files`,
      caption: "Files of the adapter",
      rows: files,
      columns: [
        { name: "path", label: "File", value: row => row.path },
        { name: "size", label: "Size", numeric: true, value: row => row.size, show: row => bytes(row.size) },
        { name: "sha256", label: "sha256", value: row => row.sha256, show: row => h("code", {}, row.sha256) },
      ],
    }).element,
    weights.length
      ? table({
          name: `${slug}-base`,
          caption: "Weights of the base",
          rows: weights,
          columns: [
            { name: "path", label: "File", value: row => row.path },
            { name: "sha256", label: "sha256", value: row => row.sha256, show: row => h("code", {}, row.sha256) },
          ],
        }).element
      : null,
    table({
      name: `${slug}-licences`,
      caption: "Licences of what it is made of",
      rows: licences,
      columns: [
        { name: "what", label: "Of", value: row => row.what },
        { name: "role", label: "Role", value: row => row.role },
        {
          name: "licence",
          label: "Licence",
          value: row => row.license,
          show: row =>
            row.link ? h("a", { href: row.link, rel: "noreferrer" }, said(row.license)) : said(row.license),
        },
      ],
    }).element,
    found.data.length
      ? h("details", {}, h("summary", {}, "Data"), h("ul", {}, ...found.data.map(source => h("li", {}, tree(source)))))
      : null,
    found.filter ? h("details", {}, h("summary", {}, "Filter report"), tree(found.filter)) : null,
    lock
      ? h(
          "details",
          {},
          h("summary", {}, "The lock"),
          copyable(lock, "ggez.lock"),
          h("button", { type: "button", onclick: () => save("ggez.lock", lock, "application/json") }, "Save ggez.lock"),
        )
      : null,
  );
}

/** What a card says, whatever its shape, as lists of text. @param {Json} value @returns {Node} */
function tree(value) {
  if (value === null || typeof value !== "object") return said(value === null ? "unknown" : String(value));
  if (Array.isArray(value)) return h("ul", {}, ...value.map(item => h("li", {}, tree(item))));
  return h(
    "dl",
    { class: "tree" },
    ...Object.entries(value).map(([name, item]) =>
      h("div", {}, h("dt", {}, said(name.replaceAll("_", " "))), h("dd", {}, tree(item))),
    ),
  );
}

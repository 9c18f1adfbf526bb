/** The tasks of a report, part by part, and single questions. */

import { h } from "./dom.js";
import { fixed, signed } from "./format.js";
import { figures, section } from "./report_words.js";

/** @import { Names, Report, Shown } from "./report_words.js" */

/** @param {Report} report @param {Names} named */
export function tasks({ tasks: rows }, { single, other }) {
  const score = (/** @type {any} */ found) =>
    found
      ? `${fixed(found.value, 1)} [${fixed(found.low, 1)}, ${fixed(found.high, 1)}]${found.at_chance ? "\nat chance" : ""}`
      : "–";
  const element = section(
    "By task, country, language and category",
    single
      ? "Report side, 0-100, with 95 % intervals."
      : "Report side, 0-100. The difference is paired, item by item; an interval that includes 0 decides nothing.",
    figures(
      "By task, country, language and category",
      [
        "task",
        "side",
        "language",
        "region",
        "n",
        "chance",
        ...(single ? [other] : ["base", other, "difference"]),
        "unreadable",
        "missing",
      ],
      rows.map(task => {
        const any = task.merged || task.base || {};
        return {
          cells: [
            task.average ? `${task.task}\n${task.average}` : task.task,
            task.side,
            task.language,
            task.regions.join(" ") || "–",
            String(any.n ?? "–"),
            fixed(any.floor, 1),
            ...(single ? [score(task.merged)] : [score(task.base), score(task.merged), difference(task.difference)]),
            String(any.unparsed ?? "–"),
            String(any.missing ?? "–"),
          ],
        };
      }),
    ),
  );
  element.classList.add("dense");
  return element;
}

/** @param {[number, number, number] | null} found */
function difference(found) {
  if (!found) return "–";
  const [value, low, high] = found;
  const text = `${signed(value)} [${signed(low)}, ${signed(high)}]`;
  return { text, class: `figure ${low > 0 ? "pass" : high < 0 ? "fail" : ""}` };
}

/** @param {Report} report @param {Names} named */
export function examples({ examples: found }, { single, chosen, other }) {
  if (!found.length) return [];
  const merge = chosen === null ? other : "the merge";
  const titles = single
    ? ["What it got right", "What it got wrong"]
    : [`What the base got wrong and ${merge} got right`, `What ${merge} got wrong and the base got right`];
  return titles.map((title, at) => {
    const shown = found.filter(example => example.won === (at === 0));
    const lead = shown.length ? "Drawn by a hash of their ids: nobody picked them." : "Nothing.";
    return section(
      title,
      lead,
      h("div", { class: "cards" }, ...shown.map(example => card(example, single ? "it" : merge.replace("the ", "")))),
    );
  });
}

/** @param {Report["examples"][number]} example @param {string} model */
function card({ task, item, right, base, merged, drawn }, model) {
  const verb = drawn ? "drew" : "said";
  /** @type {[string, Shown | null][]} */
  const rows = [
    ["asked about", item],
    ["right", right?.id === item.id ? null : right],
    [`base ${verb}`, base],
    [`${model} ${verb}`, merged],
  ];
  return h(
    "div",
    { class: "card" },
    h("div", { class: "soft" }, task),
    ...rows.flatMap(([label, shown]) =>
      shown
        ? [
            h(
              "div",
              { class: "row" },
              shown.picture ? h("img", { src: shown.picture, alt: shown.text || shown.id }) : null,
              h("div", {}, h("div", { class: "soft" }, label), h("div", {}, shown.text || shown.id)),
            ),
          ]
        : [],
    ),
  );
}

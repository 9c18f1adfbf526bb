/** Up to four adapters beside each other, on equal tasks only. */

import { choose, curveOf, grp, grpError, refusal } from "./choice.js";
import { points } from "./curve_view.js";
import { h, said } from "./dom.js";
import { betaText, fixed, interval, signed } from "./format.js";
import { suiteText } from "./map_table.js";
import { address, replace } from "./route.js";
import { adapterKey, isKey, load } from "./store.js";
import { select, table } from "./table.js";
import { tradeOff } from "./trade_off.js";

/** @import { Adapter, Curve, Overview, Policy } from "./contract.js" */
/** @import { Route } from "./route.js" */

/** More are not read beside each other. */
const MOST = 4;

/** @typedef {{ adapter: Adapter, validation: Curve | null, test: Curve | null, reason: string | null }} Compared */

/** @param {{ overview: Overview, route: Route }} context */
export async function compareView({ overview, route }) {
  const slugs = [...new Set(route.params.getAll("a"))].filter(isKey).slice(0, MOST);
  /** @type {Adapter[]} */
  const adapters = await Promise.all(slugs.map(slug => load(adapterKey(slug))));
  const suites = new Map(
    adapters.flatMap(a =>
      a.curves.map(
        c =>
          /** @type {[string, string]} */ ([
            c.suite ?? "",
            suiteText({ id: c.suite ?? "", name: c.suite_name ?? "unknown tasks" }),
          ]),
      ),
    ),
  );
  const asked = Number(route.params.get("alpha") ?? NaN);
  const state = {
    suite: route.params.get("suite") ?? mostShared(adapters),
    policy: /** @type {Policy} */ (route.params.get("policy") === "keep" ? "keep" : "parity"),
    alpha: asked >= 0 && asked <= 1 ? asked : (adapters[0]?.alpha ?? 0.5),
  };
  const place = h("div", {});
  const update = (/** @type {Partial<typeof state>} */ to) => {
    Object.assign(state, to);
    replace(address("compare", "", { a: slugs, ...state }));
    draw();
  };
  const written = h("output", {}, fixed(state.alpha, 3));
  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.001, "aria-label": "alpha" });
  slider.value = String(state.alpha);
  slider.addEventListener("input", () => {
    written.textContent = fixed(Number(slider.value), 3);
    update({ alpha: Number(slider.value) });
  });
  const draw = () =>
    place.replaceChildren(
      ...compared(
        adapters.map(adapter => comparable(adapter, state.suite)),
        state,
      ),
    );
  draw();
  return {
    title: "Compare",
    element: h(
      "article",
      {},
      h("h1", {}, "Compare"),
      h(
        "p",
        { class: "standfirst" },
        "Up to four adapters, on one suite and at one alpha. Scores of other suites are other questions: they are never set beside each other.",
      ),
      await picker(overview, slugs, adapters),
      adapters.length
        ? h(
            "div",
            { class: "choices" },
            select({ label: "Suite", value: state.suite, choices: [...suites], change: suite => update({ suite }) }),
            select({
              label: "Policy",
              value: state.policy,
              choices: overview.policies.map(p => [p, p]),
              change: policy => update({ policy: /** @type {Policy} */ (policy) }),
            }),
            h("label", { class: "select grow" }, h("span", {}, "alpha ", written), slider),
          )
        : null,
      place,
    ),
  };
}

/** The suite that most of them were asked. @param {Adapter[]} adapters */
function mostShared(adapters) {
  const counts = new Map();
  for (const adapter of adapters)
    for (const suite of new Set(adapter.curves.map(c => c.suite))) counts.set(suite, (counts.get(suite) ?? 0) + 1);
  return [...counts].sort(([, one], [, other]) => other - one)[0]?.[0] ?? "";
}

/**
 * An adapter's curves of a suite, or why it cannot be compared there.
 * @param {Adapter} adapter @param {string} suite
 * @returns {Compared}
 */
export function comparable(adapter, suite) {
  const validation = curveOf(adapter.curves, suite, "validation");
  const test = curveOf(adapter.curves, suite, "test");
  const own = adapter.curves.map(c => c.suite_name).filter((name, at, all) => all.indexOf(name) === at);
  const reason =
    validation || test
      ? null
      : own.length
        ? `measured on ${own.join(", ")}, which asks other questions`
        : "declared, not measured";
  return { adapter, validation, test, reason };
}

/** @param {Compared[]} rows @param {{ policy: Policy, alpha: number }} state */
function compared(rows, { policy, alpha }) {
  if (!rows.length) return [h("p", {}, "Take adapters above, or from the search.")];
  const found = rows.map(row => {
    const chooser = row.validation ?? row.test;
    const place = chooser && choose(chooser, policy, alpha);
    const beta = chooser && place !== null ? chooser.betas[place] : null;
    const shown = row.test ?? row.validation;
    const at = shown && beta !== null ? shown.betas.indexOf(beta) : -1;
    const base = shown ? shown.betas.indexOf(0) : -1;
    const error = shown && at >= 0 ? grpError(shown, at, alpha) : null;
    const value = shown && at >= 0 ? grp(shown, at, alpha) : null;
    return {
      ...row,
      shown,
      beta,
      value,
      low: value === null || error === null ? null : value - 1.96 * error,
      high: value === null || error === null ? null : value + 1.96 * error,
      over: shown && at >= 0 && base >= 0 ? grp(shown, at, alpha) - grp(shown, base, alpha) : null,
      why: row.reason ?? (chooser && place === null ? refusal(chooser, policy) : null),
    };
  });
  return [
    table({
      name: "comparison",
      caption: `GRP on the test side at alpha ${fixed(alpha, 3)}, β by ${policy}`,
      rows: found,
      mark: row => (row.reason ? "greyed" : null),
      columns: [
        {
          name: "adapter",
          label: "Adapter",
          value: row => row.adapter.title,
          show: row =>
            h("a", { href: address("adapter", row.adapter.slug, { policy, alpha }) }, said(row.adapter.title)),
        },
        { name: "beta", label: "β", numeric: true, value: row => (row.beta === null ? null : betaText(row.beta)) },
        {
          name: "grp",
          label: "GRP",
          numeric: true,
          value: row => row.value,
          show: row => interval(row.value, row.low, row.high),
        },
        {
          name: "over_base",
          label: "Over its base",
          numeric: true,
          value: row => row.over,
          show: row => signed(row.over),
        },
        { name: "base", label: "Base", value: row => row.adapter.base.repo },
        { name: "licence", label: "Licence", value: row => row.adapter.license ?? "unknown" },
        {
          name: "reason",
          label: "Not compared because",
          value: row => row.why,
          show: row => (row.why ? said(row.why) : ""),
        },
      ],
    }).element,
    h(
      "div",
      { class: "multiples" },
      ...found.map(row =>
        h(
          "section",
          { class: row.reason ? "greyed" : null },
          h("h3", {}, said(row.adapter.title)),
          row.shown
            ? tradeOff({ points: points(row.shown, row.beta), height: 300, scale: row.shown.scale })
            : h("p", {}, said(row.reason)),
        ),
      ),
    ),
  ];
}

/** @param {Overview} overview @param {string[]} slugs @param {Adapter[]} adapters */
async function picker(overview, slugs, adapters) {
  /** @type {import("./contract.js").Table[]} */
  const parts = await Promise.all(Array.from({ length: overview.tables }, (_, at) => load(`adapters/table-${at}`)));
  const titles = new Map(
    parts.flatMap(part =>
      part.slug.map((slug, at) => /** @type {[string, string]} */ ([`${part.title[at]} · ${slug}`, slug])),
    ),
  );
  const go = (/** @type {string[]} */ a) => (location.hash = address("compare", "", { a }));
  const list = h("datalist", { id: "adapters" });
  const box = h("input", {
    type: "search",
    list: "adapters",
    id: "add",
    placeholder: "name of an adapter",
    disabled: slugs.length >= MOST,
    // The browser shows few of ten thousand: the first that have what was typed.
    oninput: () =>
      list.replaceChildren(
        ...[...titles.keys()]
          .filter(title => title.toLowerCase().includes(box.value.toLowerCase()))
          .slice(0, 30)
          .map(value => h("option", { value })),
      ),
    onchange: () => {
      const slug = titles.get(box.value);
      if (slug && !slugs.includes(slug)) go([...slugs, slug]);
    },
  });
  return h(
    "div",
    { class: "picker" },
    h(
      "ul",
      { "aria-label": "Compared" },
      ...adapters.map(adapter =>
        h(
          "li",
          {},
          said(adapter.title),
          h(
            "button",
            {
              type: "button",
              "aria-label": `Remove ${adapter.title}`,
              onclick: () => go(slugs.filter(slug => slug !== adapter.slug)),
            },
            "×",
          ),
        ),
      ),
    ),
    h("label", { class: "words", for: "add" }, h("span", {}, slugs.length >= MOST ? "Four are compared" : "Add"), box),
    list,
  );
}

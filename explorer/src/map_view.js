/** The map: one layer of one family, suite and policy, and the table that says the same. */

import { h } from "./dom.js";
import { betaText } from "./format.js";
import { LAYERS, legend, places } from "./layers.js";
import { mapDrawing, swatch } from "./map_drawing.js";
import { columns, suiteText, summary, TITLES } from "./map_table.js";
import { address, replace } from "./route.js";
import { load } from "./store.js";
import { select, table } from "./table.js";
import { shapes } from "./world.js";

/** @import { Alpha, Overview, Policy } from "./contract.js" */
/** @import { LayerName, Place, Shown } from "./layers.js" */
/** @import { Route } from "./route.js" */

/** @param {Overview} overview @param {URLSearchParams} params @returns {Shown & { focus: string }} */
export function shownBy(overview, params) {
  const family = known(
    overview.families.map(f => f.id),
    params.get("family"),
    busiest(overview).family,
  );
  const suites = overview.suites.filter(s => s.family === family).map(s => s.id);
  const layer = known(Object.keys(LAYERS), params.get("layer"), "gain");
  const year = Number(params.get("year"));
  return {
    family,
    suite: known(suites, params.get("suite"), busiest(overview, family).suite || (suites[0] ?? "")),
    policy: known(overview.policies, params.get("policy"), "parity"),
    layer: /** @type {LayerName} */ (layer),
    year: Number.isInteger(year) && year > 1900 ? year : 2023,
    focus: known(
      overview.regions.map(r => r.id),
      params.get("focus"),
      "",
    ),
  };
}

/** @param {string[]} ids @param {string | null} id @param {string} other */
const known = (ids, id, other) => (id !== null && ids.includes(id) ? id : other);

/** The suite of most countries: a first view of nothing would say nothing. @param {Overview} overview @param {string} [family] */
function busiest(overview, family) {
  const suites = overview.suites.filter(suite => !family || suite.family === family);
  const best = suites.reduce((one, other) => (other.countries > one.countries ? other : one), suites[0]);
  return best
    ? { family: best.family, suite: best.id }
    : { family: family ?? overview.families[0]?.id ?? "", suite: "" };
}

/** @param {{ overview: Overview, route: Route }} context */
export async function mapView({ overview, route }) {
  let shown = shownBy(overview, route.params);
  /** @type {Alpha | null} */
  let alpha = null;
  const world = await load("world");
  if (shown.layer === "alpha") alpha = await load("alpha");
  const place = h("div", { class: "map-place" });
  const key = h("figcaption", { class: "legend" });
  const sentence = h("p", { class: "standfirst" });
  const heading = h("h1");
  const choices = h("div", { class: "choices" });
  const years = h("div", { class: "years" });
  let width = 0;
  /** @type {ReturnType<typeof mapDrawing> | null} */
  let drawing = null;
  /** @type {Place[]} */
  let found = [];
  const rows = table({
    name: "map",
    caption: "The countries of the map",
    columns: columns(() => shown),
    rows: found,
    most: 12,
    mark: row => (row.fill === "none" ? "faint" : null),
  });

  /** @param {Partial<Shown & { focus: string }>} change */
  async function update(change) {
    if (change.family) change = { ...change, suite: "" };
    const { family, suite, policy, layer, year, focus } = { ...shown, ...change };
    const next = address("map", "", { family, suite, policy, layer, year: layer === "alpha" ? year : null, focus });
    shown = shownBy(overview, new URLSearchParams(next.split("?")[1]));
    replace(next);
    if (shown.layer === "alpha" && !alpha) alpha = await load("alpha");
    if (!("year" in change)) controls();
    if ("focus" in change) drawn();
    paint();
  }

  function controls() {
    const active = document.activeElement?.closest("[data-control]")?.getAttribute("data-control");
    const layers = h(
      "fieldset",
      { class: "segments" },
      h("legend", {}, "Layer"),
      ...Object.entries(LAYERS).map(([id, text]) => {
        const box = h("input", {
          type: "radio",
          name: "layer",
          value: id,
          "data-control": `layer-${id}`,
          checked: id === shown.layer,
          onchange: () => update({ layer: /** @type {LayerName} */ (id) }),
        });
        return h("label", {}, box, h("span", {}, text));
      }),
    );
    /** @type {[string, string][]} */
    const suites = overview.suites.filter(s => s.family === shown.family).map(s => [s.id, suiteText(s)]);
    const boxes = [
      select({
        label: "Family",
        value: shown.family,
        choices: overview.families.map(f => [f.id, f.name]),
        change: family => update({ family }),
      }),
      select({
        label: "Suite",
        value: shown.suite,
        change: suite => update({ suite }),
        choices: suites.length ? suites : [["", "none is measured"]],
      }),
      select({
        label: "Policy",
        value: shown.policy,
        choices: overview.policies.map(p => [p, p]),
        change: policy => update({ policy: /** @type {Policy} */ (policy) }),
      }),
      select({
        label: "Part of the world",
        value: shown.focus,
        choices: [
          ["", "World"],
          ...overview.regions
            .filter(r => r.members.length && r.id !== "world")
            .map(r => /** @type {[string, string]} */ ([r.id, r.name])),
        ],
        change: focus => update({ focus }),
      }),
    ];
    boxes.forEach((box, at) => box.querySelector("select")?.setAttribute("data-control", String(at)));
    choices.replaceChildren(layers, ...boxes);
    years.replaceChildren();
    if (shown.layer === "alpha" && alpha) {
      const [first, last] = [alpha.years[0], alpha.years[alpha.years.length - 1]];
      const written = h("output", {}, shown.year);
      const slider = h("input", {
        type: "range",
        min: first,
        max: last,
        step: 1,
        "aria-label": "Year",
        "data-control": "year",
      });
      slider.value = String(shown.year);
      slider.addEventListener("input", () => {
        written.textContent = slider.value;
        update({ year: Number(slider.value) });
      });
      years.append(h("span", {}, String(first)), slider, h("span", {}, String(last)), written);
    }
    if (active) /** @type {HTMLElement | null} */ (document.querySelector(`[data-control="${active}"]`))?.focus();
  }

  function drawn() {
    const focus = overview.regions.find(r => r.id === shown.focus)?.members ?? [];
    drawing = mapDrawing(shapes(world, overview.countries, width, focus), {
      open: id => (location.hash = address("country", id)),
      tip: row => [
        h("div", {}, row.text),
        ...(row.placed
          ? [
              h(
                "div",
                { class: "soft" },
                h("bdi", {}, row.placed.title),
                row.placed.beta === null ? "" : `, β ${betaText(row.placed.beta)}`,
              ),
            ]
          : []),
      ],
    });
    place.replaceChildren(drawing.element);
  }

  function paint() {
    found = places(overview, alpha, shown);
    drawing?.paint(found);
    const suite = overview.suites.find(s => s.id === shown.suite);
    const family = overview.families.find(f => f.id === shown.family);
    key.replaceChildren(
      h(
        "p",
        {},
        h("b", {}, LAYERS[shown.layer]),
        shown.layer === "alpha"
          ? ` ${shown.year}: KOF's globalisation of people, a policy weight and not a fact about a culture`
          : shown.layer === "gain"
            ? " of GRP over the base, in points"
            : "",
        shown.layer !== "gain"
          ? ""
          : ` · ${family?.name ?? "no family"} · suite ${suite ? suiteText(suite) : "none"} · policy ${shown.policy}`,
      ),
      h("ul", {}, ...legend(shown, overview).map(([fill, text]) => h("li", {}, swatch(fill), text))),
    );
    heading.textContent = TITLES[shown.layer];
    sentence.textContent = summary(overview, shown);
    rows.replace(
      [...found].sort(
        (one, other) =>
          Number(one.fill === "none") - Number(other.fill === "none") ||
          (other.value ?? -Infinity) - (one.value ?? -Infinity) ||
          one.country.name.localeCompare(other.country.name),
      ),
    );
  }

  new ResizeObserver(([entry]) => {
    const wide = Math.round(entry.contentRect.width);
    // A scroll bar that comes and goes is not worth a new drawing.
    if (!wide || Math.abs(wide - width) < 20) return;
    width = wide;
    drawn();
    paint();
  }).observe(place);
  controls();
  paint();
  return {
    title: "Map",
    element: h(
      "article",
      { class: "map-view" },
      heading,
      sentence,
      choices,
      h("figure", {}, place, years, key),
      h("section", {}, h("h2", {}, "The same as a table"), rows.element),
    ),
  };
}

/** The explorer: the frame of every page, and which view an address shows. */

import { adapterView } from "./adapter_view.js";
import { compareView } from "./compare_view.js";
import { countryView } from "./country_view.js";
import { append, h, said } from "./dom.js";
import { indexText } from "./format.js";
import { mapView } from "./map_view.js";
import { forget, parse } from "./route.js";
import { searchView } from "./search_view.js";
import { load, MissingData } from "./store.js";

/** @import { Overview } from "./contract.js" */

/** @type {Record<string, (context: any) => Promise<{ title: string, element: HTMLElement }>>} */
const VIEWS = { map: mapView, country: countryView, adapter: adapterView, compare: compareView, search: searchView };
const PAGES = [
  ["map", "Map"],
  ["search", "Search"],
  ["compare", "Compare"],
];

const main = h("main", { id: "main", tabindex: -1 });
const links = PAGES.map(([view, text]) => h("a", { href: `#/${view}` }, text));
const foot = h("footer", {});
let drawing = 0;

/** @param {boolean} first */
async function show(first) {
  const turn = (drawing += 1);
  forget();
  const route = parse(location.hash);
  let found;
  try {
    /** @type {Overview} */
    const overview = await load("overview");
    if (!foot.firstChild) about(overview);
    const view = VIEWS[route.view];
    if (!view) throw new MissingData(`${route.view} is not a page`);
    found = await view({ overview, route });
  } catch (problem) {
    if (!(problem instanceof MissingData)) console.error(problem);
    found = {
      title: "Not found",
      element: h(
        "article",
        {},
        h("h1", {}, "There is nothing here"),
        h("p", {}, said(problem instanceof MissingData ? `${problem.message}.` : "This page could not be drawn.")),
        h("p", {}, h("a", { href: "#/map" }, "To the map")),
      ),
    };
  }
  // Another address was opened meanwhile.
  if (turn !== drawing) return;
  document.title = `${found.title} · ggez-hub explorer`;
  links.forEach((link, at) =>
    PAGES[at][0] === route.view ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current"),
  );
  main.replaceChildren(found.element);
  if (!first) {
    main.focus();
    scrollTo(0, 0);
  }
  document.documentElement.dataset.view = route.view;
}

/** @param {Overview} overview */
function about(overview) {
  const { version, built, index } = overview;
  const expired = index.expires !== null && new Date(index.expires) < new Date();
  append(
    foot,
    h("p", {}, said(indexText(overview)), "."),
    expired ? h("p", { class: "banner" }, `This index expired on ${index.expires}: build the explorer anew.`) : null,
    overview.files.length
      ? h(
          "p",
          {},
          "All of it as files: ",
          ...overview.files.flatMap(file => [
            `${file.name} (`,
            h("a", { href: file.csv, download: true }, "CSV"),
            ", ",
            h("a", { href: file.json, download: true }, "JSON"),
            ") ",
          ]),
        )
      : null,
    h(
      "p",
      {},
      `Built${built === null ? "" : ` from the index of ${built}`} by ggez-hub ${version}. Borders: Natural Earth through world-atlas; they state no position on any of them. Nothing here is loaded from elsewhere, and nothing is counted.`,
    ),
  );
}

document.body.append(
  h(
    "a",
    {
      class: "skip",
      href: "#/map",
      onclick: event => {
        event.preventDefault();
        main.focus();
      },
    },
    "To the content",
  ),
  h(
    "header",
    {},
    h("a", { class: "brand", href: "#/map" }, "ggez-hub ", h("span", {}, "explorer")),
    h("nav", { "aria-label": "Pages" }, ...links),
  ),
  main,
  foot,
);
addEventListener("hashchange", () => show(false));
show(true);

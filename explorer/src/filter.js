/** The search over all adapters: pure, and fast over ten thousand rows. */

/** @import { Table } from "./contract.js" */

/** The filters, and what each is called. */
export const FACETS = /** @type {const} */ ({
  region: "Region",
  language: "Language",
  script: "Script",
  family: "Family",
  base: "Base",
  license: "Licence",
  level: "Level",
  runtime: "Runs with",
  size: "Size",
});
/** @typedef {keyof typeof FACETS} Facet */
/** @typedef {Partial<Record<Facet, string>> & { q?: string }} Query */

/** @type {[id: string, text: string, most: number][]} */
export const SIZES = [
  ["10mb", "under 10 MB", 1e7],
  ["100mb", "10–100 MB", 1e8],
  ["1gb", "100 MB–1 GB", 1e9],
  ["10gb", "1–10 GB", 1e10],
  ["more", "over 10 GB", Infinity],
];

/**
 * Rows of the parts of the table, column by column, with what words are looked for in.
 * @typedef {{ count: number, table: Table, words: string[], values: Record<Facet, string[][]> }} Columns
 */

/**
 * @param {Table[]} parts
 * @param {(facet: string, id: string) => string} [named] what a region or a language is called
 * @returns {Columns}
 */
export function columns(parts, named = (_, id) => id) {
  const names = /** @type {(keyof Table)[]} */ (Object.keys(parts[0] ?? {}));
  const table = /** @type {Table} */ (
    /** @type {unknown} */ (
      Object.fromEntries(names.map(name => [name, parts.flatMap(part => /** @type {any[]} */ (part[name]))]))
    )
  );
  const count = table.slug?.length ?? 0;
  const one = (/** @type {string[]} */ column) => column.map(value => [value]);
  return {
    count,
    table,
    words: Array.from({ length: count }, (_, at) =>
      fold(
        [
          table.title[at],
          table.repo[at],
          table.base[at],
          table.family[at],
          ...table.regions[at].flatMap(id => [id, named("region", id)]),
          ...table.languages[at].flatMap(id => [id, named("language", id)]),
        ].join(" "),
      ),
    ),
    values: {
      region: table.regions ?? [],
      language: table.languages ?? [],
      script: table.scripts ?? [],
      family: one(table.family ?? []),
      base: one(table.base ?? []),
      license: one(table.license ?? []),
      level: one(table.level ?? []),
      runtime: table.runtimes ?? [],
      size: (table.bytes ?? []).map(value => (value === null ? [] : [sizeOf(value)])),
    },
  };
}

/** @param {number} value */
const sizeOf = value => SIZES.find(([, , most]) => value < most)?.[0] ?? "more";

/** Without case and marks, so that "Sao" finds "São". @param {string} text */
const fold = text => text.normalize("NFKD").replace(/[̀-ͯ]/g, "").toLowerCase();

/**
 * The places of the rows that a query finds, and how many each value of a facet would leave.
 * @param {Columns} all @param {Query} query
 */
export function search(all, query) {
  const facets = /** @type {Facet[]} */ (Object.keys(FACETS));
  const words = fold(query.q ?? "")
    .split(/\s+/)
    .filter(word => word);
  /** @type {Record<Facet, Map<string, number>>} */
  const counts = /** @type {any} */ (Object.fromEntries(facets.map(facet => [facet, new Map()])));
  /** @type {number[]} */
  const found = [];
  for (let row = 0; row < all.count; row += 1) {
    if (!words.every(word => all.words[row].includes(word))) continue;
    // A facet's counts leave out its own filter: they say what another choice would find.
    const missed = facets.filter(facet => query[facet] && !all.values[facet][row].includes(query[facet]));
    if (missed.length > 1) continue;
    for (const facet of missed.length ? missed : facets)
      for (const value of all.values[facet][row]) counts[facet].set(value, (counts[facet].get(value) ?? 0) + 1);
    if (!missed.length) found.push(row);
  }
  return { found, counts };
}

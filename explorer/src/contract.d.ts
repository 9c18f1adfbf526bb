/** What `ggez-hub site build` writes below data/: each file is `ggezData(KEY, VALUE)`, KEY its path without `.js`. */

export type Policy = "parity" | "keep";
/** `declared`: without a curve, or with its author's claim alone. */
export type State = "gain" | "loss" | "no_difference" | "declared";
export type Maybe<T> = T | null;
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Named {
  id: string;
  name: string;
}

export interface Country extends Named {
  /** ISO 3166-1 numeric, three digits, as world-atlas has it. */
  numeric: Maybe<string>;
  alpha: Maybe<number>;
  /** The group whose alpha stands in for its own. */
  alpha_from: Maybe<string>;
  /** What resolution goes through: the country itself first. */
  chain: string[];
  languages: (Named & { speakers: Maybe<number> })[];
  adapters: number;
  /** The most spoken language that no measured adapter which serves the country names, English left out. */
  wanted: Maybe<{ language: string; name: string; speakers: number }>;
}

/** The adapter that resolution takes for a country, and its gain on its own suite. */
export interface Placed {
  adapter: string;
  title: string;
  beta: Maybe<number>;
  suite: Maybe<string>;
  measured_by: Maybe<string>;
  gain: Maybe<number>;
  low: Maybe<number>;
  high: Maybe<number>;
  state: State;
}

export interface Layer {
  family: string;
  policy: Policy;
  countries: Record<string, Placed>;
}

export interface Overview {
  version: string;
  built: Maybe<string>;
  hub: string;
  index: {
    repo: Maybe<string>;
    commit: Maybe<string>;
    number: Maybe<number>;
    date: Maybe<string>;
    expires: Maybe<string>;
    shipped: Maybe<string>;
  };
  families: Named[];
  policies: Policy[];
  countries: Country[];
  regions: (Named & { alpha: Maybe<number>; members: string[] })[];
  suites: (Named & { family: string; countries: number })[];
  layers: Layer[];
  tables: number;
  files: { name: string; csv: string; json: string }[];
}

export interface Alpha {
  years: number[];
  countries: Record<string, Maybe<number>[]>;
  series: string;
  release: string;
}

export interface Table {
  slug: string[];
  title: string[];
  repo: string[];
  regions: string[][];
  languages: string[][];
  scripts: string[][];
  family: string[];
  base: string[];
  license: string[];
  level: string[];
  bytes: Maybe<number>[];
  runtimes: string[][];
  gain: Maybe<number>[];
  status: string[];
}

export interface Gate {
  name: string;
  outcome: "pass" | "fail" | "undetermined";
  text: string;
}

export interface CountryPage {
  id: string;
  adapters: {
    slug: string;
    title: string;
    family: string;
    region: string;
    level: string;
    license: Maybe<string>;
    gated: Maybe<boolean>;
    bytes: Maybe<number>;
    runtimes: string[];
    status: string;
    policy: string;
    gates: Gate[];
    pull: ByPolicy<Maybe<string>>;
    beta: ByPolicy<Maybe<number>>;
    suite: Maybe<string>;
    measured_by: Maybe<string>;
    gain: Maybe<number>;
    low: Maybe<number>;
    high: Maybe<number>;
  }[];
  wanted: Maybe<{ text: string; command: Maybe<string> }>;
}

export type ByPolicy<T> = { parity: T; keep: T };

/** One split of one suite; scores above chance, on 0-100; betas ascend. */
export interface Curve {
  suite: Maybe<string>;
  suite_name: Maybe<string>;
  split: string;
  region: string;
  scale: string;
  measured_by: string;
  betas: (number | number[])[];
  q_global: number[];
  q_regional: number[];
  q_others: Maybe<Maybe<number>[]>;
  error_global: Maybe<number>[];
  error_regional: Maybe<number>[];
  low_global: Maybe<number>[];
  high_global: Maybe<number>[];
  low_regional: Maybe<number>[];
  high_regional: Maybe<number>[];
  /** Of the two sides at each beta; without it the error of GRP is not known. */
  covariance?: Maybe<Maybe<number>[]>;
  parity_allowed: Maybe<boolean[]>;
  keep_allowed: Maybe<boolean[]>;
  /** Why a policy chooses nothing. */
  undetermined: ByPolicy<Maybe<string>>;
  excluded: string[];
}

export interface PartRow {
  id: string;
  name?: string;
  beta: Maybe<number>;
  score: Maybe<number>;
  base: Maybe<number>;
  gain: Maybe<number>;
  low: Maybe<number>;
  high: Maybe<number>;
  n: Maybe<number>;
}

export interface Sample {
  text: string;
  /** Its path in the site. */
  picture: Maybe<string>;
  prompt: Maybe<string>;
  base_answer: Maybe<string>;
  merged_answer: Maybe<string>;
  license: Maybe<string>;
}

export interface Adapter {
  slug: string;
  title: string;
  repo: string;
  commit: Maybe<string>;
  page: Maybe<string>;
  family: string;
  kind: string;
  base: { repo: string; revision: Maybe<string>; weights: Maybe<Record<string, string>> };
  region: string;
  /** The region, and its members. */
  regions: string[];
  languages: string[];
  license: Maybe<string>;
  licences: { role: string; what: string; license: Maybe<string>; link: Maybe<string> }[];
  level: string;
  status: string;
  policy: string;
  gates: Gate[];
  bytes: Maybe<number>;
  runtimes: string[];
  reason: Maybe<string>;
  summary: Record<string, string>;
  card_url: Maybe<string>;
  alpha: Maybe<number>;
  /** Of which year and release it is, or whose it is. */
  alpha_source: string;
  curves: Curve[];
  countries: PartRow[];
  languages_measured?: PartRow[];
  controls: { name: string; text: string; value: Maybe<number>; low: Maybe<number>; high: Maybe<number> }[];
  people: { [key: string]: Json }[];
  samples: Sample[];
  provenance: {
    files: Record<string, { size: Maybe<number>; sha256: string }>;
    data: Json[];
    filter: Maybe<{ [key: string]: Json }>;
    [key: string]: unknown;
  };
  lock: Maybe<string>;
  pull: ByPolicy<Maybe<string>>;
  affected: Maybe<string>;
}

/** Addresses: `#/view/id?name=value`; every view has one that stays. */

/** @typedef {{ view: string, id: string, params: URLSearchParams }} Route */

/** @param {string} hash @returns {Route} */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [view = "", ...rest] = path.split("/");
  return { view: view || "map", id: decoded(rest.join("/")), params: new URLSearchParams(query) };
}

/**
 * @param {string} view @param {string} [id]
 * @param {Record<string, string | string[] | number | null | undefined>} [params] those that are empty are left out
 */
export function address(view, id = "", params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params))
    for (const each of [value].flat())
      if (each !== null && each !== undefined && each !== "") query.append(name, String(each));
  const text = query.toString();
  return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}${text ? `?${text}` : ""}`;
}

/** Browsers refuse more than about ten changes of an address a second, and a slider makes more. */
const PAUSE = 200;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;

/**
 * Puts an address in the place of the present one when no other follows, without a new entry in the history and
 * without drawing again.
 * @param {string} hash
 */
export function replace(hash) {
  forget();
  waiting = setTimeout(() => history.replaceState(null, "", hash), PAUSE);
}

/** An address that waits to be put in place is of a page that was left. */
export const forget = () => clearTimeout(waiting);

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

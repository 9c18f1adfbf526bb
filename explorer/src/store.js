/** The data: each file is a script that calls `ggezData(KEY, VALUE)`, so that it loads from `file://` too. */

const KEY = /^[a-z0-9][a-z0-9._-]*(\/[a-z0-9][a-z0-9._-]*)*$/;

export class MissingData extends Error {}

/** @type {Map<string, { promise: Promise<any>, resolve: (value: any) => void }>} */
const asked = new Map();

/** @type {any} */ (globalThis).ggezData = (/** @type {string} */ key, /** @type {unknown} */ value) =>
  asked.get(key)?.resolve(value);

/** An adapter's file lies in a folder of its region, which its name begins with. @param {string} slug */
export const adapterKey = slug => `adapters/${slug.split(".")[0]}/${slug}`;

/** @param {string} key */
export const isKey = key => KEY.test(key) && !key.includes("..");

/**
 * The value of a data file; each is loaded once. Rejects with MissingData where there is none.
 * @param {string} key
 * @returns {Promise<any>}
 */
export function load(key) {
  const known = asked.get(key);
  if (known) return known.promise;
  if (!isKey(key)) return Promise.reject(new MissingData(`${key} is not the name of a page`));
  /** @type {{ promise: Promise<any>, resolve: (value: any) => void }} */
  const entry = { promise: Promise.resolve(), resolve: () => {} };
  entry.promise = new Promise((resolve, reject) => {
    entry.resolve = resolve;
    const missing = () => {
      asked.delete(key);
      reject(new MissingData(`data/${key}.js could not be loaded`));
    };
    const script = document.createElement("script");
    script.src = `data/${key}.js`;
    script.onerror = missing;
    // What came is resolved by now, and a rejection changes nothing.
    script.onload = () => {
      script.remove();
      queueMicrotask(() => reject(new MissingData(`data/${key}.js holds something else`)));
    };
    document.head.append(script);
  });
  asked.set(key, entry);
  return entry.promise;
}

/** Elements whose content is text: nothing here, or anywhere in the sources, reads markup. */

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes */

export const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `on...` attributes are listeners; null, undefined and false leave an attribute out.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(name, attributes = {}, ...children) {
  return /** @type {any} */ (filled(document.createElement(name), attributes, children));
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(name, attributes = {}, ...children) {
  return /** @type {any} */ (filled(document.createElementNS(SVG, name), attributes, children));
}

/**
 * @param {Element} element
 * @param {Attributes} attributes
 * @param {Child[]} children
 */
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "href" || name === "src") element.setAttribute(name, safeAddress(String(value)));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, ...children);
  return element;
}

/**
 * @param {Element} element
 * @param {...Child} children
 */
export function append(element, ...children) {
  for (const child of children)
    if (child !== null && child !== undefined && child !== false)
      element.append(typeof child === "number" ? String(child) : child);
}

/**
 * An address that a card may name: https, a place in this page, or a picture or table of the site. Others lead nowhere.
 * @param {string} address
 */
export function safeAddress(address) {
  if (/^#\/[^\s]*$/.test(address)) return address;
  if (/^(blob:|data:image\/(png|jpeg|webp);base64,)/.test(address)) return address;
  if (/^(pictures|tables)\/[\w./-]+$/.test(address) && !address.includes("..")) return address;
  try {
    const found = new URL(address);
    if (found.protocol === "https:" && !found.username && !found.password) return found.href;
  } catch {
    // Not an address.
  }
  return "#/";
}

/**
 * Text of a stranger: it cannot turn the direction of what stands beside it.
 * @param {string | null | undefined} text
 */
export const said = text => h("bdi", {}, text ?? "unknown");

/**
 * A line to copy, with its button.
 * @param {string} text
 * @param {string} label what is copied
 */
export function copyable(text, label) {
  const code = h("code", {}, text);
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${label}`, onclick: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Without the right to write there: what is marked is copied by the keyboard.
      getSelection()?.selectAllChildren(code);
      button.textContent = "Marked";
    }
  }
  return h("div", { class: "copyable" }, h("pre", { tabindex: 0, "aria-label": label }, code), button);
}

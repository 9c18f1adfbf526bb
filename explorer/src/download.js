/** Every table as CSV (RFC 4180) and JSON. */

/** @typedef {string | number | boolean | null} Cell */

/**
 * Text that a spreadsheet would take for a formula gets an apostrophe.
 * @param {Cell} cell
 */
function field(cell) {
  if (cell === null) return "";
  const text = typeof cell === "string" && /^[=+\-@\t\r\n]/.test(cell) ? `'${cell}` : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {string[]} names @param {Cell[][]} rows */
export const csv = (names, rows) => [names, ...rows].map(row => `${row.map(field).join(",")}\r\n`).join("");

/** @param {string[]} names @param {Cell[][]} rows */
export const json = (names, rows) =>
  `${JSON.stringify(
    rows.map(row => Object.fromEntries(names.map((name, at) => [name, row[at]]))),
    null,
    1,
  )}\n`;

/** @param {string} name @param {string} text @param {string} type */
export function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** GRP of every beta as a line over alpha, with a slider that shows what is chosen at an alpha. */

import { append, h, svg } from "./dom.js";
import { chart, extent } from "./frame.js";

/** @typedef {{ name: string, atOne: number, atZero: number }} Line GRP is straight in alpha: its values at 1 and 0 */
/** @typedef {{ name: string, kind: "chosen" | "second", text?: string }} Choice a line that is marked, as a policy chooses it */

/**
 * @param {object} options
 * @param {Line[]} options.lines
 * @param {number} options.alpha
 * @param {(alpha: number) => Choice[]} options.choices the first that names a line marks it
 * @param {(alpha: number) => string} options.sentence what is read out
 * @param {(alpha: number) => Node | null} [options.details]
 * @param {(alpha: number) => void} [options.moved]
 */
export function parityLines({ lines, alpha, choices, sentence, details, moved }) {
  let now = alpha;
  /** @type {() => void} */
  let redraw = () => {};
  const spoken = h("p", { id: "said", class: "spoken", "aria-live": "polite" });
  const holder = h("div", {});
  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.001, id: "alpha", "aria-label": "alpha" });
  slider.value = String(alpha);
  slider.addEventListener("input", () => {
    now = Number(slider.value);
    update();
    moved?.(now);
  });
  const drawing = chart(
    {
      label: "GRP of every beta against alpha",
      height: 360,
      xs: [0, 1],
      ys: extent(lines.flatMap(l => [l.atZero, l.atOne])),
      xName: "alpha: from the region to the world",
      yName: "GRP above chance",
      right: 96,
    },
    ({ x, y, layer, top, bottom, right, narrow }) => {
      const groups = lines.map(l => {
        const dot = svg("circle", { r: 3.5 });
        const path = svg("line", { x1: x(0), y1: y(l.atZero), x2: x(1), y2: y(l.atOne) });
        const group = svg("g", { class: "parity" }, path, dot);
        layer.append(group);
        return { line: l, group, dot };
      });
      const mark = svg("line", { class: "now", y1: top, y2: bottom });
      const names = svg("g");
      append(layer, mark, names);
      redraw = () => {
        const chosen = choices(now);
        mark.setAttribute("x1", String(x(now)));
        mark.setAttribute("x2", String(x(now)));
        names.replaceChildren();
        for (const { line, group, dot } of groups) {
          const found = chosen.find(choice => choice.name === line.name);
          group.setAttribute("class", `parity ${found?.kind ?? ""}`);
          dot.setAttribute("cx", String(x(now)));
          dot.setAttribute("cy", String(y(now * line.atOne + (1 - now) * line.atZero)));
          if (found)
            append(
              names,
              svg(
                "text",
                {
                  x: narrow ? right - 4 : right + 6,
                  y: y(line.atOne) + (narrow ? -6 : 4),
                  "text-anchor": narrow ? "end" : "start",
                  class: found.kind,
                },
                `β ${line.name}${found.text ? ` ${found.text}` : ""}`,
              ),
            );
        }
      };
      redraw();
    },
  );
  function update() {
    redraw();
    spoken.textContent = sentence(now);
    const found = details?.(now);
    holder.replaceChildren(...(found ? [found] : []));
  }
  update();
  return h(
    "div",
    { class: "parity-lines" },
    h("div", { class: "slider" }, h("span", {}, "region"), slider, h("span", {}, "world")),
    spoken,
    drawing,
    holder,
  );
}

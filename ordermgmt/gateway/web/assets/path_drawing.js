/** Draws the way of a request: boxes for the services, lines for the hops. The list below it says the same in words. */

import { svg } from "./dom.js";
import { duration, edges, NARROW, nameOf, sentence, WIDE } from "./path_model.js";

/** @typedef {import("./path_model.js").Path} Path */

const LAYOUTS = {
  wide: { places: WIDE, box: [124, 52], step: [244, 130], margin: [8, 8] },
  narrow: { places: NARROW, box: [120, 48], step: [234, 112], margin: [8, 8] },
};

/**
 * @param {Path} path
 * @param {"wide" | "narrow"} kind
 */
export function drawing(path, kind) {
  const layout = LAYOUTS[kind];
  const lines = edges(path.hops, layout.places);
  const nodes = Object.keys(layout.places);
  const seen = new Set(lines.flatMap(({ from, to }) => [from, to]));
  const [columns, rows] = [0, 1].map((axis) => Math.max(...nodes.map((node) => layout.places[node][axis])));
  const width = columns * layout.step[0] + layout.box[0] + 2 * layout.margin[0];
  const height = rows * layout.step[1] + layout.box[1] + 2 * layout.margin[1];
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: `way ${kind}`, role: "img", "aria-label": label(path) },
    svg(
      "defs",
      {},
      svg(
        "marker",
        {
          id: `tip-${kind}`,
          viewBox: "0 0 8 8",
          refX: "7",
          refY: "4",
          markerWidth: "8",
          markerHeight: "8",
          orient: "auto-start-reverse",
        },
        svg("path", { d: "M0 0 8 4 0 8z" }),
      ),
    ),
    lines.map((line) => edge(line, layout, kind)),
    nodes.map((node) => box(node, layout, seen.has(node))),
  );
}

/** @param {string} node @param {(typeof LAYOUTS)["wide"]} layout @param {boolean} isUsed */
function box(node, layout, isUsed) {
  const [x, y] = centre(node, layout);
  const [width, height] = layout.box;
  return svg(
    "g",
    { class: isUsed ? "node" : "node idle" },
    svg("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: 8 }),
    svg("text", { x, y: y + 5, "text-anchor": "middle" }, nameOf(node)),
  );
}

/** @param {ReturnType<typeof edges>[number]} line @param {(typeof LAYOUTS)["wide"]} layout @param {string} kind */
function edge({ from, to, label: text, mtls, cached, seconds }, layout, kind) {
  const [start, end] = [centre(from, layout), centre(to, layout)];
  const isAcross = start[1] === end[1];
  const axis = isAcross ? 0 : 1;
  const direction = Math.sign(end[axis] - start[axis]);
  const half = layout.box[axis] / 2;
  const [a, b] = [[...start], [...end]];
  a[axis] += direction * half;
  b[axis] -= direction * (half + 2);
  const middle = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const [x, y] = isAcross ? middle : [middle[0] + 10, middle[1] - 4];
  const anchor = isAcross ? "middle" : "start";
  const words = [text, [mtls && "mTLS", cached ? "cached" : duration(seconds)].filter(Boolean).join(" · ")].filter(
    Boolean,
  );
  const lines = isAcross
    ? words.map((word, place) => [word, place === 0 && words.length > 1 ? y - 10 : y + 20])
    : words.map((word, place) => [word, y + place * 17]);
  return svg(
    "g",
    { class: cached ? "edge cached" : "edge" },
    svg("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], "marker-end": `url(#tip-${kind})` }),
    lines.map(([word, at]) => svg("text", { x, y: at, "text-anchor": anchor }, word)),
  );
}

/** @param {string} node @param {(typeof LAYOUTS)["wide"]} layout @returns {[number, number]} */
function centre(node, { places, box: size, step, margin }) {
  const [column, row] = places[node];
  return [margin[0] + size[0] / 2 + column * step[0], margin[1] + size[1] / 2 + row * step[1]];
}

/** @param {Path} path */
function label({ request, hops }) {
  return [`The way of ${request.method} ${request.path}.`, ...hops.map(sentence)].join(" ");
}

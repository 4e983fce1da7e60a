/** The system as one drawing, wide or narrow. Everything in it stands in the tables below it, too. */

import { svg } from "./dom.js";
import { between, duration, perSecond, stateOf } from "./operate_model.js";

/** @typedef {import("./operate_model.js").Model} Model */

const BOX = { width: 150, height: 64 };

/** Where things are: the middle of each box; an edge is a path, where its label is, and how far down it goes on: below the line, if it lies across it. */
const WIDE = {
  size: [960, 350],
  nodes: { "": [88, 130], gateway: [340, 130], order: [610, 130], inventory: [872, 130], sts: [476, 300] },
  edges: [
    ["", "gateway", "M163 130H261", [212, 116]],
    ["gateway", "order", "M415 130H531", [473, 116]],
    ["order", "inventory", "M685 130H793", [739, 116]],
    ["gateway", "inventory", "M340 98C340 10 872 10 872 94", [606, 22]],
    ["gateway", "sts", "M352 162C360 240 380 288 397 294", [322, 222], 18],
    ["order", "sts", "M598 162C590 240 572 288 555 294", [640, 222], 18],
    ["inventory", "sts", "M872 162C872 280 720 312 555 306", [880, 276], 18],
  ],
};
const NARROW = {
  size: [360, 560],
  nodes: { "": [100, 40], gateway: [100, 180], order: [100, 350], inventory: [100, 520], sts: [277, 265] },
  edges: [
    ["", "gateway", "M100 72V144", [140, 104], 18],
    ["gateway", "order", "M100 212V314", [64, 256], 18],
    ["order", "inventory", "M100 382V484", [64, 428], 18],
    ["gateway", "inventory", "M25 180C8 200 8 500 21 516", [0, 0], 18],
    ["gateway", "sts", "M175 180C230 180 270 195 274 229", [290, 172], 18],
    ["order", "sts", "M175 350C230 350 270 335 274 301", [256, 372], 18],
    ["inventory", "sts", "M175 520C330 520 330 420 310 301", [272, 470], 18],
  ],
};
const SIGNS = /** @type {Record<string, string>} */ ({ good: "●", warn: "◐", wrong: "✕", none: "" });

/** @param {Model} model @param {boolean} narrow */
export function drawing(model, narrow) {
  const place = narrow ? NARROW : WIDE;
  const [width, height] = place.size;
  return svg("svg", { class: `drawing ${narrow ? "narrow" : "wide"}`, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": "drawing-name" },
    svg("title", { id: "drawing-name" }, "The services and the requests between them. The tables below have all of it as text."),
    svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
      svg("path", { class: "arrow", d: "M0 0L8 4L0 8Z" }))),
    place.edges.map(([caller, service, path, at, below]) => edge(model, String(caller), String(service), String(path), /** @type {number[]} */ (at), Number(below ?? 34))),
    Object.entries(place.nodes).map(([name, at]) => node(model, name, at)));
}

/** @param {Model} model @param {string} caller @param {string} service @param {string} path @param {number[]} at @param {number} step from the first line of text to the second */
function edge(model, caller, service, path, [x, y], step) {
  const found = between(model.edges, caller, service, model.bounds);
  const look = !found || !found.rate ? "idle" : found.failed ? "failing" : "flowing";
  const text = found ? perSecond(found.rate) : "";
  const below = !found || !found.rate ? "" : found.failed ? `✕ ${found.failed} failed` : duration(found.p95);
  return svg("g", { class: `edge ${look}` },
    svg("path", { class: "edge-line", d: path, "marker-end": "url(#arrow)" }),
    look === "flowing" && svg("path", { class: "edge-flow", d: path }),
    text && x > 0 && svg("text", { class: "edge-text", x, y }, svg("tspan", { x, dy: 0 }, text), below && svg("tspan", { x, dy: step, class: "edge-below" }, below)));
}

/** @param {Model} model @param {string} name @param {number[]} at */
function node(model, name, [x, y]) {
  const instances = model.services.filter((service) => service.name === name);
  const worst = instances.map(stateOf).sort(([one], [other]) => rank(other) - rank(one))[0] ?? ["wrong", "not seen"];
  const [look, words] = name ? worst : ["none", "from outside"];
  const left = x - BOX.width / 2;
  const top = y - BOX.height / 2;
  const title = instances.length > 1 ? `${name} ×${instances.length}` : name || "clients";
  return svg("g", { class: `node ${look}` },
    svg("rect", { x: left, y: top, width: BOX.width, height: BOX.height, rx: 10 }),
    svg("rect", { class: "node-edge", x: left, y: top, width: 6, height: BOX.height, rx: 3 }),
    svg("text", { class: "node-title", x: left + 18, y: y - 5 }, title),
    svg("text", { class: "node-state", x: left + 18, y: y + 17 }, [SIGNS[look], words].filter(Boolean).join(" ")));
}

/** @param {string} look */
function rank(look) {
  return ["good", "warn", "wrong"].indexOf(look);
}

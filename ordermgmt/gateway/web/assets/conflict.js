/** Somebody else has changed an order meanwhile: shows theirs and ours, and asks which is to be. */

import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { linesOf } from "./order_change.js";

/** @typedef {import("./order_change.js").Order} Order */

/**
 * Ask whose changes are to be: `edit`, `theirs` or `mine`; empty if the user leaves the question.
 * @param {Order} before
 * @param {Order} theirs
 * @param {{name: string, lines: Record<string, number>}} ours
 * @param {Map<string, import("./store.js").Item>} items
 * @param {AbortSignal} signal
 */
export function askWhich(before, theirs, ours, items, signal) {
  return ask({
    title: "Somebody else has changed this order",
    content: [
      h("p", {}, "Your changes are not saved yet. This is what differs:"),
      comparison(before, theirs, ours, items),
    ],
    buttons: [
      { value: "edit", text: "Go on editing mine" },
      { value: "theirs", text: "Take theirs" },
      { value: "mine", text: "Save mine over theirs", look: "grave" },
    ],
    wide: true,
    signal,
  });
}

/**
 * What was there, what they made of it, and what we want, as far as they differ.
 * @param {Order} before
 * @param {Order} theirs
 * @param {{name: string, lines: Record<string, number>}} ours
 * @param {Map<string, import("./store.js").Item>} items
 */
function comparison(before, theirs, ours, items) {
  const versions = [linesOf(before), linesOf(theirs), ours.lines];
  const keys = [...new Set(versions.flatMap(Object.keys))];
  const rows = [
    ["Name", before.name, theirs.name, ours.name.trim()],
    ...keys.map((key) => [
      items.get(key)?.name ?? key,
      ...versions.map((lines) => (lines[key] ?? 0).toLocaleString("en")),
    ]),
  ].filter(([, first, second, third]) => first !== second || second !== third);
  const heads = ["Before", "Theirs", "Yours"].map((text) => h("th", { scope: "col" }, text));
  const lines = rows.map(([what, ...values]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, what),
      values.map((value) => h("td", value === values[0] ? {} : { class: "differs" }, value)),
    ),
  );
  return h(
    "div",
    { class: "scroll", role: "region", "aria-label": "What differs", tabindex: "0" },
    h("table", { class: "versions" }, h("thead", {}, h("tr", {}, h("td", {}), heads)), h("tbody", {}, lines)),
  );
}

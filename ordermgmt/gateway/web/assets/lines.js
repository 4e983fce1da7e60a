/** The lines of an order that may be changed. Lines are changed in place, so that the focus stays where it is. */

import { h, replace } from "./dom.js";
import { glyphOf, tintOf } from "./glyphs.js";
import { cents, dollars, keyOf, total } from "./money.js";
import { stepper } from "./stepper.js";

/**
 * @typedef {{category: string, code: string, qty: number}} Line
 * @typedef {Map<string, import("./store.js").Item>} Items
 */

/**
 * @param {{put: (key: string, qty: number) => void, empty: () => Node}} given `put` is called with the quantity that a
 *   line shall have, 0 to take it out
 */
export function lineEditor({ put, empty }) {
  const rows = new Map();
  const list = h("ul", { class: "lines", role: "list" });
  const nothing = h("div", {});
  const problem = h("p", { class: "problem" });
  const sum = h("p", { class: "sum number" });

  return {
    element: h("div", { class: "stack" }, list, nothing, problem, sum),

    /**
     * @param {Line[]} lines
     * @param {Items} items
     * @param {{busy?: boolean, problem?: string, refused?: string | null, held?: Map<string, number>}} [how] `held` is
     *   how many of each the order has already, which count as left
     */
    update(lines, items, { busy = false, problem: wrong = "", refused = null, held = new Map() } = {}) {
      const keys = lines.map(keyOf);
      for (const [key, row] of rows) {
        if (keys.includes(key)) continue;
        const hadFocus = row.element.contains(document.activeElement);
        row.element.remove();
        rows.delete(key);
        if (hadFocus) (list.querySelector("input") ?? nothing.querySelector("a"))?.focus();
      }
      for (const line of lines) {
        const key = keyOf(line);
        if (!rows.has(key)) {
          rows.set(
            key,
            newRow(line, items.get(key), (qty) => put(key, qty)),
          );
          list.append(rows.get(key).element);
        }
        const stock = items.get(key);
        rows.get(key).update(line, stock, stock ? stock.qty + (held.get(key) ?? 0) : null, busy, refused === key);
      }
      list.hidden = lines.length === 0;
      replace(nothing, lines.length === 0 && empty());
      problem.textContent = wrong;
      const amount = total(lines, items);
      replace(sum, lines.length > 0 && amount !== null && h("span", {}, "Total ", h("strong", {}, dollars(amount))));
    },
  };
}

/** @param {Line} line @param {import("./store.js").Item | undefined} item @param {(qty: number) => void} put */
function newRow(line, item, put) {
  const name = item?.name ?? line.code;
  const price = h("span", { class: "muted small number" });
  const amount = h("span", { class: "number line-sum" });
  const steps = stepper({ label: name, onchange: put });
  const remove = h(
    "button",
    { type: "button", class: "plain", onclick: () => put(0) },
    "Remove",
    h("span", { class: "hide-visually" }, name),
  );
  const element = h(
    "li",
    { class: "line" },
    h("span", { class: `thumb tint-${tintOf(keyOf(line))}` }, glyphOf({ category: line.category, name })),
    h("span", { class: "line-text" }, h("strong", {}, name), price),
    steps.element,
    amount,
    remove,
  );
  return {
    element,
    /**
     * @param {Line} now
     * @param {import("./store.js").Item | undefined} stock
     * @param {number | null} available
     * @param {boolean} busy
     * @param {boolean} refused
     */
    update(now, stock, available, busy, refused) {
      price.textContent = stock
        ? `${dollars(cents(stock.price))} each · ${available?.toLocaleString("en")} left`
        : `${now.category}/${now.code}`;
      amount.textContent = stock ? dollars(cents(stock.price) * now.qty) : "";
      steps.update(now.qty, available, busy);
      element.classList.toggle("refused", refused);
      remove.disabled = busy;
    },
  };
}

/**
 * The lines of an order that is only shown.
 * @param {readonly Line[]} lines
 * @param {Items} items
 */
export function lineTable(lines, items) {
  const amount = total([...lines], items);
  return h(
    "table",
    { class: "line-table" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "Item"),
        h("th", { scope: "col", class: "number" }, "Pieces"),
        h("th", { scope: "col", class: "number each" }, "Each"),
        h("th", { scope: "col", class: "number" }, "Together"),
      ),
    ),
    h(
      "tbody",
      {},
      lines.map((line) => {
        const item = items.get(keyOf(line));
        return h(
          "tr",
          {},
          h(
            "th",
            { scope: "row" },
            item?.name ?? line.code,
            h("span", { class: "muted small mono block" }, keyOf(line)),
          ),
          h("td", { class: "number" }, line.qty.toLocaleString("en")),
          h("td", { class: "number each" }, item ? dollars(cents(item.price)) : "–"),
          h("td", { class: "number" }, item ? dollars(cents(item.price) * line.qty) : "–"),
        );
      }),
    ),
    amount !== null &&
      h(
        "tfoot",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "row", colspan: "2" }, "Total at today’s prices"),
          h("td", { class: "each" }),
          h("td", { class: "number" }, h("strong", {}, dollars(amount))),
        ),
      ),
  );
}

/** Say what is in an order in one line of text. @param {readonly Line[]} lines @param {Items} items */
export function summary(lines, items) {
  const few = lines
    .slice(0, 3)
    .map((line) => `${line.qty.toLocaleString("en")} × ${items.get(keyOf(line))?.name ?? line.code}`);
  const others = lines.length - few.length;
  return few.join(", ") + (others ? `, and ${others} more` : "");
}

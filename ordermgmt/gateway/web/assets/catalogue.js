/** The catalogue: what there is, what it costs, how much is left; and how much of it is in the order. */

import { announce } from "./announce.js";
import { h, replace } from "./dom.js";
import { withQty } from "./draft.js";
import { glyphOf, tintOf } from "./glyphs.js";
import { cents, clock, dollars, keyOf } from "./money.js";
import { changed } from "./stock.js";
import { stepper } from "./stepper.js";

/** @typedef {import("./store.js").Item} Item */

const FEW = 5;

/** @type {import("./pages.js").Page} */
export function catalogue({ store, stock, checkout, signal }) {
  const cards = new Map();
  const grid = h("ul", { class: "goods", role: "list" });
  const freshness = h("p", { class: "muted small freshness" });
  const more = h("button", { type: "button", hidden: true, onclick: () => stock.more() }, "Show more goods");
  const note = h("div", {});

  /** @param {string} key @param {number} qty */
  function put(key, qty) {
    checkout.keep(withQty(store.state.draft, key, qty));
    const name = store.state.stock.items.get(key)?.name ?? key;
    announce(qty ? `${qty} of ${name} in your order.` : `${name} is no longer in your order.`);
  }

  function show() {
    const { items, state, at, more: isMore } = store.state.stock;
    for (const [key, item] of items) {
      if (!cards.has(key)) {
        cards.set(
          key,
          newCard(item, (qty) => put(key, qty)),
        );
        grid.append(cards.get(key).element);
      }
      cards.get(key).update(item, store.state.draft.lines[key] ?? 0);
    }
    for (const [key, card] of cards) {
      if (items.has(key)) continue;
      card.element.remove();
      cards.delete(key);
    }
    grid.setAttribute("aria-busy", String(state === "loading"));
    more.hidden = !isMore;
    freshness.textContent = { loading: "Looking what is in stock…", fresh: "Stock is as of now.", stale: "" }[state];
    replace(note, state === "stale" && staleNote(at));
    if (state === "fresh" && items.size === 0) replace(note, h("p", { class: "note" }, "There is nothing in stock."));
  }

  store.subscribe(
    ["stock"],
    ({ stock: { items } }, before) => {
      const others = changed(before.stock.items, items);
      show();
      for (const item of others) cards.get(keyOf(item))?.flash();
      if (others.length) announce(others.map((item) => `${item.name}: ${left(item.qty)}.`).join(" "));
    },
    signal,
  );
  store.subscribe(["draft"], show, signal);
  show();

  return {
    title: "Catalogue",
    element: h(
      "div",
      {},
      h("div", { class: "page-head" }, h("h1", { tabindex: "-1" }, "Catalogue"), freshness),
      note,
      grid,
      h("p", { class: "more" }, more),
    ),
  };
}

/** @param {number} at */
function staleNote(at) {
  return h(
    "p",
    { class: "note warn" },
    at
      ? `The shop does not answer. This is the stock of ${clock(at)}; it is asked for again by itself.`
      : "The shop does not answer. The stock is asked for again by itself.",
  );
}

/** @param {number} qty */
export const left = (qty) => (qty === 0 ? "sold out" : `${qty.toLocaleString("en")} left`);

/** @param {number} qty */
function stockChip(qty) {
  const look = qty === 0 ? "wrong" : qty <= FEW ? "warn" : "good";
  const text = qty === 0 ? "Sold out" : qty <= FEW ? `Only ${qty} left` : `${qty.toLocaleString("en")} in stock`;
  return h("span", { class: `chip number ${look}` }, text);
}

/**
 * A card that is changed in place, so that nobody loses the focus when the stock changes.
 * @param {Item} first
 * @param {(qty: number) => void} put
 */
function newCard(first, put) {
  const title = h("h2", {}, first.name);
  const price = h("p", { class: "price number" });
  const chip = h("p", { class: "stock" });
  const add = h("button", { type: "button", class: "first add", onclick: () => begin() });
  const steps = stepper({ label: first.name, onchange: put });
  const inside = h(
    "div",
    { class: "inside", hidden: true },
    h("span", { class: "small muted" }, "In your order"),
    steps.element,
  );
  const element = h(
    "li",
    { class: "good-card" },
    h(
      "div",
      { class: `cover tint-${tintOf(keyOf(first))}` },
      glyphOf(first),
      h("span", { class: "category" }, first.category),
    ),
    h(
      "div",
      { class: "good-text" },
      title,
      h("p", { class: "muted small mono" }, first.code),
      h("div", { class: "good-figures" }, price, chip),
    ),
    h("div", { class: "good-act" }, add, inside),
  );

  function begin() {
    put(1);
    steps.focus();
  }

  return {
    element,

    /** @param {Item} item @param {number} qty */
    update(item, qty) {
      title.textContent = item.name;
      price.textContent = dollars(cents(item.price));
      replace(chip, stockChip(item.qty));
      const hadFocus = inside.contains(document.activeElement);
      add.hidden = qty > 0;
      inside.hidden = qty === 0;
      add.disabled = item.qty === 0;
      replace(add, item.qty === 0 ? "Sold out" : "Add to order", h("span", { class: "hide-visually" }, item.name));
      steps.update(qty, item.qty);
      if (hadFocus && qty === 0) add.focus();
    },

    flash() {
      element.classList.remove("changed");
      // Reading the layout makes the animation start anew.
      void element.offsetWidth;
      element.classList.add("changed");
    },
  };
}

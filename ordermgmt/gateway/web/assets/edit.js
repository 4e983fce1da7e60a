/** Changes an order. If somebody else has changed it meanwhile, theirs and ours are shown, and the user chooses. */

import { alarm, announce } from "./announce.js";
import { Lost } from "./api.js";
import { ask } from "./dialog.js";
import { h, replace } from "./dom.js";
import { check, itemsOf, withQty } from "./draft.js";
import { lineEditor } from "./lines.js";
import { keyOf } from "./money.js";
import { changeOrder, failure, readOrder } from "./order.js";
import { newField } from "./order_form.js";
import { orderHash } from "./router.js";
import { refusal, unloaded } from "./words.js";

/** @typedef {import("./order.js").Order} Order */

/** @type {import("./pages.js").Page} */
export function edit(context) {
  const { id, store, signal } = context;
  const outcome = h("div", { class: "stack" });
  const body = h("div", { "aria-busy": "true" }, h("p", { class: "muted" }, "Loading…"));

  async function load() {
    try {
      const { order, answer } = await readOrder(id, signal);
      body.removeAttribute("aria-busy");
      if (order) return replace(body, editor(context, order, outcome));
      if (answer.status !== 401) fail(unloaded(answer, store.state.online));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Lost)) throw error;
      fail(unloaded(null, store.state.online));
    }
  }

  /** @param {string} text */
  function fail(text) {
    alarm(text);
    replace(body, h("p", { class: "note warn" }, text, " ", h("a", { href: "#/orders" }, "To the orders")));
  }

  load();
  return {
    title: "Change the order",
    element: h("div", {},
      h("p", { class: "back" }, h("a", { href: orderHash(id) }, "Back to the order")),
      h("div", { class: "page-head" }, h("div", {}, h("h1", { tabindex: "-1" }, "Change the order"), h("p", { class: "muted" }, "No. ", h("span", { class: "mono" }, id)))),
      outcome, body),
  };
}

/** @param {import("./pages.js").Context} context @param {Order} first @param {Element} outcome */
function editor(context, first, outcome) {
  const { id, store, signal, stock } = context;
  let base = first;
  let wanted = { name: base.name, id: "", sub: "", lines: linesOf(base) };
  let busy = false;
  let asked = false;
  const name = newField("name", "Name of the order", "What you will find it by.", 200);
  const lines = lineEditor({ put: (key, qty) => put(withQty(wanted, key, qty)), empty: () => h("p", {}, "An order has at least one item.") });
  const goods = h("select", { id: "goods" });
  const add = h("button", { type: "button", onclick: () => goods.value && put(withQty(wanted, goods.value, 1)) }, "Add");
  const save = h("button", { type: "submit", class: "first" }, "Save the changes");
  const form = h("form", { class: "order-form", novalidate: true, onsubmit: submit },
    h("section", { class: "card stack", "aria-labelledby": "lines-heading" }, h("h2", { id: "lines-heading" }, "Items"), lines.element,
      h("div", { class: "field" }, h("label", { for: "goods" }, "Add an item"), h("div", { class: "row choose" }, goods, add))),
    h("section", { class: "card stack", "aria-labelledby": "about-heading" }, h("h2", { id: "about-heading" }, "Details"), name.element,
      h("div", { class: "row" }, save, h("a", { class: "button", href: orderHash(id) }, "Leave it as it is"))));
  name.input.addEventListener("input", () => put({ ...wanted, name: name.input.value }));

  /** @param {typeof wanted} next */
  function put(next) {
    wanted = next;
    show();
  }

  function show(refused = null) {
    const { items } = store.state.stock;
    const problems = asked ? check(wanted) : {};
    name.update(wanted.name, problems.name, busy);
    const held = new Map(Object.entries(linesOf(base)));
    lines.update(itemsOf(wanted.lines), items, { busy, problem: problems.lines, held, refused });
    const others = [...items].filter(([key]) => !(key in wanted.lines));
    replace(goods, others.map(([key, item]) => h("option", { value: key }, item.name)));
    add.disabled = busy || others.length === 0;
    save.disabled = busy;
  }

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    asked = true;
    show();
    if (Object.keys(check(wanted)).length) return name.update(wanted.name, check(wanted).name, false);
    await put_();
  }

  async function put_() {
    busy = true;
    show();
    const body = JSON.stringify({ name: wanted.name.trim(), items: itemsOf(wanted.lines) });
    let result;
    try {
      result = await changeOrder(context, outcome, { method: "PUT", etag: base.etag, body });
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    busy = false;
    if (result.kind === "done") {
      stock.refresh();
      context.flash(orderHash(id), "The changes are saved.", result.answer?.requestId ?? null);
      location.hash = orderHash(id);
    } else if (result.answer?.status === 412) {
      await conflict();
    } else {
      refuse(result);
    }
  }

  /** @param {import("./change.js").Outcome} result */
  function refuse(result) {
    const { items } = store.state.stock;
    const problem = result.answer?.problem;
    const text = result.kind === "refused" && result.answer ? refusal(result.answer, (key) => items.get(key)?.name ?? key) : failure(result);
    alarm(text);
    replace(outcome, text && h("p", { class: "note wrong" }, text));
    show(problem?.category ? keyOf(/** @type {any} */ (problem)) : null);
    save.focus();
  }

  async function conflict() {
    show();
    const { order: theirs, answer } = await readOrder(id, signal);
    if (!theirs) {
      replace(outcome, h("p", { class: "note wrong" }, answer.status === 404 ? "Somebody else has cancelled this order." : "The order cannot be read now."));
      return;
    }
    const choice = await ask({
      title: "Somebody else has changed this order",
      content: [h("p", {}, "Your changes are not saved yet. This is what differs:"), comparison(base, theirs, wanted, store.state.stock.items)],
      buttons: [{ value: "edit", text: "Go on editing mine" }, { value: "theirs", text: "Take theirs" }, { value: "mine", text: "Save mine over theirs", look: "grave" }],
      wide: true,
      signal,
    });
    if (signal.aborted) return;
    base = theirs;
    if (choice === "mine") return put_();
    if (choice === "theirs") put({ ...wanted, name: theirs.name, lines: linesOf(theirs) });
    else show();
    announce(choice === "theirs" ? "The form shows theirs now." : "Your changes are still in the form.");
  }

  store.subscribe(["stock"], () => show(), signal);
  show();
  return form;
}

/** @param {Order} order */
const linesOf = (order) => Object.fromEntries(order.items.map((item) => [keyOf(item), item.qty]));

/**
 * What was there, what they made of it, and what we want, as far as they differ.
 * @param {Order} before
 * @param {Order} theirs
 * @param {{name: string, lines: Record<string, number>}} ours
 * @param {Map<string, import("./store.js").Item>} items
 */
function comparison(before, theirs, ours, items) {
  const [was, other] = [linesOf(before), linesOf(theirs)];
  const keys = [...new Set([was, other, ours.lines].flatMap(Object.keys))];
  const rows = [
    ["Name", before.name, theirs.name, ours.name.trim()],
    ...keys.map((key) => [items.get(key)?.name ?? key, ...[was, other, ours.lines].map((lines) => (lines[key] ?? 0).toLocaleString("en"))]),
  ].filter(([, first, second, third]) => first !== second || second !== third);
  return h("div", { class: "scroll", role: "region", "aria-label": "What differs", tabindex: "0" }, h("table", {},
    h("thead", {}, h("tr", {}, ["", "Before", "Theirs", "Yours"].map((text) => (text ? h("th", { scope: "col" }, text) : h("td", {}))))),
    h("tbody", {}, rows.map(([what, ...values]) => h("tr", {}, h("th", { scope: "row" }, what), values.map((value) => h("td", {}, value)))))));
}

/** Changes an order. If somebody else has changed it meanwhile, theirs and ours are shown, and the user chooses. */

import { alarm, announce } from "./announce.js";
import { unlessAborted } from "./api.js";
import { askWhich } from "./conflict.js";
import { h, replace } from "./dom.js";
import { check, itemsOf, withQty } from "./draft.js";
import { lineEditor } from "./lines.js";
import { keyOf } from "./money.js";
import { changeOrder, failure, linesOf, readOrder } from "./order_change.js";
import { newField } from "./order_form.js";
import { orderHash } from "./router.js";
import { unloaded } from "./words.js";

/**
 * @typedef {import("./order_change.js").Order} Order
 * @typedef {import("./pages.js").Context} Context
 */

/** @type {import("./pages.js").Page} */
export function edit(context) {
  const { id, store, signal } = context;
  const outcome = h("div", { class: "stack" });
  const body = h("div", { "aria-busy": "true" }, h("p", { class: "muted" }, "Loading…"));

  async function load() {
    const { order, answer } = await readOrder(id, signal);
    if (answer?.status === 401) return;
    body.removeAttribute("aria-busy");
    if (order) {
      replace(body, editor(context, order, outcome));
      return;
    }
    const text = unloaded(answer, store.state.online);
    alarm(text);
    replace(body, h("p", { class: "note warn" }, text, " ", h("a", { href: "#/orders" }, "To the orders")));
  }

  load().catch(unlessAborted(signal));
  return {
    title: "Change the order",
    element: h(
      "div",
      {},
      h("p", { class: "back" }, h("a", { href: orderHash(id) }, "Back to the order")),
      h(
        "div",
        { class: "page-head" },
        h(
          "div",
          {},
          h("h1", { tabindex: "-1" }, "Change the order"),
          h("p", { class: "muted" }, "No. ", h("span", { class: "mono" }, id)),
        ),
      ),
      outcome,
      body,
    ),
  };
}

/** @param {Context} context @param {Order} first @param {Element} outcome */
function editor(context, first, outcome) {
  const { id, store, signal } = context;
  let base = first;
  let wanted = wantedOf(first);
  let busy = false;
  let asked = false;
  const parts = formOf(id, { submit, change, add: (key) => change(withQty(wanted, key, 1)) });

  /** @param {typeof wanted} next */
  function change(next) {
    wanted = next;
    show();
  }

  /** @param {string | null} [refused] the line that was refused */
  function show(refused = null) {
    parts.update(wanted, base, store.state.stock.items, { busy, refused, problems: asked ? check(wanted) : {} });
  }

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    asked = true;
    show();
    const problems = Object.values(check(wanted));
    if (problems.length) alarm(problems.join(" "));
    else await save().catch(unlessAborted(signal));
  }

  async function save() {
    busy = true;
    show();
    const body = JSON.stringify({ name: wanted.name.trim(), items: itemsOf(wanted.lines) });
    const result = await changeOrder(context, outcome, { method: "PUT", etag: base.etag, body });
    busy = false;
    if (result.kind === "done") {
      context.stock.refresh();
      context.flash(orderHash(id), "The changes are saved.", result.answer?.requestId ?? null);
      location.hash = orderHash(id);
    } else if (result.answer?.status === 412) {
      show();
      await settle();
    } else {
      refuse(result);
    }
  }

  /** @param {import("./change.js").Outcome} result */
  function refuse(result) {
    const problem = result.answer?.problem;
    const text = failure(result, (key) => store.state.stock.items.get(key)?.name ?? key);
    alarm(text);
    replace(outcome, text && h("p", { class: "note wrong" }, text));
    show(problem?.category ? keyOf(/** @type {any} */ (problem)) : null);
    parts.save.focus();
  }

  /** Show what somebody else has made of the order, and do what the user says. */
  async function settle() {
    const { order: theirs, answer } = await readOrder(id, signal);
    if (!theirs) {
      const text =
        answer?.status === 404 ? "Somebody else has cancelled this order." : unloaded(answer, store.state.online);
      alarm(text);
      replace(outcome, h("p", { class: "note wrong" }, text));
      return;
    }
    const choice = await askWhich(base, theirs, wanted, store.state.stock.items, signal);
    // Whoever only leaves the question is asked again.
    if (choice) base = theirs;
    if (choice === "mine") {
      await save();
      return;
    }
    change(choice === "theirs" ? wantedOf(theirs) : wanted);
    announce(choice === "theirs" ? "The form shows theirs now." : "Your changes are still in the form, and not saved.");
  }

  store.subscribe(["stock"], () => show(), signal);
  show();
  return parts.form;
}

/**
 * The form and its parts.
 * @param {string} id
 * @param {{submit: (event: Event) => void, change: (next: any) => void, add: (key: string) => void}} on
 */
function formOf(id, { submit, change, add }) {
  let shown = wantedOf({ id, name: "", items: [], etag: "" });
  const name = newField("name", "Name of the order", "What you will find it by.", 200);
  const lines = lineEditor({
    put: (key, qty) => change(withQty(shown, key, qty)),
    empty: () => h("p", {}, "An order has at least one item."),
  });
  const goods = h("select", { id: "goods" });
  const more = h("button", { type: "button", onclick: () => goods.value && add(goods.value) }, "Add");
  const save = h("button", { type: "submit", class: "first" }, "Save the changes");
  name.input.addEventListener("input", () => change({ ...shown, name: name.input.value }));
  const form = h(
    "form",
    { class: "order-form", novalidate: true, onsubmit: submit },
    h(
      "section",
      { class: "card stack", "aria-labelledby": "lines-heading" },
      h("h2", { id: "lines-heading" }, "Items"),
      lines.element,
      h(
        "div",
        { class: "field" },
        h("label", { for: "goods" }, "Add an item"),
        h("div", { class: "row choose" }, goods, more),
      ),
    ),
    h(
      "section",
      { class: "card stack", "aria-labelledby": "about-heading" },
      h("h2", { id: "about-heading" }, "Details"),
      name.element,
      h("div", { class: "row" }, save, h("a", { class: "button", href: orderHash(id) }, "Leave it as it is")),
    ),
  );
  return {
    form,
    save,
    /** @param {typeof shown} wanted @param {Order} base @param {Map<string, import("./store.js").Item>} items @param {any} how */
    update(wanted, base, items, { busy, refused, problems }) {
      shown = wanted;
      name.update(wanted.name, problems.name, busy);
      lines.update(itemsOf(wanted.lines), items, {
        busy,
        problem: problems.lines,
        held: new Map(Object.entries(linesOf(base))),
        refused,
      });
      const others = [...items].filter(([key]) => !(key in wanted.lines));
      replace(
        goods,
        others.map(([key, item]) => h("option", { value: key }, item.name)),
      );
      more.disabled = busy || others.length === 0;
      save.disabled = busy;
    },
  };
}

/** @param {Order} order */
const wantedOf = (order) => ({ name: order.name, id: "", sub: "", lines: linesOf(order) });

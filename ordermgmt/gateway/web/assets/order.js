/** One order, its history, and the way to cancel it. */

import { alarm, announce } from "./announce.js";
import { look, unlessAborted } from "./api.js";
import { ask } from "./dialog.js";
import { h, replace } from "./dom.js";
import { lineTable, summary } from "./lines.js";
import { when } from "./money.js";
import { changeOrder, failure, orderPath, readOrder } from "./order_change.js";
import { watchOrder } from "./order_watch.js";
import { editHash } from "./router.js";
import { unloaded } from "./words.js";

/** @typedef {import("./order_change.js").Order} Order */

const ACTIONS = /** @type {Record<string, string>} */ ({
  created: "Ordered",
  updated: "Changed",
  cancelled: "Cancelled",
});

/** @type {import("./pages.js").Page} */
export function order(context) {
  const { id, store, note, signal } = context;
  const heading = h("h1", { tabindex: "-1" }, "Order");
  const outcome = h("div", { class: "stack" });
  const body = h("div", { class: "stack", "aria-busy": "true" }, h("p", { class: "muted" }, "Loading…"));
  const actions = h("div", { class: "row" });
  /** @type {{order: Order, history: import("./api.js").Answer | null} | null} */
  let shown = null;
  let isChanging = false;

  async function load() {
    const [{ order: found, answer }, history] = await Promise.all([
      readOrder(id, signal),
      look(`${orderPath(id)}/history`, signal),
    ]);
    if (answer?.status === 401 || history?.status === 401) return;
    note(history?.requestId ?? null);
    body.removeAttribute("aria-busy");
    shown = found && { order: found, history };
    if (found) show();
    else fail(answer);
  }

  function show() {
    if (!shown) return;
    const { order: found, history } = shown;
    const {
      session: { scopes },
      stock: { items },
    } = store.state;
    heading.textContent = found.name;
    document.title = `${found.name} - Order management`;
    replace(
      body,
      section("Items", scroller(lineTable(found.items, items))),
      section("History", historyOf(history, items)),
    );
    replace(
      actions,
      scopes.includes("update_order") && h("a", { class: "button", href: editHash(id) }, "Change"),
      scopes.includes("cancel_order") &&
        h(
          "button",
          { type: "button", class: "grave", key: found.etag, onclick: () => cancel(found) },
          "Cancel the order",
        ),
    );
  }

  async function changed() {
    await load();
    if (!shown || signal.aborted) return;
    const text = "This order was changed meanwhile. You see it as it is now.";
    announce(text);
    replace(outcome, h("p", { class: "note" }, text));
  }

  /** @param {import("./api.js").Answer | null} answer */
  function fail(answer) {
    const isGone = answer?.status === 404;
    const text = isGone
      ? "There is no order with this number. It may have been cancelled."
      : unloaded(answer, store.state.online);
    alarm(text);
    replace(actions);
    replace(
      body,
      h(
        "div",
        { class: "note warn stack" },
        h("p", {}, text),
        h(
          "p",
          { class: "row" },
          !isGone && h("button", { type: "button", onclick: () => load().catch(unlessAborted(signal)) }, "Try again"),
          h("a", { href: "#/orders" }, "To the orders"),
        ),
      ),
    );
  }

  /** @param {Order} found @param {boolean} [isOther] whether it is not what the user saw */
  async function cancel(found, isOther = false) {
    if (!(await confirmed(found, isOther, store.state.stock.items, signal))) return;
    isChanging = true;
    const result = await changeOrder(context, outcome, { method: "DELETE", etag: found.etag })
      .catch(unlessAborted(signal))
      .finally(() => {
        isChanging = false;
      });
    if (!result) return;
    if (result.kind === "done") {
      context.stock.refresh();
      context.flash(
        "#/orders",
        `“${found.name}” is cancelled. Its goods are back in stock.`,
        result.answer?.requestId ?? null,
      );
      location.hash = "#/orders";
    } else if (result.answer?.status === 412) {
      await load().catch(unlessAborted(signal));
      if (shown && !signal.aborted) await cancel(shown.order, true);
    } else {
      const text = failure(result);
      alarm(text);
      replace(outcome, text && h("p", { class: "note wrong" }, text));
    }
  }

  store.subscribe(["stock"], show, signal);
  watchOrder(id, { etag: () => (isChanging ? null : (shown?.order.etag ?? null)), changed }, signal);
  load().catch(unlessAborted(signal));
  return {
    title: "Order",
    element: h(
      "div",
      {},
      h("p", { class: "back" }, h("a", { href: "#/orders" }, "Orders")),
      h(
        "div",
        { class: "page-head" },
        h("div", {}, heading, h("p", { class: "muted" }, "No. ", h("span", { class: "mono" }, id))),
        actions,
      ),
      outcome,
      body,
    ),
  };
}

/**
 * Ask whether an order is to be cancelled.
 * @param {Order} found
 * @param {boolean} isOther
 * @param {Map<string, import("./store.js").Item>} items
 * @param {AbortSignal} signal
 */
async function confirmed({ name, items: lines }, isOther, items, signal) {
  const choice = await ask({
    title: isOther ? "Somebody else has changed this order" : `Cancel “${name}”?`,
    content: [
      h("p", {}, isOther ? `Meanwhile it is “${name}”: ${summary(lines, items)}.` : summary(lines, items)),
      h("p", {}, "Its goods go back into the stock. This cannot be undone."),
    ],
    buttons: [
      { value: "keep", text: "Keep the order" },
      { value: "cancel", text: isOther ? "Cancel it nevertheless" : "Cancel the order", look: "grave" },
    ],
    signal,
  });
  return choice === "cancel";
}

/** @param {string} title @param {Node} content */
function section(title, content) {
  const id = title.toLowerCase();
  return h("section", { class: "card stack", "aria-labelledby": id }, h("h2", { id }, title), content);
}

/** @param {Node} table */
const scroller = (table) =>
  h("div", { class: "scroll", role: "region", "aria-label": "Table of the items", tabindex: "0" }, table);

/** @param {import("./api.js").Answer | null} history @param {Map<string, import("./store.js").Item>} items */
function historyOf(history, items) {
  if (history?.status === 404) return h("p", { class: "muted" }, "The history is shown to whose order it is.");
  if (history?.status !== 200) return h("p", { class: "muted" }, "The history cannot be shown now.");
  return h(
    "ol",
    { class: "history", role: "list" },
    [...history.data.changes]
      .reverse()
      .map((change) =>
        h(
          "li",
          {},
          h(
            "p",
            {},
            h("strong", {}, ACTIONS[change.action] ?? change.action),
            " by ",
            change.full_name ? `${change.full_name} (${change.subject})` : change.subject,
            change.actor && ` through ${change.actor.replace(/^client:/, "")}`,
          ),
          h("p", { class: "small" }, `“${change.name}”: ${summary(change.items, items)}`),
          h("p", { class: "muted small" }, h("time", { datetime: change.at }, when(change.at))),
        ),
      ),
  );
}

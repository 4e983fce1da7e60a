/** One order, its history, and the way to cancel it. */

import { alarm, announce } from "./announce.js";
import { Lost, send } from "./api.js";
import { carryOut, newAlarm, newKey } from "./change.js";
import { ask } from "./dialog.js";
import { h, replace } from "./dom.js";
import { lineTable, summary } from "./lines.js";
import { when } from "./money.js";
import { editHash } from "./router.js";
import { next, refusal, unloaded, waiting } from "./words.js";

/** @typedef {{id: string, name: string, items: any[], etag: string}} Order */

const ACTIONS = /** @type {Record<string, string>} */ ({ created: "Ordered", updated: "Changed", cancelled: "Cancelled" });

/**
 * Read an order as it is now; null if there is none any more.
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<{order: Order | null, answer: import("./api.js").Answer}>}
 */
export async function readOrder(id, signal) {
  const answer = await send("GET", `/api/order/${encodeURIComponent(id)}`, { signal });
  return { order: answer.status === 200 ? { ...answer.data, etag: answer.etag } : null, answer };
}

/**
 * Carry out a change of an order, and tell in `place` how it goes.
 * @param {import("./pages.js").Context} context
 * @param {Element} place
 * @param {{method: string, etag: string, body?: string}} change
 */
export async function changeOrder({ id, store, signal }, place, { method, etag, body }) {
  const { pause, wake } = newAlarm();
  addEventListener("online", wake, { signal });
  const headers = { "if-match": etag, "idempotency-key": `"${newKey()}"` };
  try {
    return await carryOut({ method, path: `/api/order/${encodeURIComponent(id)}`, body, headers }, { send, pause, tell, signal });
  } finally {
    replace(place);
  }

  /** @param {import("./change.js").Step} step */
  function tell({ state, unknown, answer, seconds, tries }) {
    if (state === "sending") {
      if (tries === 1) announce("Sending.");
      replace(place, h("p", { class: "note" }, h("span", { class: "spinner", "aria-hidden": "true" }), unknown ? "Asking what became of it…" : "Sending…"));
      return;
    }
    const why = waiting(answer, unknown, store.state.online);
    alarm(why);
    replace(place, h("div", { class: "note warn stack" }, h("p", {}, why), h("p", {}, next(seconds, unknown)),
      h("p", {}, h("button", { type: "button", onclick: wake }, "Ask now"))));
  }
}

/**
 * Say what a change came to, if it did not come to its end.
 * @param {import("./change.js").Outcome} outcome
 */
export function failure({ kind, answer, unknown }) {
  if (kind === "given-up") return unknown ? "Whether it was done is not known. Look at the order again later." : "It was not done. Try again later.";
  return answer ? refusal(answer) : "";
}

/** @type {import("./pages.js").Page} */
export function order(context) {
  const { id, store, note, signal } = context;
  const heading = h("h1", { tabindex: "-1" }, "Order");
  const outcome = h("div", { class: "stack" });
  const body = h("div", { class: "stack", "aria-busy": "true" }, h("p", { class: "muted" }, "Loading…"));
  const actions = h("div", { class: "row" });

  async function load() {
    try {
      const [{ order: found, answer }, history] = await Promise.all([
        readOrder(id, signal),
        send("GET", `/api/order/${encodeURIComponent(id)}/history`, { signal }),
      ]);
      note(history.requestId);
      if (found && history.status !== 401) show(found, history);
      else if (answer.status !== 401) fail(answer);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Lost)) throw error;
      fail(null);
    }
  }

  /** @param {Order} found @param {import("./api.js").Answer} history */
  function show(found, history) {
    const { scopes } = store.state.session;
    heading.textContent = found.name;
    document.title = `${found.name} - Order management`;
    body.removeAttribute("aria-busy");
    const draw = () => replace(body,
      h("section", { class: "card stack", "aria-labelledby": "items" }, h("h2", { id: "items" }, "Items"),
        h("div", { class: "scroll", role: "region", "aria-label": "Table of the items", tabindex: "0" }, lineTable(found.items, store.state.stock.items))),
      h("section", { class: "card stack", "aria-labelledby": "history" }, h("h2", { id: "history" }, "History"), historyOf(history, store.state.stock.items)));
    draw();
    store.subscribe(["stock"], draw, signal);
    replace(actions,
      scopes.includes("update_order") && h("a", { class: "button", href: editHash(id) }, "Change"),
      scopes.includes("cancel_order") && h("button", { type: "button", class: "grave", onclick: () => cancel(found) }, "Cancel the order"));
  }

  /** @param {import("./api.js").Answer | null} answer */
  function fail(answer) {
    body.removeAttribute("aria-busy");
    const isGone = answer?.status === 404;
    const text = isGone ? "There is no order with this number. It may have been cancelled." : unloaded(answer, store.state.online);
    alarm(text);
    replace(actions);
    replace(body, h("div", { class: "note warn stack" }, h("p", {}, text),
      h("p", { class: "row" }, !isGone && h("button", { type: "button", onclick: load }, "Try again"), h("a", { href: "#/orders" }, "To the orders"))));
  }

  /** @param {Order} found @param {Order | null} [before] what the user saw when it was cancelled first */
  async function cancel(found, before = null) {
    const { items } = store.state.stock;
    const choice = await ask({
      title: before ? "Somebody else has changed this order" : `Cancel “${found.name}”?`,
      content: [
        before ? h("p", {}, `Meanwhile it is “${found.name}”: ${summary(found.items, items)}.`) : h("p", {}, summary(found.items, items)),
        h("p", {}, "Its goods go back into the stock. This cannot be undone."),
      ],
      buttons: [{ value: "keep", text: "Keep the order" }, { value: "cancel", text: before ? "Cancel it nevertheless" : "Cancel the order", look: "grave" }],
      signal,
    });
    if (choice !== "cancel") return;
    const result = await changeOrder(context, outcome, { method: "DELETE", etag: found.etag });
    if (signal.aborted) return;
    await cancelled(found, result);
  }

  /** @param {Order} found @param {import("./change.js").Outcome} result */
  async function cancelled(found, result) {
    if (result.kind === "done") {
      context.stock.refresh();
      context.flash("#/orders", `“${found.name}” is cancelled. Its goods are back in stock.`, result.answer?.requestId ?? null);
      location.hash = "#/orders";
    } else if (result.answer?.status === 412) {
      const { order: now } = await readOrder(id, signal);
      await load();
      if (now) await cancel(now, found);
    } else {
      const text = failure(result);
      alarm(text);
      replace(outcome, text && h("p", { class: "note wrong" }, text));
    }
  }

  load();
  return {
    title: "Order",
    element: h("div", {},
      h("p", { class: "back" }, h("a", { href: "#/orders" }, "Orders")),
      h("div", { class: "page-head" }, h("div", {}, heading, h("p", { class: "muted" }, "No. ", h("span", { class: "mono" }, id))), actions),
      outcome, body),
  };
}

/** @param {import("./api.js").Answer} history @param {Map<string, import("./store.js").Item>} items */
function historyOf({ status, data }, items) {
  if (status === 404) return h("p", { class: "muted" }, "The history is shown to whose order it is.");
  if (status !== 200) return h("p", { class: "muted" }, "The history cannot be shown now.");
  return h("ol", { class: "history", role: "list" }, [...data.changes].reverse().map((change) => h("li", {},
    h("p", {}, h("strong", {}, ACTIONS[change.action] ?? change.action), " by ", change.subject, change.actor && ` through ${change.actor.replace(/^client:/, "")}`),
    h("p", { class: "small" }, `“${change.name}”: ${summary(change.items, items)}`),
    h("p", { class: "muted small" }, h("time", { datetime: change.at }, when(change.at))))));
}

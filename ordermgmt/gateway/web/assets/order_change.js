/** Reads an order, and carries out a change of it while its page is shown. */

import { alarm, announce } from "./announce.js";
import { look, send } from "./api.js";
import { carryOut, newAlarm, newKey } from "./change.js";
import { h, replace } from "./dom.js";
import { keyOf } from "./money.js";
import { next, refusal, waiting } from "./words.js";

/** @typedef {{id: string, name: string, items: {category: string, code: string, qty: number}[], etag: string}} Order */

/** @param {string} id */
export const orderPath = (id) => `/api/order/${encodeURIComponent(id)}`;

/** How many of each `category/code`. @param {Order} order */
export const linesOf = (order) => Object.fromEntries(order.items.map((item) => [keyOf(item), item.qty]));

/**
 * Read an order as it is now; it is null if it cannot be read, and `answer` if there was none.
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<{order: Order | null, answer: import("./api.js").Answer | null}>}
 */
export async function readOrder(id, signal) {
  const answer = await look(orderPath(id), signal);
  return { order: answer?.status === 200 ? { ...answer.data, etag: answer.etag } : null, answer };
}

/**
 * Carry out a change of an order, and tell in `place` how it goes. Throws the reason of the page's signal.
 * @param {import("./pages.js").Context} context
 * @param {Element} place
 * @param {{method: string, etag: string, body?: string}} change
 */
export async function changeOrder({ id, store, signal }, place, { method, etag, body }) {
  const { pause, wake } = newAlarm();
  addEventListener("online", wake, { signal });
  const headers = { "if-match": etag, "idempotency-key": `"${newKey()}"` };
  try {
    return await carryOut({ method, path: orderPath(id), body, headers }, { send, pause, tell, signal });
  } finally {
    replace(place);
  }

  /** @param {import("./change.js").Step} step */
  function tell({ state, unknown, answer, seconds, tries }) {
    if (state === "sending") {
      if (tries === 1) announce("Sending.");
      replace(
        place,
        h(
          "p",
          { class: "note" },
          h("span", { class: "spinner", "aria-hidden": "true" }),
          unknown ? "Asking what became of it…" : "Sending…",
        ),
      );
      return;
    }
    const why = waiting(answer, unknown, store.state.online);
    alarm(why);
    replace(
      place,
      h(
        "div",
        { class: "note warn stack" },
        h("p", {}, why),
        h("p", {}, next(seconds, unknown)),
        h("p", {}, h("button", { type: "button", onclick: wake }, "Ask now")),
      ),
    );
  }
}

/**
 * Say why a change did not come to its end; nothing if the page says so already.
 * @param {import("./change.js").Outcome} outcome
 * @param {(key: string) => string} [nameOf]
 */
export function failure({ kind, answer, unknown }, nameOf) {
  if (kind === "refused" && answer) return refusal(answer, nameOf);
  if (kind !== "given-up") return "";
  return unknown
    ? "Whether it was done is not known. Look at the order again later."
    : "It was not done. Try again later.";
}

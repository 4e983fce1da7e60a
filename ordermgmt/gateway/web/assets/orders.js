/** The list of orders, newest first, which goes on as far as one scrolls. */

import { announce, alarm } from "./announce.js";
import { look, unlessAborted } from "./api.js";
import { h, replace } from "./dom.js";
import { summary } from "./lines.js";
import { counted, dollars, total, when } from "./money.js";
import { orderHash } from "./router.js";
import { unloaded } from "./words.js";

const PAGE = 20;

/** @type {import("./pages.js").Page} */
export function orders({ store, note, signal }) {
  const isEverybody = store.state.session.scopes.includes("read_all_orders");
  const title = isEverybody ? "All orders" : "My orders";
  const list = h("ol", { class: "orders", role: "list", "aria-label": `${title}, newest first` });
  const end = h("div", { class: "stack more" });
  const more = h("button", { type: "button", onclick: () => load(true) }, "Show older orders");
  /** @type {string | null} */
  let cursor = null;
  let loading = false;
  let count = 0;

  /** @param {boolean} byHand */
  async function load(byHand) {
    if (loading || signal.aborted) return;
    loading = true;
    list.setAttribute("aria-busy", "true");
    replace(end, h("p", { class: "muted" }, h("span", { class: "spinner", "aria-hidden": "true" }), "Loading…"));
    const query = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
    const answer = await look(`/api/order?limit=${PAGE}${query}`, signal).catch(unlessAborted(signal));
    if (signal.aborted) return;
    loading = false;
    list.removeAttribute("aria-busy");
    if (answer?.status === 200) show(answer, byHand);
    else if (answer?.status !== 401) fail(answer ?? null);
  }

  /** @param {import("./api.js").Answer} answer @param {boolean} byHand */
  function show({ data, requestId }, byHand) {
    const fresh = data.orders.map((order) => entry(order, store.state.stock.items));
    list.append(...fresh);
    count += fresh.length;
    const isFirst = cursor === null;
    cursor = data.next ?? null;
    if (isFirst) note(requestId);
    replace(
      end,
      count === 0
        ? nothing()
        : cursor
          ? more
          : h("p", { class: "muted small" }, `${counted(count, "order")}. There are no older ones.`),
    );
    announce(isFirst ? `${counted(count, "order")} shown.` : `${counted(fresh.length, "more order")} shown.`);
    if (byHand) fresh[0]?.querySelector("a")?.focus();
    if (cursor) watcher.observe(more);
  }

  /** @param {import("./api.js").Answer | null} answer */
  function fail(answer) {
    const text = unloaded(answer, store.state.online);
    alarm(text);
    replace(
      end,
      h("p", { class: "note warn" }, text, " The orders could not be loaded."),
      h("p", {}, h("button", { type: "button", onclick: () => load(true) }, "Try again")),
    );
  }

  const watcher = new IntersectionObserver(
    (seen) => {
      if (seen.some((entryOfMore) => entryOfMore.isIntersecting)) {
        watcher.disconnect();
        load(false);
      }
    },
    { rootMargin: "200px" },
  );
  signal.addEventListener("abort", () => watcher.disconnect());
  load(false);

  return {
    title,
    element: h(
      "div",
      {},
      h(
        "div",
        { class: "page-head" },
        h("h1", { tabindex: "-1" }, title),
        h("a", { class: "button first", href: "#/new" }, "New order"),
      ),
      list,
      end,
    ),
  };
}

function nothing() {
  return h(
    "div",
    { class: "card stack narrow" },
    h("h2", {}, "No orders yet"),
    h("p", {}, "What you order is listed here, the newest first."),
    h("p", {}, h("a", { class: "button first", href: "#/" }, "To the catalogue")),
  );
}

/**
 * @param {{id: string, name: string, items: any[], created: string, updated: string}} order
 * @param {Map<string, import("./store.js").Item>} items
 */
function entry(order, items) {
  const amount = total(order.items, items);
  return h(
    "li",
    { class: "order-card" },
    h(
      "div",
      { class: "order-main" },
      h("h2", {}, h("a", { href: orderHash(order.id) }, order.name)),
      h("p", {}, summary(order.items, items)),
      h(
        "p",
        { class: "muted small" },
        "No. ",
        h("span", { class: "mono" }, order.id),
        " · ",
        h("time", { datetime: order.created }, when(order.created)),
        order.updated !== order.created && " · changed since",
      ),
    ),
    amount !== null && h("p", { class: "order-sum number" }, dollars(amount)),
  );
}

/** The pages by name, and what each of them is given. */

import { h } from "./dom.js";
import { catalogue } from "./catalogue.js";
import { signInPath } from "./router.js";

/**
 * @typedef {{store: import("./store.js").Store,
 *   checkout: ReturnType<typeof import("./checkout.js").openCheckout>,
 *   stock: ReturnType<typeof import("./stock.js").watchStock>,
 *   note: (requestId: string | null) => void, flash: (hash: string, text: string, requestId: string | null) => void,
 *   id: string, signal: AbortSignal}} Context
 * `note` is told of each request whose path may be shown; `signal` is aborted when the page is left.
 * @typedef {(context: Context) => {title: string, element: HTMLElement}} Page
 */

/** Pages that only their user may see. */
const PRIVATE = new Set(["orders", "order", "edit"]);

/**
 * Find a page; all but the first one are loaded when they are needed.
 * @param {import("./router.js").Route} route
 * @param {import("./store.js").Session} session
 * @returns {Promise<Page>}
 */
export async function pageOf({ page }, session) {
  if (PRIVATE.has(page) && session.state === "unknown") return waitForSession;
  if (PRIVATE.has(page) && session.state === "out") return signInFirst;
  switch (page) {
    case "catalogue":
      return catalogue;
    case "new":
      return (await import("./order_form.js")).orderForm;
    case "orders":
      return (await import("./orders.js")).orders;
    case "order":
      return (await import("./order.js")).order;
    case "edit":
      return (await import("./edit.js")).edit;
    default:
      return nowhere;
  }
}

/** @type {Page} */
function waitForSession() {
  return {
    title: "One moment",
    element: h(
      "div",
      { "aria-busy": "true" },
      h("h1", { tabindex: "-1" }, "One moment…"),
      h("p", { class: "muted" }, "Looking who you are."),
    ),
  };
}

/** @type {Page} */
function signInFirst({ store }) {
  return {
    title: "Sign in",
    element: h(
      "div",
      { class: "card stack narrow" },
      h("h1", { tabindex: "-1" }, store.state.session.lost ? "You are signed out" : "Sign in to see your orders"),
      h("p", {}, "Orders are shown to those who made them. The catalogue is open to everybody."),
      h(
        "p",
        { class: "row" },
        h("a", { class: "button first", href: signInPath(location.hash) }, "Sign in"),
        h("a", { class: "button", href: "#/" }, "To the catalogue"),
      ),
    ),
  };
}

/** A page whose program did not come. @type {Page} */
export function unreachable() {
  return {
    title: "No connection",
    element: h(
      "div",
      { class: "stack" },
      h("h1", { tabindex: "-1" }, "This page could not be loaded"),
      h("p", {}, "There was no answer."),
      h("p", {}, h("button", { type: "button", onclick: () => location.reload() }, "Try again")),
    ),
  };
}

/** @type {Page} */
function nowhere() {
  return {
    title: "Nothing here",
    element: h(
      "div",
      { class: "stack" },
      h("h1", { tabindex: "-1" }, "There is nothing here"),
      h("p", {}, h("a", { href: "#/" }, "To the catalogue")),
    ),
  };
}

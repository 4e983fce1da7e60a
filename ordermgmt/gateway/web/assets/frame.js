/** What is around the page: where one is, who one is, what is said, and what there is besides. */

import { isUnderWay } from "./checkout.js";
import { h, replace } from "./dom.js";
import { parse, signInPath } from "./router.js";

/** @typedef {import("./store.js").State} State */

const TABS = /** @type {const} */ ([
  ["#/", "Catalogue", ["catalogue"]],
  ["#/new", "New order", ["new"]],
  ["#/orders", "Orders", ["orders", "order", "edit"]],
]);

/**
 * Show what the state says.
 * @param {State} state
 * @param {() => void} signOut
 */
export function showFrame(state, signOut) {
  const { session, flash, path } = state;
  put("tabs", tabs(state));
  put("account", session.state === "in" && account(session.name, signOut), session.state === "out" && signIn());
  put("notices", notices(state));
  put(
    "more",
    path && !flash?.hasPath && happened(path),
    session.scopes.includes("operate") && h("a", { href: "/operate" }, "Operations"),
  );
}

/** @param {string} id @param {...any} children */
function put(id, ...children) {
  replace(/** @type {Element} */ (document.getElementById(id)), ...children);
}

/** @param {State} state */
function tabs({ draft }) {
  const page = parse(location.hash)?.page;
  return TABS.map(([href, text, pages]) => {
    const isHere = pages.some((one) => one === page);
    const current = page === pages[0] ? "page" : isHere && "true";
    return h("a", { href, "aria-current": current }, text, href === "#/new" && count(draft));
  });
}

/** @param {import("./draft.js").Draft} draft */
function count({ lines }) {
  const sum = Object.values(lines).reduce((all, qty) => all + qty, 0);
  if (sum === 0) return null;
  const unit = h("span", { class: "hide-visually" }, sum === 1 ? " piece" : " pieces");
  return h("span", { class: "count number" }, sum.toLocaleString("en"), unit);
}

/** @param {string} name @param {() => void} signOut */
function account(name, signOut) {
  return [
    h("span", { class: "user" }, h("span", { class: "hide-visually" }, "Signed in as "), name),
    h("button", { type: "button", id: "sign-out", key: "sign-out", onclick: signOut }, "Sign out"),
  ];
}

const signIn = () => h("a", { class: "button", href: signInPath(location.hash) }, "Sign in");

/** @param {State} state */
function notices({ online, flash, attempt }) {
  const isElsewhere = isUnderWay(attempt) && parse(location.hash)?.page !== "new";
  return [
    !online && h("p", { class: "notice note warn" }, "You are offline. What is shown may be out of date."),
    flash &&
      h(
        "div",
        { class: `notice note ${flash.look} row` },
        h("p", {}, flash.text),
        flash.hasPath && happened(flash.requestId),
      ),
    isElsewhere &&
      h(
        "p",
        { class: "notice note warn" },
        `“${attempt?.name}” is on its way. `,
        h("a", { href: "#/new" }, "See how it goes"),
      ),
  ];
}

/** The button that shows the way of a request. @param {string | null} id */
function happened(id) {
  const onclick = async () => (await import("./path.js")).showPath(id);
  return h(
    "button",
    { type: "button", class: "plain", "aria-haspopup": "dialog", key: id, onclick },
    "What just happened?",
  );
}

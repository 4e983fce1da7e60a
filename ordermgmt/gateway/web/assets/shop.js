/** Starts the shop: puts the parts together, and shows the page that the address names. */

import { announce } from "./announce.js";
import { openCheckout, isUnderWay } from "./checkout.js";
import { h, replace } from "./dom.js";
import { openDrafts } from "./draft.js";
import { pageOf, unreachable } from "./pages.js";
import { orderHash, parse, signInPath } from "./router.js";
import { openSession } from "./session.js";
import { watchStock } from "./stock.js";
import { SIGNED_OUT, Store } from "./store.js";

const TABS = /** @type {const} */ ([["#/", "Catalogue", ["catalogue"]], ["#/new", "New order", ["new"]], ["#/orders", "Orders", ["orders", "order", "edit"]]]);

const main = document.getElementById("main");
const drafts = openDrafts(sessionStorage);
const store = new Store({
  session: { ...SIGNED_OUT, state: "unknown" },
  stock: { state: "loading", items: new Map(), more: false, at: 0 },
  draft: drafts.load(),
  attempt: null,
  flash: null,
  path: null,
  online: navigator.onLine,
});
const stock = watchStock(store);
const checkout = openCheckout(store, drafts, {
  placed(id, requestId) {
    stock.refresh();
    const goes = location.hash === "#/new";
    flash(goes ? orderHash(id) : location.hash, "Your order is placed.", requestId);
    if (goes) location.hash = orderHash(id);
  },
});
const session = openSession(store, { forget: checkout.forget });

/** Say what was done, on the page that the user is taken to. @param {string} hash @param {string} text @param {string | null} requestId */
function flash(hash, text, requestId) {
  announce(text);
  store.update({ flash: { text, hash, requestId, hasPath: false } });
  note(requestId);
}

/** Offer the path of a request, if the server keeps it. @param {string | null} requestId */
async function note(requestId) {
  if (!requestId || store.state.session.state !== "in") return;
  const { findPath } = await import("./path.js");
  if (!(await findPath(requestId))) return;
  const { flash: said } = store.state;
  if (said?.requestId === requestId) store.update({ flash: { ...said, hasPath: true } });
  else store.update({ path: requestId });
}

let leaving = new AbortController();
let shown = "";

/** Show the page of the address. @param {{focus: boolean}} how */
async function show({ focus }) {
  const route = parse(location.hash);
  if (!route) return;
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const hash = location.hash;
  const { flash: said } = store.state;
  if (said && said.hash !== hash && shown === said.hash) store.update({ flash: null });
  const page = await pageOf(route, store.state.session).catch(() => unreachable);
  if (signal.aborted) return;
  shown = hash;
  const { title, element } = page({ store, stock, checkout, note, flash, id: route.id, signal });
  document.title = `${title} - Order management`;
  main.replaceChildren(element);
  showFrame();
  if (focus) {
    scrollTo(0, 0);
    main.querySelector("h1")?.focus();
  }
}

/** Show what is around the page. */
function showFrame() {
  const { session: { state, name, scopes }, draft, flash: said, path, online, attempt } = store.state;
  const route = parse(location.hash);
  const count = Object.values(draft.lines).reduce((sum, qty) => sum + qty, 0);
  replace(document.getElementById("tabs"), TABS.map(([href, text, pages]) => {
    const isHere = pages.some((page) => page === route?.page);
    const isPage = isHere && route?.page === pages[0];
    return h("a", { href, "aria-current": isPage ? "page" : isHere && "true" }, text, href === "#/new" && count > 0 && h("span", { class: "count number" }, count.toLocaleString("en"), h("span", { class: "hide-visually" }, count === 1 ? " piece" : " pieces")));
  }));
  replace(document.getElementById("account"), state === "in" && [h("span", { class: "user" }, h("span", { class: "hide-visually" }, "Signed in as "), name), h("button", { type: "button", id: "sign-out", key: "sign-out", onclick: signOut }, "Sign out")],
    state === "out" && h("a", { class: "button", href: signInPath(location.hash) }, "Sign in"));
  replace(document.getElementById("notices"),
    !online && h("p", { class: "notice note warn" }, "You are offline. What is shown may be out of date."),
    said && h("div", { class: "notice note good row" }, h("p", {}, said.text), said.hasPath && happened(said.requestId)),
    isUnderWay(attempt) && route?.page !== "new" && h("p", { class: "notice note warn" }, `“${attempt.name}” is on its way. `, h("a", { href: "#/new" }, "See how it goes")));
  replace(document.getElementById("more"),
    path && !said?.hasPath && happened(path),
    scopes.includes("operate") && h("a", { href: "/operate" }, "Operations"));
}

/** @param {string} id */
function happened(id) {
  return h("button", { type: "button", class: "plain", "aria-haspopup": "dialog", key: id, onclick: async () => (await import("./path.js")).showPath(id) }, "What just happened?");
}

async function signOut() {
  const button = /** @type {HTMLButtonElement} */ (document.getElementById("sign-out"));
  button.disabled = true;
  try {
    await session.signOut();
  } catch {
    announce("You are still signed in: there was no answer. Try again.");
  }
  button.disabled = false;
}

/** A draft belongs to whoever is signed in; somebody else's is not shown. */
function adopt() {
  const { session: { state, sub }, draft } = store.state;
  if (state !== "in") return;
  const attempt = drafts.attempt();
  if ((draft.sub && draft.sub !== sub) || (attempt && attempt.sub !== sub)) checkout.forget();
  else if (draft.sub !== sub) checkout.keep(draft);
  checkout.resume();
}

store.subscribe(["session"], (now, before) => {
  adopt();
  showFrame();
  const isOther = now.session.state !== before.session.state || now.session.sub !== before.session.sub;
  if (now.session.state === "out" && before.session.state === "in") announce("You are signed out.");
  if (isOther && parse(location.hash)?.page !== "catalogue" && parse(location.hash)?.page !== "new") show({ focus: before.session.state === "in" });
});
store.subscribe(["draft", "flash", "path", "online", "attempt"], showFrame);

addEventListener("hashchange", () => show({ focus: true }));
addEventListener("online", () => store.update({ online: true }));
addEventListener("offline", () => store.update({ online: false }));
// A page that the browser keeps for "back" shows nothing when it comes back: the user may have signed out since.
addEventListener("pagehide", () => main.replaceChildren());
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) location.reload();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.querySelector("h1")?.focus();
  main.scrollIntoView();
});

show({ focus: false });
stock.refresh();
session.start();

/** Starts the shop: puts the parts together, and shows the page that the address names. */

import { announce } from "./announce.js";
import { openCheckout } from "./checkout.js";
import { openDrafts } from "./draft.js";
import { showFrame } from "./frame.js";
import { pageOf, unreachable } from "./pages.js";
import { orderHash, parse } from "./router.js";
import { openSession } from "./session.js";
import { watchStock } from "./stock.js";
import { SIGNED_OUT, Store } from "./store.js";

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

/**
 * Say what was done, on the page that the user is taken to.
 * @param {string} hash
 * @param {string} text
 * @param {string | null} requestId
 */
function flash(hash, text, requestId) {
  announce(text);
  store.update({ flash: { text, hash, requestId, hasPath: false, look: "good" } });
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
  frame();
  if (focus) {
    scrollTo(0, 0);
    main.querySelector("h1")?.focus();
  }
}

const frame = () => showFrame(store.state, signOut);

async function signOut() {
  const button = /** @type {HTMLButtonElement} */ (document.getElementById("sign-out"));
  button.disabled = true;
  const isOut = await session.signOut();
  button.disabled = false;
  if (isOut) return;
  const text = "You are still signed in: the shop did not answer. Try again.";
  announce(text);
  store.update({ flash: { text, hash: location.hash, requestId: null, hasPath: false, look: "warn" } });
}

/** What a request said is its user's alone. */
function closePanel() {
  for (const panel of document.querySelectorAll("dialog.panel")) {
    /** @type {HTMLDialogElement} */ (panel).close();
    panel.remove();
  }
}

/** A draft belongs to whoever is signed in; somebody else's is not shown. */
function adopt() {
  const {
    session: { state, sub },
    draft,
  } = store.state;
  if (state !== "in") return;
  const attempt = drafts.attempt();
  if ((draft.sub && draft.sub !== sub) || (attempt && attempt.sub !== sub)) checkout.forget();
  else if (draft.sub !== sub) checkout.keep(draft);
  checkout.resume();
}

store.subscribe(["session"], (now, before) => {
  adopt();
  frame();
  const isOther = now.session.state !== before.session.state || now.session.sub !== before.session.sub;
  const wasIn = before.session.state === "in";
  if (isOther) closePanel();
  if (wasIn && now.session.state === "out") announce("You are signed out.");
  // The catalogue is the same for everybody, and the form follows the session by itself.
  if (isOther && !["catalogue", "new"].includes(parse(location.hash)?.page ?? "")) show({ focus: wasIn });
});
store.subscribe(["draft", "flash", "path", "online", "attempt"], frame);

addEventListener("hashchange", () => show({ focus: true }));
addEventListener("online", () => store.update({ online: true }));
addEventListener("offline", () => store.update({ online: false }));
// A page that the browser keeps for "back" shows nothing when it comes back: the user may have signed out since.
addEventListener("pagehide", () => {
  main.replaceChildren();
  closePanel();
});
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

/** The draft as a form: name, number, lines; and what becomes of it once it is sent. */

import { alarm } from "./announce.js";
import { h, replace } from "./dom.js";
import { isUnderWay, refusedLine } from "./checkout.js";
import { check, EMPTY, isEmpty, itemsOf, withQty } from "./draft.js";
import { lineEditor } from "./lines.js";
import { signInPath } from "./router.js";
import { next, refusal, waiting } from "./words.js";

/** @type {import("./pages.js").Page} */
export function orderForm({ store, checkout, signal }) {
  const change = checkout.keep;
  let asked = false;
  const state = h("div", { class: "stack", id: "outcome" });
  const name = newField("name", "Name of the order", "What you will find it by, such as “Office move”.", 200);
  const number = newField("id", "Order number (optional)", "Up to 64 letters, digits, _ and -. Left empty, it gets one.", 64);
  const lines = lineEditor({
    put: (key, qty) => change(withQty(store.state.draft, key, qty)),
    empty: () => h("p", {}, "Nothing yet. ", h("a", { href: "#/" }, "Choose from the catalogue"), "."),
  });
  const send = h("button", { type: "submit", class: "first" }, "Place the order");
  const signIn = h("a", { class: "button first", href: signInPath("#/new") }, "Sign in to order");
  const clear = h("button", { type: "button", class: "plain", onclick: () => change(EMPTY) }, "Clear the draft");
  const form = h("form", { class: "order-form", novalidate: true, onsubmit: submit },
    h("section", { class: "card stack", "aria-labelledby": "lines-heading" },
      h("h2", { id: "lines-heading" }, "Items"), lines.element),
    h("section", { class: "card stack", "aria-labelledby": "about-heading" },
      h("h2", { id: "about-heading" }, "Details"), name.element, number.element,
      h("div", { class: "row" }, send, signIn, clear)));

  for (const field of [name, number]) {
    field.input.addEventListener("input", () => change({ ...store.state.draft, [field.id]: field.input.value }));
  }

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    asked = true;
    show();
    const problems = check(store.state.draft);
    alarm(Object.values(problems).join(" "));
    if (problems.name) name.input.focus();
    else if (problems.id) number.input.focus();
    if (Object.keys(problems).length || isUnderWay(store.state.attempt) || store.state.session.state !== "in") return;
    checkout.submit();
  }

  function show() {
    const { draft, session, attempt, stock: { items } } = store.state;
    const busy = isUnderWay(attempt);
    const problems = asked ? check(draft) : {};
    const kind = attempt?.state === "refused" ? attempt.answer?.problem?.kind : "";
    name.update(draft.name, problems.name, busy);
    number.update(draft.id, problems.id ?? (kind === "order-exists" ? refusal(attempt.answer) : ""), busy);
    lines.update(itemsOf(draft.lines), items, { busy, problem: problems.lines, refused: refusedLine(attempt) });
    send.hidden = session.state !== "in";
    signIn.hidden = session.state !== "out";
    send.disabled = busy;
    clear.hidden = busy || isEmpty(draft);
    form.setAttribute("aria-busy", String(attempt?.state === "sending"));
  }

  function showState() {
    replace(state, signedOutNote(store.state), outcomeNote(store, checkout));
  }

  const ticking = setInterval(() => {
    const { attempt } = store.state;
    const countdown = state.querySelector(".countdown");
    if (countdown && attempt?.state === "waiting") countdown.textContent = next(secondsLeft(attempt), attempt.unknown);
  }, 1000);
  signal.addEventListener("abort", () => clearInterval(ticking));
  store.subscribe(["draft", "session", "attempt", "stock"], () => {
    show();
    showState();
  }, signal);
  store.subscribe(["attempt"], ({ attempt }) => {
    if (attempt?.state === "refused") state.querySelector("h2")?.focus();
  }, signal);
  show();
  showState();

  return {
    title: "New order",
    element: h("div", {}, h("div", { class: "page-head" }, h("h1", { tabindex: "-1" }, "New order")), state, form),
  };
}

/** @param {import("./store.js").State} state */
function signedOutNote({ session, draft }) {
  if (session.state !== "out" || !session.lost) return null;
  return h("p", { class: "note warn" }, "You are signed out.",
    !isEmpty(draft) && " Your draft is kept.", " ", h("a", { href: signInPath("#/new") }, "Sign in again"));
}

/**
 * Tell the state of what was sent: on its way, not known yet, or refused.
 * @param {import("./store.js").Store} store
 * @param {ReturnType<typeof import("./checkout.js").openCheckout>} checkout
 */
function outcomeNote(store, checkout) {
  const { attempt, online, draft, stock: { items } } = store.state;
  if (!attempt) return null;
  if (attempt.state === "sending") {
    return h("p", { class: "note" }, h("span", { class: "spinner", "aria-hidden": "true" }),
      attempt.unknown ? `Asking what became of “${attempt.name}”…` : `Sending “${attempt.name}”…`);
  }
  if (attempt.state === "waiting" || attempt.state === "given-up") return waitingNote(attempt, checkout, online);
  if (attempt.state === "signed-out") {
    return attempt.unknown && h("p", { class: "note warn" }, `Whether “${attempt.name}” was ordered is not known yet. Sign in again to learn it.`);
  }
  const problem = attempt.answer?.problem;
  const line = refusedLine(attempt);
  const available = problem?.available;
  return h("div", { class: "note wrong stack" },
    h("h2", { tabindex: "-1" }, "The order was not placed"),
    h("p", {}, refusal(attempt.answer, (key) => items.get(key)?.name ?? key)),
    line && line in draft.lines && Number.isInteger(available) && h("p", {},
      h("button", { type: "button", key: `${line} ${available}`, onclick: () => checkout.keep(withQty(store.state.draft, line, available)) },
        available === 0 ? "Take it out" : `Take the ${available} that are left`)));
}

/**
 * @param {import("./checkout.js").Progress} attempt
 * @param {ReturnType<typeof import("./checkout.js").openCheckout>} checkout
 * @param {boolean} online
 */
function waitingNote(attempt, checkout, online) {
  const { unknown, answer, state } = attempt;
  return h("div", { class: "note warn stack" },
    h("h2", {}, unknown ? "Not known yet" : "Not placed yet"),
    h("p", {}, waiting(answer, unknown, online)),
    h("p", { class: "number countdown" }, state === "waiting" ? next(secondsLeft(attempt), unknown) : "The draft is kept."),
    h("p", { class: "row" },
      (unknown || state === "waiting") && h("button", { type: "button", key: "ask", onclick: () => checkout.askNow() }, "Ask now"),
      !unknown && state === "waiting" && h("button", { type: "button", class: "plain", key: "stop", onclick: () => checkout.stop() }, "Stop trying")));
}

/** @param {import("./checkout.js").Progress} attempt */
const secondsLeft = ({ until }) => Math.max((until - Date.now()) / 1000, 0);

/** @param {string} id @param {string} label @param {string} hint @param {number} length */
export function newField(id, label, hint, length) {
  const input = h("input", {
    id, name: id, maxlength: String(length), autocomplete: "off", "aria-describedby": `${id}-problem ${id}-hint`, required: id === "name",
  });
  const problem = h("p", { class: "problem small", id: `${id}-problem` });
  const element = h("div", { class: "field" }, h("label", { for: id }, label), input, problem,
    h("p", { class: "muted small", id: `${id}-hint` }, hint));
  return {
    id,
    input,
    element,
    /** @param {string} value @param {string | undefined} wrong @param {boolean} disabled */
    update(value, wrong, disabled) {
      if (input.value !== value) input.value = value;
      input.disabled = disabled;
      input.setAttribute("aria-invalid", String(Boolean(wrong)));
      problem.textContent = wrong ?? "";
    },
  };
}


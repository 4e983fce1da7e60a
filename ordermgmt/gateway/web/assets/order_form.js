/** The draft as a form: name, number, lines; and what becomes of it once it is sent. */

import { alarm } from "./announce.js";
import { outcomeNote, secondsLeft, signedOutNote } from "./attempt_notes.js";
import { h, replace } from "./dom.js";
import { isUnderWay, refusedLine } from "./checkout.js";
import { check, EMPTY, isEmpty, itemsOf, withQty } from "./draft.js";
import { lineEditor } from "./lines.js";
import { signInPath } from "./router.js";
import { next, refusal } from "./words.js";

/** @type {import("./pages.js").Page} */
export function orderForm({ store, checkout, signal }) {
  const change = checkout.keep;
  let asked = false;
  const state = h("div", { class: "stack", id: "outcome" });
  const name = newField("name", "Name of the order", "What you will find it by, such as “Office move”.", 200);
  const number = newField(
    "id",
    "Order number (optional)",
    "Up to 64 letters, digits, _ and -. Left empty, it gets one.",
    64,
  );
  const lines = lineEditor({
    put: (key, qty) => change(withQty(store.state.draft, key, qty)),
    empty: () => h("p", {}, "Nothing yet. ", h("a", { href: "#/" }, "Choose from the catalogue"), "."),
  });
  const send = h("button", { type: "submit", class: "first" }, "Place the order");
  const signIn = h("a", { class: "button first", href: signInPath("#/new") }, "Sign in to order");
  const clear = h("button", { type: "button", class: "plain", onclick: () => change(EMPTY) }, "Clear the draft");
  const form = h(
    "form",
    { class: "order-form", novalidate: true, onsubmit: submit },
    h(
      "section",
      { class: "card stack", "aria-labelledby": "lines-heading" },
      h("h2", { id: "lines-heading" }, "Items"),
      lines.element,
    ),
    h(
      "section",
      { class: "card stack", "aria-labelledby": "about-heading" },
      h("h2", { id: "about-heading" }, "Details"),
      name.element,
      number.element,
      h("div", { class: "row" }, send, signIn, clear),
    ),
  );

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
    const {
      draft,
      session,
      attempt,
      stock: { items },
    } = store.state;
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
  store.subscribe(
    ["draft", "session", "attempt", "stock"],
    () => {
      show();
      showState();
    },
    signal,
  );
  store.subscribe(
    ["attempt"],
    ({ attempt }) => {
      if (attempt?.state === "refused") state.querySelector("h2")?.focus();
    },
    signal,
  );
  show();
  showState();

  return {
    title: "New order",
    element: h("div", {}, h("div", { class: "page-head" }, h("h1", { tabindex: "-1" }, "New order")), state, form),
  };
}

/** @param {string} id @param {string} label @param {string} hint @param {number} length */
export function newField(id, label, hint, length) {
  const input = h("input", {
    id,
    name: id,
    maxlength: String(length),
    autocomplete: "off",
    "aria-describedby": `${id}-problem ${id}-hint`,
    required: id === "name",
  });
  const problem = h("p", { class: "problem small", id: `${id}-problem` });
  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    input,
    problem,
    h("p", { class: "muted small", id: `${id}-hint` }, hint),
  );
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

/** Tells the state of an order that was sent: on its way, not known yet, refused; and what one may do about it. */

import { refusedLine } from "./checkout.js";
import { h } from "./dom.js";
import { isEmpty, withQty } from "./draft.js";
import { signInPath } from "./router.js";
import { next, refusal, waiting } from "./words.js";

/** @param {import("./store.js").State} state */
export function signedOutNote({ session, draft }) {
  if (session.state !== "out" || !session.lost) return null;
  return h(
    "p",
    { class: "note warn" },
    "You are signed out.",
    !isEmpty(draft) && " Your draft is kept.",
    " ",
    h("a", { href: signInPath("#/new") }, "Sign in again"),
  );
}

/**
 * Tell the state of what was sent: on its way, not known yet, or refused.
 * @param {import("./store.js").Store} store
 * @param {ReturnType<typeof import("./checkout.js").openCheckout>} checkout
 */
export function outcomeNote(store, checkout) {
  const {
    attempt,
    online,
    draft,
    stock: { items },
  } = store.state;
  if (!attempt) return null;
  if (attempt.state === "sending") {
    return h(
      "p",
      { class: "note" },
      h("span", { class: "spinner", "aria-hidden": "true" }),
      attempt.unknown ? `Asking what became of “${attempt.name}”…` : `Sending “${attempt.name}”…`,
    );
  }
  if (attempt.state === "waiting" || attempt.state === "given-up") return waitingNote(attempt, checkout, online);
  if (attempt.state === "signed-out") {
    return (
      attempt.unknown &&
      h(
        "p",
        { class: "note warn" },
        `Whether “${attempt.name}” was ordered is not known yet. Sign in again to learn it.`,
      )
    );
  }
  const problem = attempt.answer?.problem;
  const line = refusedLine(attempt);
  const available = problem?.available;
  return h(
    "div",
    { class: "note wrong stack" },
    h("h2", { tabindex: "-1" }, "The order was not placed"),
    h(
      "p",
      {},
      refusal(attempt.answer, (key) => items.get(key)?.name ?? key),
    ),
    line &&
      line in draft.lines &&
      Number.isInteger(available) &&
      h(
        "p",
        {},
        h(
          "button",
          {
            type: "button",
            key: `${line} ${available}`,
            onclick: () => checkout.keep(withQty(store.state.draft, line, available)),
          },
          available === 0 ? "Take it out" : `Take the ${available} that are left`,
        ),
      ),
  );
}

/**
 * @param {import("./checkout.js").Progress} attempt
 * @param {ReturnType<typeof import("./checkout.js").openCheckout>} checkout
 * @param {boolean} online
 */
function waitingNote(attempt, checkout, online) {
  const { unknown, answer, state } = attempt;
  return h(
    "div",
    { class: "note warn stack" },
    h("h2", {}, unknown ? "Not known yet" : "Not placed yet"),
    h("p", {}, waiting(answer, unknown, online)),
    h(
      "p",
      { class: "number countdown" },
      state === "waiting" ? next(secondsLeft(attempt), unknown) : "The draft is kept.",
    ),
    h(
      "p",
      { class: "row" },
      (unknown || state === "waiting") &&
        h("button", { type: "button", key: "ask", onclick: () => checkout.askNow() }, "Ask now"),
      !unknown &&
        state === "waiting" &&
        h("button", { type: "button", class: "plain", key: "stop", onclick: () => checkout.stop() }, "Stop trying"),
    ),
  );
}

/** @param {import("./checkout.js").Progress} attempt */
export const secondsLeft = ({ until }) => Math.max((until - Date.now()) / 1000, 0);

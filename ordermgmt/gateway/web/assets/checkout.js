/** Places the order of the draft. It goes on whichever page is shown, and after a reload. */

import { send } from "./api.js";
import { alarm, announce } from "./announce.js";
import { carryOut, newAlarm, newKey } from "./change.js";
import { bodyOf, EMPTY } from "./draft.js";
import { keyOf } from "./money.js";
import { refusal, waiting } from "./words.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {{state: "sending" | "waiting" | "signed-out" | "given-up" | "refused", unknown: boolean,
 *   answer: import("./api.js").Answer | null, until: number, name: string}} Progress
 * `until` is when it is sent again, in milliseconds.
 */

/**
 * @param {Store} store
 * @param {ReturnType<typeof import("./draft.js").openDrafts>} drafts
 * @param {{placed: (id: string, requestId: string | null) => void}} hooks `placed` is called once an order is there
 */
export function openCheckout(store, drafts, { placed }) {
  const { pause, wake } = newAlarm();
  let running = new AbortController();
  addEventListener("online", wake);

  /** @param {import("./draft.js").Attempt} attempt @param {boolean} unknown whether it was sent before */
  async function run(attempt, unknown) {
    running.abort();
    running = new AbortController();
    const { signal } = running;
    const name = JSON.parse(attempt.body).name;
    const change = {
      method: "POST",
      path: "/api/order",
      body: attempt.body,
      headers: { "idempotency-key": `"${attempt.key}"` },
    };
    try {
      const outcome = await carryOut(change, { send, pause, tell, unknown, signal });
      signal.throwIfAborted();
      finish(outcome, name);
    } catch (error) {
      if (!signal.aborted) throw error;
    }

    /** @param {import("./change.js").Step} step */
    function tell({ state, seconds, tries, ...rest }) {
      const { attempt: before, online } = store.state;
      store.update({ attempt: { ...rest, state, name, until: Date.now() + seconds * 1000 } });
      if (state === "sending" && tries === 1)
        announce(unknown ? "Asking what became of your order." : "Sending your order.");
      if (state === "waiting" && (before?.unknown !== rest.unknown || tries === 1)) {
        alarm(waiting(rest.answer, rest.unknown, online));
      }
    }
  }

  /** @param {import("./change.js").Outcome} outcome @param {string} name */
  function finish({ kind, answer, unknown }, name) {
    const settled = !unknown;
    if (settled) drafts.keepAttempt(null);
    if (kind === "done" && answer) {
      drafts.save(EMPTY);
      store.update({ attempt: null, draft: EMPTY });
      placed(answer.location?.split("/").at(-1) ?? "", answer.requestId);
      return;
    }
    const state = kind === "done" ? "refused" : kind;
    store.update({ attempt: { state, unknown, answer, name, until: 0 } });
    const { items } = store.state.stock;
    if (kind === "refused" && answer) alarm(refusal(answer, (key) => items.get(key)?.name ?? key));
  }

  /** Take up what was left behind, if it is this user's. */
  function resume() {
    const { session, attempt: shown } = store.state;
    const attempt = drafts.attempt();
    if (session.state !== "in" || !attempt || shown?.state === "sending" || shown?.state === "waiting") return;
    if (attempt.sub === session.sub) run(attempt, true);
  }

  return {
    resume,

    /** Keep a changed draft, as that of whoever is signed in. @param {import("./draft.js").Draft} draft */
    keep(draft) {
      const { session, attempt } = store.state;
      const mine = { ...draft, sub: session.state === "in" ? session.sub : draft.sub };
      drafts.save(mine);
      // A refusal is about what was sent, not about what is in the form now.
      store.update({ draft: mine, attempt: isUnderWay(attempt) ? attempt : null });
    },

    /** Send the draft. */
    submit() {
      const { draft, session } = store.state;
      const attempt = { key: newKey(), body: bodyOf(draft), sub: session.sub };
      drafts.keepAttempt(attempt);
      run(attempt, false);
    },

    /** Send it again now, instead of later. */
    askNow() {
      if (store.state.attempt?.state === "waiting") wake();
      else resume();
    },

    /** Stop trying what was surely not done, so that the draft can be changed. */
    stop() {
      if (store.state.attempt?.unknown || store.state.attempt?.state === "sending") return;
      running.abort();
      wake();
      drafts.keepAttempt(null);
      store.update({ attempt: null });
    },

    /** Leave everything, as its user leaves. An order that is on its way may arrive nevertheless. */
    forget() {
      running.abort();
      wake();
      drafts.forget();
      store.update({ attempt: null, draft: EMPTY });
    },
  };
}

/** Tell whether an order is on its way, so that its draft must stay as it is. @param {Progress | null} attempt */
export function isUnderWay(attempt) {
  return attempt !== null && (attempt.state === "sending" || attempt.state === "waiting" || attempt.unknown);
}

/** The line of the draft that a refusal is about, if any. @param {Progress | null} attempt */
export function refusedLine(attempt) {
  const problem = attempt?.state === "refused" ? attempt.answer?.problem : null;
  return problem?.category && problem?.code ? keyOf(/** @type {any} */ (problem)) : null;
}

/**
 * Carries out one change, through a slow or lost connection: the same request with the same Idempotency-Key is sent
 * until its outcome is known. Pure but for what it is given: `send` and `pause`.
 */

import { Lost } from "./api.js";

/**
 * @typedef {import("./api.js").Answer} Answer
 * @typedef {{method: string, path: string, body?: string, headers: Record<string, string>}} Change
 * @typedef {{kind: "done" | "refused" | "signed-out" | "given-up", answer: Answer | null, unknown: boolean}} Outcome
 * `unknown` is whether it may have been done nevertheless.
 * @typedef {{state: "sending" | "waiting", unknown: boolean, answer: Answer | null, seconds: number,
 *   tries: number}} Step
 */

const FIRST_WAIT = 1;
const LONGEST_WAIT = 30;
/** Tries of what was surely not done: about a minute. */
const TRIES = 7;
/** Tries of what may have been done: about half an hour. Then the user says when to ask again. */
const TRIES_UNKNOWN = 64;

/**
 * Decide what an answer means. It is null if none came.
 * @param {Answer | null} answer
 * @param {{tries: number, unknown: boolean}} so far
 * @returns {{kind: Outcome["kind"] | "again", unknown: boolean, seconds: number}}
 */
export function judge(answer, { tries, unknown }) {
  const seconds = Math.min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT);
  if (answer === null) return again(tries, true, seconds);
  const { status, retryAfter } = answer;
  if (status < 300) return { kind: "done", unknown: false, seconds: 0 };
  if (status === 401) return { kind: "signed-out", unknown, seconds: 0 };
  const patient = Math.max(seconds, Math.min(retryAfter ?? 0, 600));
  // These say that this request was not carried out. An earlier one, of which nobody heard, may have been.
  const surelyNot = status === 503 || status === 429 || status === 408;
  if (surelyNot || answer.problem?.kind === "operation-in-progress") return again(tries, unknown, patient);
  if (status >= 500) return again(tries, true, patient);
  return { kind: "refused", unknown: false, seconds: 0 };
}

/** @param {number} tries @param {boolean} unknown @param {number} seconds */
function again(tries, unknown, seconds) {
  const kind = tries >= (unknown ? TRIES_UNKNOWN : TRIES) ? "given-up" : "again";
  return { kind: /** @type {Outcome["kind"] | "again"} */ (kind), unknown, seconds };
}

/**
 * Send a change until its outcome is known.
 * @param {Change} change
 * @param {{send: (method: string, path: string, options: object) => Promise<Answer>,
 *   pause: (seconds: number) => Promise<void>, tell: (step: Step) => void, unknown?: boolean,
 *   signal?: AbortSignal}} means `unknown` is whether it was sent before; `pause` waits so long, or less if the user
 *   or the network says so.
 * @returns {Promise<Outcome>}
 */
export async function carryOut(change, { send, pause, tell, unknown = false, signal }) {
  /** @type {Answer | null} */
  let answer = null;
  for (let tries = 1; ; tries += 1) {
    tell({ state: "sending", unknown, answer, seconds: 0, tries });
    try {
      answer = await send(change.method, change.path, { body: change.body, headers: change.headers, signal });
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      answer = null;
    }
    const verdict = judge(answer, { tries, unknown });
    unknown = verdict.unknown;
    if (verdict.kind !== "again") return { kind: verdict.kind, answer, unknown };
    tell({ state: "waiting", unknown, answer, seconds: verdict.seconds, tries });
    await pause(verdict.seconds);
    signal?.throwIfAborted();
  }
}

/** @returns {string} a new Idempotency-Key */
export const newKey = () => crypto.randomUUID();

/**
 * Make a `pause` that `wake` cuts short.
 * @returns {{pause: (seconds: number) => Promise<void>, wake: () => void}}
 */
export function newAlarm() {
  let wake = () => {};
  return {
    pause: (seconds) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => resolve(undefined), seconds * 1000);
        wake = () => {
          clearTimeout(timer);
          resolve(undefined);
        };
      }),
    wake: () => wake(),
  };
}

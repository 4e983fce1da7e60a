/** Says in human words what an answer means, and what happens next. */

import { counted } from "./money.js";

/** @typedef {import("./api.js").Answer} Answer */

const WRONG = /** @type {Record<string, string>} */ ({
  "order-exists": "There is an order with this number already. Choose another one, or leave it empty to get one.",
  "idempotency-key-reused": "This was sent before with other content. Send it again.",
  "repeated-item": "An item is there twice. Put all its pieces into one line.",
  "no-such-order": "There is no such order any more.",
  "version-mismatch": "Somebody else has changed this order meanwhile.",
  csrf: "The request did not come from this page. Load the page again.",
});

/**
 * Say why something was refused for good.
 * @param {Answer} answer
 * @param {(key: string) => string} [nameOf] the name of an item by its `category/code`
 */
export function refusal(answer, nameOf = (key) => key) {
  const problem = answer.problem;
  if (problem && "available" in problem && "requested" in problem) {
    const name = nameOf(`${problem.category}/${problem.code}`);
    return problem.available === 0
      ? `${name} is sold out.`
      : `You asked for ${problem.requested} of ${name}; only ${problem.available} are left.`;
  }
  if (problem && WRONG[problem.kind]) return WRONG[problem.kind];
  if (answer.status === 401) return "You are signed out.";
  if (answer.status === 403) return "You may not do this.";
  if (answer.status === 404) return "There is no such thing here.";
  if (answer.status === 413) return "This is too much for one order.";
  return problem?.detail ? `This was refused: ${problem.detail}.` : `This was refused (${answer.status}).`;
}

/**
 * Say why there is no result yet. `answer` is null if none came.
 * @param {Answer | null} answer
 * @param {boolean} unknown whether it may have been done nevertheless
 * @param {boolean} online
 */
export function waiting(answer, unknown, online = true) {
  const why = reason(answer, online);
  return unknown ? `${why} Whether it was done is not known yet.` : `${why} Nothing was done.`;
}

/** Say when it is tried again. @param {number} seconds @param {boolean} unknown */
export function next(seconds, unknown) {
  const when = seconds < 1 ? "now" : `in ${counted(Math.ceil(seconds), "second")}`;
  return unknown ? `We ask again ${when}. It is the same request, so nothing is done twice.` : `We try again ${when}.`;
}

/** Say why something could not be loaded. @param {Answer | null} answer @param {boolean} online */
export function unloaded(answer, online = true) {
  if (answer && answer.status < 500 && answer.status !== 429 && answer.status !== 408) return refusal(answer);
  return reason(answer, online);
}

/** @param {Answer | null} answer @param {boolean} online */
function reason(answer, online) {
  if (!answer) return online ? "There was no answer." : "You are offline.";
  if (answer.problem?.kind === "operation-in-progress") return "Another change of this order is under way.";
  if (answer.status === 429) return "There were too many requests from here.";
  if (answer.status === 503) return "The shop is busy or restarts.";
  if (answer.status === 504) return "The shop took too long.";
  return "The shop has a problem.";
}

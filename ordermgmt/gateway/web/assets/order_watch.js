/** Finds out that somebody else has changed an order, while its page is shown. */

import { send } from "./api.js";
import { delay } from "./stock.js";

/**
 * Ask every few seconds while somebody looks, until `signal` is aborted. An answer that did not change costs its headers.
 * @param {string} id
 * @param {{etag: () => string | null, changed: () => Promise<unknown>}} page `etag` is of what is shown, null while
 *   nothing is to be compared with it; `changed` is told that the order is another one by now, or gone
 * @param {AbortSignal} signal
 */
export function watchOrder(id, { etag, changed }, signal) {
  let failures = 0;
  let timer = 0;

  async function ask() {
    const shown = etag();
    if (shown === null) return;
    // Orders are public, also without a session; without its cookie, looking at one keeps nobody signed in.
    const { status } = await send("GET", `/order/${encodeURIComponent(id)}`, {
      anonymous: true,
      headers: { "if-none-match": shown },
      signal,
    });
    if (![200, 304, 404].includes(status)) throw new Error(`order: ${status}`);
    if (status !== 304 && etag() === shown) await changed();
  }

  async function turn() {
    clearTimeout(timer);
    try {
      await ask();
      failures = 0;
    } catch {
      failures += 1;
    }
    clearTimeout(timer);
    if (!document.hidden && !signal.aborted) timer = setTimeout(turn, delay(failures));
  }

  document.addEventListener(
    "visibilitychange",
    () => {
      clearTimeout(timer);
      if (!document.hidden) turn();
    },
    { signal },
  );
  signal.addEventListener("abort", () => clearTimeout(timer));
  timer = setTimeout(turn, delay(0));
}

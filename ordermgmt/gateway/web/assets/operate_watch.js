/** Asks the gateway again and again, and tells what it heard. One request is under way at a time for each path. */

import { Lost, send } from "./api.js";

const SEEN = 400;
const HIDDEN = 5000;
const PATIENCE = 2000;

/**
 * Ask for `path` twice a second, and less often while nobody looks; an answer that did not change costs its headers.
 * @param {string} path
 * @param {{heard: (data: any) => void, failed: (status: number) => void}} told `heard` is told of null if nothing
 *   changed, `failed` of a status, 0 if there was no answer
 * @returns {() => void} stops it
 */
export function watch(path, { heard, failed }) {
  const leaving = new AbortController();
  let etag = "";
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;

  async function turn() {
    try {
      const answer = await send("GET", path, {
        headers: etag ? { "if-none-match": etag } : {},
        timeout: PATIENCE,
        signal: leaving.signal,
      });
      if (answer.status === 200) {
        etag = answer.etag ?? "";
        heard(answer.data);
      } else if (answer.status === 304) {
        heard(null);
      } else {
        failed(answer.status);
      }
    } catch (error) {
      if (leaving.signal.aborted) return;
      if (!(error instanceof Lost)) throw error;
      failed(0);
    }
    timer = setTimeout(turn, document.hidden ? HIDDEN : SEEN);
  }

  function look() {
    if (document.hidden) return;
    clearTimeout(timer);
    turn();
  }

  turn();
  document.addEventListener("visibilitychange", look);
  return () => {
    leaving.abort();
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

/**
 * Ask once; null if there is no answer, or not the one that was hoped for.
 * @param {string} path
 */
export async function read(path) {
  try {
    const { status, data } = await send("GET", path);
    return status === 200 ? data : null;
  } catch (error) {
    if (error instanceof Lost) return null;
    throw error;
  }
}

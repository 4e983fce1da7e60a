/** Asks the gateway. Everything is of our own origin, and the session is in a cookie that no script can see. */

/**
 * @typedef {{kind: string, detail: string, [member: string]: any}} Problem
 * `kind` is what went wrong, such as `order-exists`; the other members are those of the document (RFC 9457).
 * @typedef {{status: number, data: any, problem: Problem | null, etag: string | null, retryAfter: number | null,
 *   requestId: string | null, location: string | null}} Answer
 * @typedef {{body?: string, headers?: Record<string, string>, timeout?: number, signal?: AbortSignal,
 *   anonymous?: boolean}} Options
 * `timeout` is in milliseconds; `anonymous` sends no cookie, so that it does not keep a session alive.
 */

export const TIMEOUT = 15_000;
const PROBLEM = "urn:ordermgmt:problem:";

/** There was no answer. Whether the request was carried out is not known. */
export class Lost extends Error {}

/**
 * Send a request and return the answer, whatever its status. An event `session-lost` on the document tells of a 401.
 * Throws Lost, or the reason of `signal`.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Answer>}
 */
export async function send(method, path, { body, headers = {}, timeout = TIMEOUT, signal, anonymous = false } = {}) {
  const given = { accept: "application/json", ...headers };
  if (body !== undefined) given["content-type"] = "application/json";
  if (method !== "GET") given["x-csrf"] = "1";
  const limit = AbortSignal.timeout(timeout);
  let answer;
  try {
    const response = await fetch(path, {
      method,
      body,
      headers: given,
      cache: "no-store",
      redirect: "error",
      credentials: anonymous ? "omit" : "same-origin",
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    answer = read(response.status, response.headers, await response.text());
  } catch (error) {
    signal?.throwIfAborted();
    throw new Lost("no answer", { cause: error });
  }
  if (answer.status === 401 && !anonymous) document.dispatchEvent(new Event("session-lost"));
  return answer;
}

/**
 * Get something and return the answer; null if there was none. Throws the reason of `signal`.
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answer | null>}
 */
export async function look(path, signal) {
  try {
    return await send("GET", path, { signal });
  } catch (error) {
    if (error instanceof Lost) return null;
    throw error;
  }
}

/**
 * For `catch`: whoever has left the page needs no error of what was cut off by that.
 * @param {AbortSignal} signal
 * @returns {(error: unknown) => undefined}
 */
export const unlessAborted = (signal) => (error) => {
  if (!signal.aborted) throw error;
};

/**
 * Read an answer. A body that is no JSON is none.
 * @param {number} status
 * @param {{get(name: string): string | null}} headers
 * @param {string} text
 * @returns {Answer}
 */
export function read(status, headers, text) {
  let data = null;
  if (/\bjson\b/.test(headers.get("content-type") ?? "")) {
    try {
      data = JSON.parse(text);
    } catch {
      data = null;
    }
  }
  const seconds = headers.get("retry-after") ?? "";
  return {
    status,
    data,
    problem: status >= 400 && data ? problem(data) : null,
    etag: headers.get("etag"),
    retryAfter: /^\d{1,6}$/.test(seconds) ? Number(seconds) : null,
    requestId: headers.get("x-request-id"),
    location: headers.get("location"),
  };
}

/** @param {any} data @returns {Problem} */
function problem(data) {
  return { ...data, kind: String(data.type ?? "").replace(PROBLEM, ""), detail: String(data.detail ?? "") };
}

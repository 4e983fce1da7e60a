/** Reads the path of a request, so that it can be drawn and told. Pure. */

/**
 * @typedef {{name: string, said: string}} Check
 * @typedef {{kind: "session" | "opaque" | "jwt", issuer?: string, audience?: string | string[], expires_in?: number,
 *   header?: Record<string, any>, claims?: Record<string, any>, checks?: Check[]}} Token
 * @typedef {{from: string, to: string, what: string, seconds: number | null, cached: boolean | null,
 *   identities: {client: string | null, server: string | null} | null, token: Token | null}} Hop
 * @typedef {{request: {id: string, method: string, path: string, status: number, at: number, seconds: number},
 *   hops: Hop[]}} Path
 */

const NAMES = /** @type {Record<string, string>} */ ({
  browser: "Browser",
  gateway: "Gateway",
  sts: "Token service",
  provider: "Sign-in service",
  order: "Orders",
  inventory: "Inventory",
});

/** @param {string} node */
export const nameOf = (node) => NAMES[node] ?? node;

/** Places of the drawing, in columns and rows: across on a wide page, down on a narrow one. */
export const WIDE = /** @type {Record<string, [number, number]>} */ ({
  browser: [0, 1],
  gateway: [1, 1],
  sts: [1, 0],
  order: [2, 1],
  inventory: [3, 1],
});
export const NARROW = /** @type {Record<string, [number, number]>} */ ({
  browser: [0, 0],
  gateway: [0, 1],
  sts: [1, 1],
  order: [0, 2],
  inventory: [0, 3],
});

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "";
  const ms = seconds * 1000;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${seconds.toFixed(1)} s`;
}

/**
 * Join the hops between the same two places: the drawing has one line for them.
 * @param {Hop[]} hops
 * @param {Record<string, [number, number]>} places
 */
export function edges(hops, places) {
  /** @type {Map<string, {from: string, to: string, label: string, mtls: boolean, cached: boolean, seconds: number}>} */
  const found = new Map();
  for (const hop of hops) {
    if (!(hop.from in places && hop.to in places) || hop.from === hop.to) continue;
    const key = `${hop.from} ${hop.to}`;
    const edge = found.get(key) ?? {
      from: hop.from,
      to: hop.to,
      label: tokenName(hop.token),
      mtls: false,
      cached: true,
      seconds: 0,
    };
    edge.mtls ||= Boolean(hop.identities?.client);
    edge.cached &&= hop.cached === true;
    edge.seconds += hop.seconds ?? 0;
    found.set(key, edge);
  }
  return [...found.values()];
}

/** @param {Token | null | undefined} token */
export function tokenName(token) {
  return { session: "session cookie", opaque: "opaque token", jwt: "JWT" }[token?.kind ?? ""] ?? "";
}

/** What a hop was, in one sentence. @param {Hop} hop */
export function sentence(hop) {
  const parts = [`${nameOf(hop.from)} to ${nameOf(hop.to)}: ${hop.what}`];
  if (hop.token) parts.push(`with ${hop.token.kind === "opaque" ? "an" : "a"} ${tokenName(hop.token)}`);
  if (hop.identities?.client) parts.push("over mutual TLS");
  if (hop.cached === true) parts.push("remembered from before");
  if (hop.seconds !== null) parts.push(duration(hop.seconds));
  return `${parts.join(", ")}.`;
}

/**
 * A value of a claim as text. Times are seconds since 1970, told from the request on.
 * @param {string} name
 * @param {any} value
 * @param {number} at
 */
export function claimText(name, value, at) {
  if (["exp", "iat", "nbf", "auth_time"].includes(name) && typeof value === "number") {
    const away = Math.round(value - at);
    return `${value} (${away >= 0 ? `${away} s later` : `${-away} s earlier`})`;
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * Share of the whole time that a hop took, from 0 to 1.
 * @param {Hop} hop
 * @param {Path} path
 */
export function share(hop, path) {
  const whole = Math.max(path.request.seconds, ...path.hops.map(({ seconds }) => seconds ?? 0));
  return whole > 0 ? Math.min((hop.seconds ?? 0) / whole, 1) : 0;
}

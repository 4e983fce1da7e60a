/** Addresses of the pages, all of them in the fragment: the server knows only the one document. */

/** @typedef {{page: "catalogue" | "new" | "orders" | "order" | "edit" | "nowhere", id: string}} Route */

const PATTERNS = /** @type {const} */ ([
  [/^$|^#\/?$/, "catalogue"],
  [/^#\/new$/, "new"],
  [/^#\/orders$/, "orders"],
  [/^#\/orders\/([A-Za-z0-9_-]{1,64})$/, "order"],
  [/^#\/orders\/([A-Za-z0-9_-]{1,64})\/edit$/, "edit"],
]);

/**
 * Tell which page a fragment means; null if it means no page but a place on one.
 * @param {string} hash
 * @returns {Route | null}
 */
export function parse(hash) {
  for (const [pattern, page] of PATTERNS) {
    const found = pattern.exec(hash);
    if (found) return { page, id: found[1] ?? "" };
  }
  return hash.startsWith("#/") ? { page: "nowhere", id: "" } : null;
}

/** @param {string} id */
export const orderHash = (id) => `#/orders/${encodeURIComponent(id)}`;

/** @param {string} id */
export const editHash = (id) => `${orderHash(id)}/edit`;

/** Where to sign in, and come back to this page. @param {string} hash */
export const signInPath = (hash) => `/session/login?return_to=${encodeURIComponent(`/${parse(hash) ? hash : ""}`)}`;

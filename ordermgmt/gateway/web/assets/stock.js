/** Keeps the stock fresh: asks every few seconds while somebody looks, and only for what has changed. */

import { send } from "./api.js";
import { keyOf } from "./money.js";

/** @typedef {import("./store.js").Item} Item */

const EVERY = 5_000;
const SLOWEST = 60_000;
const PAGE = 100;

/**
 * Follow the stock from now on.
 * @param {import("./store.js").Store} store
 */
export function watchStock(store) {
  /** @type {{path: string, etag: string | null, items: Item[], next: string | null}[]} */
  const pages = [{ path: `/inventory?limit=${PAGE}`, etag: null, items: [], next: null }];
  let failures = 0;
  let timer = 0;
  /** @type {Promise<void> | null} */
  let asking = null;

  /** @param {(typeof pages)[number]} page */
  async function load(page) {
    // Stock is public, also without a session; without its cookie, looking at the stock keeps nobody signed in.
    const answer = await send("GET", page.path, {
      anonymous: true,
      headers: page.etag ? { "if-none-match": page.etag } : {},
    });
    if (answer.status === 304) return;
    if (answer.status !== 200) throw new Error(`stock: ${answer.status}`);
    page.etag = answer.etag;
    page.items = answer.data.items;
    page.next = answer.data.next ?? null;
  }

  async function ask() {
    clearTimeout(timer);
    try {
      for (const page of pages) await load(page);
      failures = 0;
      store.update({ stock: { state: "fresh", items: gathered(), more: pages.at(-1).next !== null, at: Date.now() } });
    } catch {
      failures += 1;
      if (store.state.stock.state !== "stale") store.update({ stock: { ...store.state.stock, state: "stale" } });
    }
    if (!document.hidden) timer = setTimeout(refresh, delay(failures));
  }

  function gathered() {
    const items = new Map(pages.flatMap((page) => page.items.map((item) => [keyOf(item), item])));
    const { items: before } = store.state.stock;
    return isSame(before, items) ? before : items;
  }

  function refresh() {
    asking ??= ask().finally(() => {
      asking = null;
    });
    return asking;
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) refresh();
  });
  addEventListener("online", refresh);

  return {
    refresh,

    /** Load the next page, too. */
    async more() {
      await asking;
      const after = pages.at(-1).next;
      if (after === null) return;
      const path = `/inventory?limit=${PAGE}&after=${encodeURIComponent(after)}`;
      pages.push({ path, etag: null, items: [], next: null });
      await refresh();
    },
  };
}

/** How long to wait after so many failures, in milliseconds. @param {number} failures */
export const delay = (failures) => Math.min(EVERY * 2 ** failures, SLOWEST);

/**
 * Tell which items are there in other quantities than before.
 * @param {Map<string, Item>} before
 * @param {Map<string, Item>} after
 */
export function changed(before, after) {
  return [...after.values()].filter((item) => (before.get(keyOf(item)) ?? item).qty !== item.qty);
}

/** @param {Map<string, Item>} one @param {Map<string, Item>} other */
function isSame(one, other) {
  return one.size === other.size && JSON.stringify([...one]) === JSON.stringify([...other]);
}

/** What the page knows, in one place. Whoever shows some of it subscribes to that. */

/**
 * @typedef {{state: "unknown" | "out" | "in", sub: string, name: string, scopes: string[], lost: boolean}} Session
 * `lost` is an end that the user did not ask for.
 * @typedef {{category: string, code: string, name: string, price: string, qty: number}} Item
 * @typedef {{state: "loading" | "fresh" | "stale", items: Map<string, Item>, more: boolean, at: number}} Stock
 * @typedef {{text: string, hash: string, requestId: string | null, hasPath: boolean,
 *   look: "good" | "warn"}} Flash
 * It is shown at `hash`; `hasPath` is whether the way of that request may be shown.
 * @typedef {{session: Session, stock: Stock, draft: import("./draft.js").Draft,
 *   attempt: import("./checkout.js").Progress | null, flash: Flash | null, path: string | null,
 *   online: boolean}} State
 */

export class Store {
  /** @type {State} */
  #state;

  /** @type {Set<{names: string[], listener: (state: State, before: State) => void}>} */
  #subscriptions = new Set();

  /** @param {State} state */
  constructor(state) {
    this.#state = state;
  }

  get state() {
    return this.#state;
  }

  /** Change some members and tell those who look at them. @param {Partial<State>} changes */
  update(changes) {
    const before = this.#state;
    this.#state = { ...before, ...changes };
    const changed = Object.keys(changes).filter((name) => before[name] !== this.#state[name]);
    for (const { names, listener } of [...this.#subscriptions]) {
      if (names.some((name) => changed.includes(name))) listener(this.#state, before);
    }
  }

  /**
   * Call `listener` after each change of one of the members `names`, until `signal` is aborted.
   * @param {string[]} names
   * @param {(state: State, before: State) => void} listener
   * @param {AbortSignal} [signal]
   */
  subscribe(names, listener, signal) {
    const subscription = { names, listener };
    this.#subscriptions.add(subscription);
    signal?.addEventListener("abort", () => this.#subscriptions.delete(subscription));
  }
}

/** @type {Session} */
export const SIGNED_OUT = { state: "out", sub: "", name: "", scopes: [], lost: false };

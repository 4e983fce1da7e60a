/** The order that is being put together, and the one that is on its way: they outlive a reload, not the tab. */

/**
 * @typedef {{name: string, id: string, lines: Record<string, number>, sub: string}} Draft
 * `lines` is how many of each `category/code`; `sub` is whose draft it is, empty as long as nobody is signed in.
 * @typedef {{key: string, body: string, sub: string}} Attempt
 * A create without a known outcome: sent again, it is the same request.
 */

const DRAFT = "draft";
const ATTEMPT = "attempt";
export const MAX_QTY = 1_000_000;

/** @type {Draft} */
export const EMPTY = { name: "", id: "", lines: {}, sub: "" };

/** @param {Pick<Storage, "getItem" | "setItem" | "removeItem">} storage */
export function openDrafts(storage) {
  /** @param {string} name @param {(value: any) => boolean} isGood */
  function get(name, isGood) {
    try {
      const value = JSON.parse(storage.getItem(name) ?? "null");
      return isGood(value) ? value : null;
    } catch {
      return null;
    }
  }

  /** @param {string} name @param {any} value */
  function put(name, value) {
    try {
      if (value === null) storage.removeItem(name);
      else storage.setItem(name, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }

  return {
    /** @returns {Draft} */
    load: () => get(DRAFT, isDraft) ?? EMPTY,
    /** @param {Draft} draft */
    save: (draft) => put(DRAFT, isEmpty(draft) ? null : draft),
    /** @returns {Attempt | null} */
    attempt: () => get(ATTEMPT, isAttempt),
    /** Remember what is about to be sent; false if that is impossible. @param {Attempt | null} attempt */
    keepAttempt: (attempt) => put(ATTEMPT, attempt),
    forget() {
      put(DRAFT, null);
      put(ATTEMPT, null);
    },
  };
}

/**
 * Put another quantity into a draft; none takes the line out.
 * @param {Draft} draft
 * @param {string} key
 * @param {number} qty
 * @returns {Draft}
 */
export function withQty(draft, key, qty) {
  const { [key]: _, ...others } = draft.lines;
  const whole = Math.min(Math.max(Math.trunc(qty) || 0, 0), MAX_QTY);
  if (whole === 0) return { ...draft, lines: others };
  return { ...draft, lines: { ...draft.lines, [key]: whole } };
}

/** @param {Record<string, number>} lines */
export function itemsOf(lines) {
  return Object.entries(lines).map(([key, qty]) => {
    const [category, code] = key.split("/");
    return { category, code, qty };
  });
}

/** The body of the request that creates it. @param {Draft} draft */
export function bodyOf(draft) {
  const id = draft.id.trim();
  return JSON.stringify({ name: draft.name.trim(), items: itemsOf(draft.lines), ...(id && { id }) });
}

/**
 * Say what is wrong with a draft, by field; empty if it may be sent.
 * @param {{name: string, id?: string, lines: Record<string, number>}} draft
 * @returns {Record<string, string>}
 */
export function check(draft) {
  /** @type {Record<string, string>} */
  const problems = {};
  const name = draft.name.trim();
  if (!name) problems.name = "Give the order a name.";
  else if ([...name].length > 200) problems.name = "The name has more than 200 characters.";
  else if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(name)) problems.name = "The name must be one line of text.";
  if (draft.id && !/^[A-Za-z0-9_-]{1,64}$/.test(draft.id.trim())) {
    problems.id = "A number has at most 64 letters, digits, _ and -.";
  }
  const count = Object.keys(draft.lines).length;
  if (count === 0) problems.lines = "There is nothing in this order yet.";
  if (count > 100) problems.lines = "An order has at most 100 items.";
  return problems;
}

/** @param {Draft} draft */
export const isEmpty = (draft) => !draft.name && !draft.id && Object.keys(draft.lines).length === 0;

/** @param {any} value */
function isDraft(value) {
  return (
    value !== null &&
    [value.name, value.id, value.sub].every((text) => typeof text === "string") &&
    typeof value.lines === "object" &&
    Object.values(value.lines).every((qty) => Number.isInteger(qty) && qty > 0)
  );
}

/** @param {any} value */
function isAttempt(value) {
  return value !== null && [value.key, value.body, value.sub].every((text) => typeof text === "string");
}

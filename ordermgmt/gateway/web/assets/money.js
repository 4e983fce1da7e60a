/** Prices, which are dollars with two decimals on the wire, and times. */

const DOLLARS = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
const WHEN = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat("en", { timeStyle: "short" });

/** @param {string} price @returns {number} cents */
export const cents = (price) => Math.round(Number(price) * 100);

/** @param {number} amount cents */
export const dollars = (amount) => DOLLARS.format(amount / 100);

/** @param {string} time as of RFC 3339 */
export const when = (time) => WHEN.format(new Date(time));

/** @param {number} time in milliseconds */
export const clock = (time) => CLOCK.format(new Date(time));

/** @param {number} count @param {string} one @param {string} [many] */
export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** @param {{category: string, code: string}} item */
export const keyOf = (item) => `${item.category}/${item.code}`;

/**
 * The value of some lines at today's prices, in cents; null if the price of one of them is not known.
 * @param {{category: string, code: string, qty: number}[]} lines
 * @param {Map<string, {price: string}>} items
 */
export function total(lines, items) {
  let sum = 0;
  for (const line of lines) {
    const item = items.get(keyOf(line));
    if (!item) return null;
    sum += cents(item.price) * line.qty;
  }
  return sum;
}

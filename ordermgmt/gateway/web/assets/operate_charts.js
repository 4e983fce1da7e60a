/** Small drawings of numbers. The numbers that matter stand beside them as text. */

import { svg } from "./dom.js";
import { LOOKS } from "./operate_model.js";

const WIDTH = 132;
const HEIGHT = 30;

/**
 * A line over the last looks, the newest at the right; a second one in the colour of failures lies over it.
 * @param {(number | null)[]} values @param {(number | null)[]} [failures]
 */
export function sparkline(values, failures = []) {
  const most = Math.max(...numbers(values), ...numbers(failures), Number.MIN_VALUE);
  const bad = failures.some(Boolean);
  return chart("spark", [
    svg("path", { class: "spark-area", d: area(values, most) }),
    svg("path", { class: "spark-line", d: line(values, most) }),
    bad && svg("path", { class: "spark-bad", d: area(failures, most) }),
  ]);
}

/**
 * How often a request took how long: a bar for each bucket.
 * @param {number[]} counts
 */
export function histogram(counts) {
  const most = Math.max(...counts, 1);
  const step = WIDTH / counts.length;
  return chart("bars", counts.map((count, place) => {
    const height = count ? Math.max(2, (count / most) * (HEIGHT - 2)) : 1;
    return svg("rect", {
      class: count ? "bar-some" : "bar-none",
      x: round(place * step + 0.5),
      y: round(HEIGHT - height),
      width: round(step - 1),
      height: round(height),
    });
  }));
}

/** @param {string} kind @param {any[]} children */
function chart(kind, children) {
  return svg("svg", {
    class: `chart ${kind}`,
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
    focusable: "false",
  }, children);
}

/** @param {(number | null)[]} values */
function numbers(values) {
  return /** @type {number[]} */ (values.filter((value) => value !== null));
}

/** @param {(number | null)[]} values @param {number} most @returns {[number, number][]} */
function points(values, most) {
  const first = LOOKS - values.length;
  return values.map((value, place) => [
    round(((first + place) * WIDTH) / (LOOKS - 1)),
    round(HEIGHT - 1 - ((value ?? 0) / most) * (HEIGHT - 3)),
  ]);
}

/** @param {(number | null)[]} values @param {number} most */
function line(values, most) {
  return points(values, most).map(([x, y], place) => `${place ? "L" : "M"}${x} ${y}`).join("");
}

/** @param {(number | null)[]} values @param {number} most */
function area(values, most) {
  const all = points(values, most);
  if (!all.length) return "";
  return `M${all[0][0]} ${HEIGHT}${all.map(([x, y]) => `L${x} ${y}`).join("")}L${all[all.length - 1][0]} ${HEIGHT}Z`;
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}

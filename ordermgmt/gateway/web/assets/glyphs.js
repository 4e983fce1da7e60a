/** Line drawings. They decorate: what they show is also said in words. */

import { svg } from "./dom.js";

const PATHS = /** @type {Record<string, string[]>} */ ({
  books: [
    "M24 12c-4-3-9-4-16-4v28c7 0 12 1 16 4 4-3 9-4 16-4V8c-7 0-12 1-16 4z",
    "M24 12v28",
    "M13 15c2.5 0 4 .4 6 1M13 22c2.5 0 4 .4 6 1M35 15c-2.5 0-4 .4-6 1M35 22c-2.5 0-4 .4-6 1",
  ],
  electronics: ["M10 10h28v20H10z", "M5 36h38l-3-6H8z", "M20 33h8"],
  box: ["M8 16 24 8l16 8v17l-16 8-16-8z", "M8 16l16 8 16-8M24 24v17", "M16 12l16 8v6"],
  headphones: ["M9 29v-4a15 15 0 0 1 30 0v4", "M9 27h5v12h-3a4 4 0 0 1-4-4v-6zM39 27h-5v12h3a4 4 0 0 0 4-4v-6z"],
  path: ["M10 12h8v8h-8zM30 12h8v8h-8zM30 30h8v8h-8z", "M18 16h12M34 20v10"],
});

/** Words in a name that tell a better drawing than its category does. */
const WORDS = /** @type {const} */ ([[/headphone|WH-|earbud/i, "headphones"]]);

/**
 * A drawing for an item.
 * @param {{category: string, name: string}} item
 */
export function glyphOf({ category, name }) {
  const word = WORDS.find(([pattern]) => pattern.test(name));
  return glyph(word ? word[1] : category in PATHS ? category : "box");
}

/** @param {string} name */
export function glyph(name) {
  return svg(
    "svg",
    { viewBox: "0 0 48 48", class: "glyph", "aria-hidden": "true", focusable: "false" },
    PATHS[name].map((d) => svg("path", { d })),
  );
}

/** One of six tints, always the same for a name. @param {string} text */
export function tintOf(text) {
  let sum = 7;
  for (const character of text) sum = (sum * 33 + character.codePointAt(0)) % 1_000_003;
  return (sum >> 4) % 6;
}

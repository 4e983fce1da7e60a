/** A quantity: less, a field, more. */

import { h } from "./dom.js";
import { MAX_QTY } from "./draft.js";

let count = 0;

/**
 * @param {{label: string, onchange: (qty: number) => void}} given `onchange` is called with whole numbers from 0 on
 */
export function stepper({ label, onchange }) {
  count += 1;
  const hint = `left-${count}`;
  let qty = 0;
  const field = h("input", {
    type: "text",
    inputmode: "numeric",
    pattern: "[0-9]*",
    maxlength: "7",
    autocomplete: "off",
    class: "number",
    "aria-label": `Pieces of ${label}`,
    "aria-describedby": hint,
    // At once: if the warning came only as the focus left, the page would move away under the button just pressed.
    oninput: () => /^[1-9]\d*$/.test(field.value) && give(Number(field.value)),
    onchange: () => give(Number(field.value.trim() || 0)),
    onkeydown: (event) => {
      const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      give(Math.max(qty + step, 1));
    },
  });
  const less = h("button", { type: "button", "aria-label": `One less of ${label}`, onclick: () => give(qty - 1) }, "−");
  const more = h("button", { type: "button", "aria-label": `One more of ${label}`, onclick: () => give(qty + 1) }, "+");
  const warning = h("p", { class: "small problem", id: hint });
  const element = h("div", { class: "steps" }, h("div", { class: "stepper" }, less, field, more), warning);

  /** @param {number} wanted */
  function give(wanted) {
    if (!Number.isInteger(wanted) || wanted < 0 || wanted > MAX_QTY) {
      field.value = String(qty);
      return;
    }
    onchange(wanted);
  }

  return {
    element,
    field,
    focus: () => more.focus(),

    /** @param {number} next @param {number | null} available what is left, null if not known */
    update(next, available, disabled = false) {
      qty = next;
      if (field.value !== String(qty)) field.value = String(qty);
      const short = available !== null && qty > available;
      field.setAttribute("aria-invalid", String(short));
      warning.textContent = short ? (available === 0 ? "Sold out." : `Only ${available} left.`) : "";
      for (const part of [field, less, more]) part.disabled = disabled;
    },
  };
}

/** Questions in a <dialog>: Escape is the way out, and the focus returns to where it was. */

import { h } from "./dom.js";

/**
 * Ask, and return the value of the button that was chosen; empty if none was.
 * @param {{title: string, content: (Node | string)[], buttons: {value: string, text: string, look?: string}[],
 *   wide?: boolean, signal?: AbortSignal}} question the first button is the safe one, and has the focus
 * @returns {Promise<string>}
 */
export function ask({ title, content, buttons, wide = false, signal }) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title", class: wide ? "wide" : null },
      h(
        "form",
        { method: "dialog", class: "stack" },
        h("h2", { id: "dialog-title" }, title),
        content,
        h(
          "div",
          { class: "row dialog-buttons" },
          buttons.map(({ value, text, look }, place) =>
            h("button", { value, class: look, autofocus: place === 0 }, text),
          ),
        ),
      ),
    );
    const close = () => dialog.close("");
    signal?.addEventListener("abort", close);
    dialog.addEventListener("close", () => {
      signal?.removeEventListener("abort", close);
      dialog.remove();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
      resolve(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

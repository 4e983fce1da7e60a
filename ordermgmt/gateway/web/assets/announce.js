/** Tells users of screen readers what others see happen. The two regions are in the page from the start. */

/** Say something when the reader pauses. @param {string} text */
export function announce(text) {
  say("status", text);
}

/** Say something at once. @param {string} text */
export function alarm(text) {
  say("alert", text);
}

/** @param {string} region @param {string} text */
function say(region, text) {
  const element = document.getElementById(region);
  if (!element) return;
  // Readers keep silent when the same words come again.
  element.textContent = element.textContent === text ? `${text}\u00a0` : text;
}

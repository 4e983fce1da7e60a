/** Makes elements. Text is only ever text: nothing here reads HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element. An attribute `onclick` is a listener, not text; one that is null, undefined or false is left out,
 * as is such a child. Children may be in lists.
 * @param {string} name
 * @param {Record<string, any>} [attributes]
 * @param {...any} children
 * @returns {any}
 */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/**
 * Make an element of a drawing.
 * @param {string} name
 * @param {Record<string, any>} [attributes]
 * @param {...any} children
 * @returns {any}
 */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/**
 * Put other children into an element, unless nothing would change: then whatever has the focus keeps it.
 * @param {Element} element
 * @param {...any} children
 */
export function replace(element, ...children) {
  const next = document.createElement("div");
  next.append(...real(children));
  const same = next.childNodes.length === element.childNodes.length
    && [...next.childNodes].every((node, place) => node.isEqualNode(element.childNodes[place]));
  if (!same) element.replaceChildren(...next.childNodes);
}

/** @param {any} element @param {Record<string, any>} attributes @param {any[]} children */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (name === "href" && !/^(#|\/(?!\/))/.test(value)) throw new TypeError("a link must stay on this site");
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...real(children));
  return element;
}

/** @param {any[]} children */
function real(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Makes elements. Text is only ever text: nothing here reads HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element. An attribute `onclick` is a listener, not text; one that is null, undefined or false is left out,
 * as is such a child. Children may be in lists. `key` says for `replace` what the listeners are for.
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
 * An element that listens counts as another one, unless both have the same `key`.
 * @param {Element} element
 * @param {...any} children
 */
export function replace(element, ...children) {
  const next = document.createElement("div");
  next.append(...real(children));
  if (isSame(element, next)) return;
  const way = wayTo(element, document.activeElement);
  element.replaceChildren(...next.childNodes);
  if (way)
    /** @type {any} */ (way.reduce((/** @type {any} */ node, place) => node?.children[place], element))?.focus?.({
      preventScroll: true,
    });
}

/** What the listeners of an element are for. @type {WeakMap<Element, unknown>} */
const keys = new WeakMap();

/** @param {Element} old @param {Element} next */
function isSame(old, next) {
  const [before, after] = [old.childNodes, next.childNodes];
  if (before.length !== after.length || ![...after].every((node, place) => node.isEqualNode(before[place])))
    return false;
  const others = old.querySelectorAll("*");
  return [...next.querySelectorAll("*")].every((element, place) => keys.get(element) === keys.get(others[place]));
}

/**
 * The places, from child to child, that lead to an element inside of another; null if it is not there.
 * @param {Element} outer
 * @param {Element | null} inner
 */
function wayTo(outer, inner) {
  if (!inner || inner === outer || !outer.contains(inner)) return null;
  const way = [];
  for (let node = inner; node !== outer; node = node.parentElement)
    way.unshift([...node.parentElement.children].indexOf(node));
  return way;
}

/** @param {any} element @param {Record<string, any>} attributes @param {any[]} children */
function fill(element, { key, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
      keys.set(element, key ?? Symbol(name));
    } else if (name === "value") element.value = value;
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

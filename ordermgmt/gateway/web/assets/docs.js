/** The page of the API: reads /openapi.json and writes it down for people. */

import { h } from "./dom.js";

const content = /** @type {HTMLElement} */ (document.getElementById("content"));

try {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  show(await answer.json());
} catch {
  content.replaceChildren(h("p", { class: "note wrong", role: "alert" }, "The description of the API could not be loaded. Load the page again to try once more."));
}

/** @param {any} api */
function show(api) {
  const sections = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(/** @type {any} */ (methods)).map(([method, operation]) => section(method.toUpperCase(), path, operation)));
  const types = Object.entries(api.components.schemas).map(([name, schema]) => type(name, schema));
  content.replaceChildren(
    h("p", {}, api.info.description),
    h("p", {}, "At ", h("code", {}, api.servers[0].url), ", version ", h("span", { class: "mono" }, api.info.version), "."),
    h("h2", {}, "Operations"), ...sections,
    h("h2", {}, "Types"), ...types);
}

/** @param {string} method @param {string} path @param {any} operation */
function section(method, path, operation) {
  const scopes = operation.security?.[0]?.oauth2;
  return h("details", { class: "card operation", id: operation.operationId },
    h("summary", {}, h("span", { class: "method" }, method), h("code", {}, path),
      h("span", { class: "chip" }, scopes ? scopes.join(" ") || "any token" : "public"),
      h("span", { class: "muted" }, prose(operation.summary))),
    operation.parameters && parameters(operation.parameters),
    operation.requestBody && [h("h3", {}, "Body"), body(operation.requestBody.content)],
    h("h3", {}, "Answers"), answers(operation.responses));
}

/** @param {string} text with code in backticks */
function prose(text) {
  return text.split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));
}

/** @param {any[]} list */
function parameters(list) {
  return [h("h3", {}, "Parameters"), table(["Name", "In", "What it is"], list.map((each) => [
    each.name, each.in + (each.required ? ", required" : ""),
    [prose(each.description), " ", h("span", { class: "mono muted" }, each.schema.pattern ?? each.schema.type)],
  ]))];
}

/** @param {any} responses */
function answers(responses) {
  return table(["Status", "What it means", "Body", "Headers"], Object.entries(responses).map(([status, answer]) => [
    status, prose(answer.description), answer.content ? body(answer.content) : "none", Object.keys(answer.headers ?? {}).join(", "),
  ]));
}

/** @param {string[]} names @param {any[][]} rows */
function table(names, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": names.join(", ") }, h("table", {},
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map(([first, ...rest]) =>
      h("tr", {}, h("th", { scope: "row", class: "mono" }, first), rest.map((cell) => h("td", {}, cell)))))));
}

/** @param {any} kinds */
function body(kinds) {
  return Object.entries(kinds).map(([kind, { schema }]) =>
    h("p", {}, reference(schema), " ", h("span", { class: "muted small" }, kind)));
}

/** @param {any} schema */
function reference(schema) {
  const name = schema.$ref?.split("/").at(-1);
  return name ? h("a", { href: `#${name}` }, name) : schema.type;
}

/** @param {string} name @param {any} schema */
function type(name, schema) {
  return h("section", { class: "card", id: name, tabindex: "-1" },
    h("h3", {}, name), schema.description && h("p", { class: "muted" }, prose(schema.description)),
    h("pre", { class: "schema", tabindex: "0", role: "group", "aria-label": `Schema of ${name}` },
      JSON.stringify({ required: schema.required, properties: schema.properties }, null, 2)));
}

/** The tables of the page: each takes what is known and returns elements. */

import { h } from "./dom.js";
import { histogram, sparkline } from "./operate_charts.js";
import { counted, duration, edgeKey, perSecond, spell, stateOf } from "./operate_model.js";

/**
 * @typedef {import("./operate_model.js").Model} Model
 * @typedef {import("./operate_actions.js").Act} Act
 */

const SIGNS = /** @type {Record<string, string>} */ ({ good: "●", warn: "◐", wrong: "✕" });
const DAY = 86_400;

/** @param {string} look @param {string} words */
export function chip(look, words) {
  return h("span", { class: `chip ${look}` }, h("span", { "aria-hidden": "true" }, `${SIGNS[look] ?? ""} `), words);
}

/** @param {{look: string, text: string}[]} troubles */
export function headline(troubles) {
  if (!troubles.length) return [h("p", { class: "note good headline" }, h("strong", {}, "Everything runs."), " No failures in the last minute.")];
  const worst = troubles.some(({ look }) => look === "wrong") ? "wrong" : "warn";
  return [h("div", { class: `note ${worst} headline` }, h("ul", { class: "troubles" }, troubles.map(({ look, text }) =>
    h("li", {}, h("span", { class: `sign ${look}`, "aria-hidden": "true" }, SIGNS[look]), " ", text))))];
}

/** @param {Model} model @param {number} now */
export function services(model, now) {
  const many = model.sources > 1;
  return table("services", ["Service", "State", "For", { text: "Restarts", number: true }, "Process", wide("Listens at"), wide("Last failure"), ...(many ? ["Supervisor"] : [])],
    model.services.map((service) => {
      const [look, words] = stateOf(service);
      return [
        h("strong", {}, service.worker),
        chip(look, words),
        spell(now - service.since),
        String(service.restarts),
        service.pid === null ? "none" : `${service.pid}${service.own ? "" : ", the supervisor's"}`,
        Object.entries(service.addresses).map(([key, address]) => h("div", { class: "mono" }, `${address}${key === "listen" ? "" : " (mTLS)"}`)),
        (service.state === "running" && service.reason) || service.error || "none",
        ...(many ? [h("span", { class: "mono" }, service.where)] : []),
      ];
    }));
}

/** @param {Model} model @param {import("./operate_model.js").Lines} lines */
export function edges(model, lines) {
  return table("edges", ["From and to", { text: "Requests/s", number: true }, "Last 3 minutes", { text: "50 %", number: true }, { text: "95 %", number: true }, { text: "99 %", number: true }, "95 % over time", "How long, 1 ms to 10 s", { text: "Refused", number: true }, { text: "Failed", number: true }],
    model.edges.map((edge) => {
      const line = lines.of(edgeKey(edge));
      const failed = edge.failed + edge.cancelled;
      return [
        h("span", {}, h("strong", {}, `${edge.caller || "clients"} → ${edge.service}`), h("span", { class: "muted" }, ` ${edge.what}`)),
        perSecond(edge.rate),
        sparkline(line.rates, line.failures),
        duration(edge.p50),
        duration(edge.p95),
        duration(edge.p99),
        sparkline(line.slow),
        histogram(edge.counts),
        String(edge.refused),
        failed ? h("strong", { class: "problem" }, failed) : "0",
      ];
    }));
}

/** @param {any} journal GET /journal @param {Model} model @param {Act} act */
export function journal(journal, model, act) {
  const { unfinished = 0, stuck = 0, oldest = 0 } = model.journal ?? {};
  const summary = !model.journal
    ? "The order service does not tell."
    : unfinished
      ? `${counted(unfinished, "change")} without an outcome, the oldest for ${spell(oldest)}; ${stuck} of them stuck.`
      : "Every change of an order has its outcome.";
  const operations = journal?.operations ?? [];
  return [
    h("p", {}, summary),
    operations.length
      ? table("journal", ["Order", "Change", "State", wide("Why"), "By", ""], operations.map((/** @type {any} */ one) => [
        h("span", { class: "mono" }, one.order), one.kind,
        chip(one.state === "stuck" ? "wrong" : "warn", one.state), one.reason ?? "no answer yet", one.subject,
        h("button", { id: `retry-${one.id}`, onclick: () => act.retry(one) }, "Retry", h("span", { class: "hide-visually" }, ` ${one.kind} of order ${one.order}`)),
      ]))
      : unfinished > 0 && h("p", { class: "muted" }, "They are just under way: those that take longer are listed here."),
  ];
}

/** @param {any} accounts */
export function accounts(accounts) {
  if (!accounts) return [h("p", { class: "muted" }, "Not counted yet.")];
  const wrong = accounts.goods.filter((/** @type {any} */ good) => good.missing);
  const verdict = !accounts.settled
    ? h("p", { class: "note" }, `Orders are changing just now (${counted(accounts.unfinished, "change")} without an outcome): the columns are not of one moment, and a difference in brackets says nothing.`)
    : wrong.length
      ? h("p", { class: "note wrong" }, h("strong", {}, "They do not agree. "), "Pieces are missing that are neither in orders nor in stock, or there are too many. Make a backup before anything else: its table says more.")
      : h("p", { class: "note good" }, h("strong", {}, "They agree"), `: every piece is in stock or in one of ${counted(accounts.orders, "order")}.`);
  return [verdict, table("accounts", ["Good", { text: "Added", number: true }, { text: "In orders", number: true }, { text: "In stock", number: true }, { text: "Difference", number: true }],
    accounts.goods.map((/** @type {any} */ good) => [
      h("span", {}, h("span", { class: "muted small" }, `${good.category} / `), h("wbr"), h("span", { class: "mono" }, good.code)),
      ...[good.added, good.in_orders, good.in_stock].map((count) => count.toLocaleString("en")),
      !good.missing ? "0" : accounts.settled ? h("strong", { class: "problem" }, good.missing.toLocaleString("en")) : h("span", { class: "muted" }, `(${good.missing.toLocaleString("en")})`),
    ]))];
}

/** @param {any} keys @param {Model} model @param {Act} act @param {number} now */
export function keys(keys, model, act, now) {
  const LOOKS = /** @type {Record<string, string>} */ ({ active: "good", next: "warn", retiring: "" });
  const UNTIL = /** @type {Record<string, string>} */ ({ next: "signs in", active: "next one due in", retiring: "forgotten in" });
  const list = keys?.keys ?? [];
  const published = list.some((/** @type {any} */ key) => key.state === "next");
  return [
    table("keys", ["Key", "State", "For", "Then"], list.map((/** @type {any} */ key) => [
      h("span", { class: "mono short", title: key.kid }, `${key.kid.slice(0, 10)}…`, h("span", { class: "muted" }, ` ${key.algorithm}`)),
      chip(LOOKS[key.state] ?? "", key.state), spell(now - seconds(key.since)),
      key.until ? `${UNTIL[key.state]} ${spell(seconds(key.until) - now)}` : "until replaced",
    ])),
    h("p", { class: "row" },
      h("button", { id: "rotate", onclick: () => act.rotate(published) }, "Rotate the signing key"),
      published && h("span", { class: "small muted" }, "A next key is published already.")),
    table("issuers", ["Who verifies", wide("Issuer"), { text: "Keys", number: true }, "Fetched"], model.issuers.map((issuer) => [
      h("strong", {}, issuer.service), h("span", { class: "mono" }, issuer.issuer), String(issuer.keys),
      issuer.age === null ? "never" : `${spell(issuer.age)} ago`,
    ])),
  ];
}

/** @param {any} sessions @param {Act} act @param {number} now */
export function sessions(sessions, act, now) {
  const list = sessions?.sessions ?? [];
  if (!list.length) return [h("p", { class: "muted" }, "Nobody is signed in.")];
  return [table("sessions", ["User", "Signed in", "Last used", "Clients", ""], list.map((/** @type {any} */ one) => [
    h("span", {}, h("strong", {}, one.user), one.own && h("span", { class: "muted small" }, " (you)")),
    `${spell(now - seconds(one.logged_in))} ago`, `${spell(now - seconds(one.last_used))} ago`, one.clients.join(", ") || "none",
    h("button", { id: `revoke-${one.id}`, onclick: () => act.revoke(one) }, "End", h("span", { class: "hide-visually" }, ` the session of ${one.user}, signed in at ${one.logged_in}`)),
  ]))];
}

/** @param {Model} model @param {number} now */
export function certificates(model, now) {
  return [
    table("certificates", ["Of", "Good for", "Until"], model.certificates.map(({ name, not_after: end, problem }) => {
      const days = end === null ? 0 : (end - now) / DAY;
      return [
        h("strong", {}, name === "ca" ? "authority" : name),
        problem ? chip("wrong", problem) : chip(days < 0 ? "wrong" : days < 7 ? "warn" : "good", days < 0 ? "over" : counted(Math.floor(days), "day")),
        end === null ? "–" : new Date(end * 1000).toISOString().slice(0, 10),
      ];
    })),
    command("They are renewed by themselves when a third of their life is left. At once:", "ordermgmt certs rotate"),
  ];
}

/** @param {Model} model */
export function trust(model) {
  return [
    table("trust", ["Caller", "May call", wide("With")], model.trust.map(({ caller, service, scopes, proof }) => [
      h("strong", {}, caller), h("strong", {}, service),
      h("span", {}, scopes.join(", "), h("span", { class: "muted small" }, ` – ${proof}`)),
    ])),
    h("p", { class: "small muted" }, "Whoever is not in this table is refused, whatever token it shows."),
    command("A service that hangs is restarted by ending its process; the supervisor starts it again:", "kill PID"),
  ];
}

/** @param {{at: Date, text: string}[]} events */
export function events(events) {
  if (!events.length) return [h("p", { class: "muted" }, "Nothing has changed.")];
  return [h("ol", { class: "events", reversed: true }, events.map(({ at, text }) =>
    h("li", {}, h("time", { class: "mono muted", datetime: at.toISOString() }, at.toTimeString().slice(0, 8)), " ", text)))];
}

/** @param {string} text @param {string} line */
function command(text, line) {
  return h("p", { class: "small" }, text, " ", h("code", {}, line));
}

/**
 * @param {string} name @param {(string | {text: string, number?: boolean, wide?: boolean})[]} columns @param {any[][]} rows
 */
function table(name, columns, rows) {
  const heads = columns.map((column) => (typeof column === "string" ? { text: column } : column));
  return h("table", { class: `cells ${name}`, "aria-labelledby": `${name === "issuers" ? "keys" : name}-title` },
    h("thead", {}, h("tr", {}, heads.map(({ text, number }) => h(text ? "th" : "td", { scope: text ? "col" : null, class: number ? "number" : null }, text)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, place) =>
      h(place ? "td" : "th", { scope: place ? null : "row", class: heads[place].number ? "number" : heads[place].wide ? "wide" : null, "data-head": heads[place].text || null }, h("div", {}, cell)))))));
}

/** A column that takes a line of its own on a phone. @param {string} text */
function wide(text) {
  return { text, wide: true };
}

/** @param {string} time */
function seconds(time) {
  return Date.parse(time) / 1000;
}

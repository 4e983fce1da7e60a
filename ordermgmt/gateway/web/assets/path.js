/** What just happened: the way of one request through the system, with its tokens' claims and what was checked. */

import { alarm } from "./announce.js";
import { look } from "./api.js";
import { h } from "./dom.js";
import { drawing } from "./path_drawing.js";
import { claimText, duration, nameOf, share, tokenName } from "./path_model.js";
import { unloaded } from "./words.js";

/** @typedef {import("./path_model.js").Path} Path */

const KINDS = /** @type {Record<string, string>} */ ({
  session: "A cookie between browser and gateway. It names a session that the gateway keeps; no script can read it.",
  opaque:
    "A random string. It means nothing outside the token service, so whoever steals it there learns nothing from it.",
  jwt: "Signed claims, which each service checks by itself.",
});

/**
 * Get the path of a request; null if it is not kept.
 * @param {string} id
 * @returns {Promise<Path | null>}
 */
export async function findPath(id) {
  const answer = await look(`/api/path/${encodeURIComponent(id)}`);
  return answer?.status === 200 ? answer.data : null;
}

/**
 * Show the path of a request in a panel.
 * @param {string} id
 */
export async function showPath(id) {
  const path = await findPath(id);
  if (!path) {
    alarm(unloaded(null));
    return;
  }
  const before = document.activeElement;
  const panel = h(
    "dialog",
    { class: "wide panel", "aria-labelledby": "panel-title" },
    h(
      "div",
      { class: "panel-head" },
      h("h2", { id: "panel-title", tabindex: "-1", autofocus: true }, "What just happened"),
      h("form", { method: "dialog" }, h("button", {}, "Close")),
    ),
    h(
      "p",
      {},
      h("code", {}, `${path.request.method} ${path.request.path}`),
      ` was answered with ${path.request.status} in ${duration(path.request.seconds)}.`,
    ),
    drawing(path, "wide"),
    drawing(path, "narrow"),
    h(
      "ol",
      { class: "hops", role: "list" },
      path.hops.map((hop, place) => step(hop, place, path)),
    ),
    h(
      "p",
      { class: "muted small" },
      "Request ",
      h("span", { class: "mono" }, path.request.id),
      ". No token is shown, only what it says.",
    ),
  );
  panel.addEventListener("close", () => {
    panel.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  });
  document.body.append(panel);
  panel.showModal();
}

/** @param {import("./path_model.js").Hop} hop @param {number} place @param {Path} path */
function step(hop, place, path) {
  return h(
    "li",
    { class: "hop" },
    h(
      "div",
      { class: "hop-head" },
      h(
        "h3",
        {},
        h("span", { class: "hop-number", "aria-hidden": "true" }, String(place + 1)),
        `${nameOf(hop.from)} → ${nameOf(hop.to)}`,
      ),
      hop.cached !== null &&
        h("span", { class: `chip ${hop.cached ? "good" : ""}` }, hop.cached ? "from the cache" : "new"),
      h("span", { class: "number muted" }, duration(hop.seconds)),
    ),
    h("progress", { class: "share", max: "1", value: share(hop, path), "aria-label": "Share of the whole time" }),
    h("p", {}, hop.what),
    hop.identities && (hop.identities.client || hop.identities.server) && identities(hop.identities),
    hop.token && tokenCard(hop.token, path.request.at),
  );
}

/** @param {{client: string | null, server: string | null}} both */
function identities({ client, server }) {
  return h(
    "dl",
    { class: "facts" },
    client && [h("dt", {}, "Calls as"), h("dd", { class: "mono" }, client)],
    server && [h("dt", {}, "Answers as"), h("dd", { class: "mono" }, server)],
  );
}

/** @param {import("./path_model.js").Token} token @param {number} at */
function tokenCard(token, at) {
  const facts = [
    ["Issuer", token.issuer],
    ["Audience", Array.isArray(token.audience) ? token.audience.join(", ") : token.audience],
    ["Good for", typeof token.expires_in === "number" ? `${Math.round(token.expires_in)} s more` : null],
  ].filter(([, value]) => value);
  return h(
    "div",
    { class: `token ${token.kind}` },
    h(
      "p",
      {},
      h("strong", {}, tokenName(token.kind ? token : null) || "token"),
      h("span", { class: "muted small block" }, KINDS[token.kind]),
    ),
    facts.length > 0 &&
      h(
        "dl",
        { class: "facts" },
        facts.map(([name, value]) => [h("dt", {}, name), h("dd", { class: "mono" }, value)]),
      ),
    members("Header", token.header, at),
    members("Claims", token.claims, at),
    checks(token.checks ?? []),
  );
}

/** @param {string} title @param {Record<string, any> | undefined} values @param {number} at */
function members(title, values, at) {
  const entries = Object.entries(values ?? {});
  if (entries.length === 0) return null;
  return h(
    "details",
    { open: title === "Claims" },
    h("summary", {}, title),
    h(
      "dl",
      { class: "facts" },
      entries.map(([name, value]) => [
        h("dt", { class: "mono" }, name),
        h("dd", { class: "mono" }, claimText(name, value, at)),
      ]),
    ),
  );
}

/** @param {import("./path_model.js").Check[]} list */
function checks(list) {
  if (list.length === 0) return null;
  return h(
    "details",
    { open: true },
    h("summary", {}, `Checked (${list.length})`),
    h(
      "dl",
      { class: "facts checks" },
      list.map(({ name, said }) => [h("dt", {}, name), h("dd", {}, said)]),
    ),
  );
}

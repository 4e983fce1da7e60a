/** Starts the operator's page: who looks, what they see, and what is told to those who cannot see it. */

import { alarm, announce } from "./announce.js";
import { Lost, send } from "./api.js";
import { h, replace } from "./dom.js";
import { openActions } from "./operate_actions.js";
import { drawing } from "./operate_drawing.js";
import { Lines, changes, modelOf, silenced, spell, troubles } from "./operate_model.js";
import * as parts from "./operate_parts.js";
import { read, watch } from "./operate_watch.js";

const SLOW = 10_000;
const QUIET = 2000;
const TICK = 250;
/** Seconds without an answer after which what is shown is called old, and after which that is worth a word. */
const [OLD, LOST] = [0.9, 2];
const KEPT = 50;
const SHOWN = ["headline", "drawing", "services", "edges", "journal", "accounts", "keys", "sessions", "certificates", "trust", "events"];
/** Tells the other tabs, those of the shop among them, and is told by them. */
const channel = new BroadcastChannel("session");
const SIGN_IN = "/session/login?return_to=%2Foperate";

const state = {
  /** @type {import("./operate_model.js").Model | null} */ model: null,
  lines: new Lines(),
  /** @type {{at: Date, text: string}[]} */ events: [],
  /** @type {any} */ journal: null,
  /** @type {any} */ accounts: null,
  /** @type {any} */ keys: null,
  /** @type {any} */ sessions: null,
  heardAt: 0,
  shownAt: 0,
  old: false,
  lost: false,
  stop: () => {},
};
const narrow = matchMedia("(max-width: 40rem)");
const act = openActions((text) => {
  note(text);
  lookCloser();
});

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Show other children, and keep the focus on what has the same id. @param {string} id @param {any} children */
function show(id, children) {
  const focused = document.activeElement;
  const inside = focused && focused.id && part(id).contains(focused) ? focused.id : null;
  replace(part(id), children);
  reach(part(id));
  if (inside && document.activeElement?.id !== inside) document.getElementById(inside)?.focus();
}

/** What can be scrolled has to be within reach of the keyboard; what cannot is no place to stop at. @param {HTMLElement} element */
function reach(element) {
  const scrolls = element.classList.contains("scroll") && element.scrollWidth > element.clientWidth;
  if (scrolls !== element.hasAttribute("tabindex")) scrolls ? (element.tabIndex = 0) : element.removeAttribute("tabindex");
}

/** @param {string} text */
function note(text) {
  state.events = [{ at: new Date(), text }, ...state.events].slice(0, KEPT);
}

/** @type {string[]} */
let unsaid = [];
/** Say what happened in one breath, not more often than every two seconds. @param {string[]} texts */
function say(texts) {
  if (!texts.length) return;
  if (!unsaid.length) {
    setTimeout(() => {
      announce(`${unsaid.slice(-3).join(". ")}.`);
      unsaid = [];
    }, QUIET);
  }
  unsaid.push(...texts);
}

/** Look at the clock: times go on, and what was heard grows old. */
function tick() {
  const now = Date.now() / 1000;
  const silence = now - state.heardAt;
  const old = silence > OLD;
  part("live").textContent = old ? `No answer from the gateway for ${silence.toFixed(1)} s` : "Live, twice a second";
  if (silence > LOST && !state.lost) {
    state.lost = true;
    note("The gateway does not answer");
    say(["The gateway does not answer"]);
  }
  if (old !== state.old || now - state.shownAt > 1) {
    state.old = old;
    render();
  }
}

function render() {
  const { model, old } = state;
  if (!model) return;
  const now = Date.now() / 1000;
  state.shownAt = now;
  document.body.classList.toggle("stale", old);
  const lost = old ? [{ look: "wrong", text: "The gateway does not answer. What you see is as of then." }] : [];
  show("headline", parts.headline([...lost, ...troubles(model, state.accounts, now)]));
  const known = old ? silenced(model) : model;
  show("drawing", drawing(known, narrow.matches));
  show("services", parts.services(known, now));
  show("edges", parts.edges(model, state.lines));
  show("journal", parts.journal(state.journal, model, act));
  show("accounts", parts.accounts(state.accounts));
  show("keys", parts.keys(state.keys, model, act, now));
  show("sessions", parts.sessions(state.sessions, act, now));
  show("certificates", parts.certificates(model, now));
  show("trust", parts.trust(model));
  show("events", parts.events(state.events));
}

/** @param {any} data */
function heard(data) {
  if (state.lost) {
    const text = `The gateway answers again, after ${spell(Date.now() / 1000 - state.heardAt)}`;
    note(text);
    say([text]);
    state.lost = false;
  }
  state.heardAt = Date.now() / 1000;
  if (data) {
    const before = state.model;
    const model = modelOf(data);
    state.model = model;
    for (const { address, sample } of model.samples) state.lines.add(address, sample);
    const happened = changes(before, model);
    happened.forEach(note);
    say(happened);
    if (before && before.journal?.unfinished !== model.journal?.unfinished) lookAtJournal();
    render();
  }
  tick();
}

/** @param {number} status */
function failed(status) {
  if (status === 401) return signedOut();
  if (status === 403) return notAllowed();
}

async function lookAtJournal() {
  state.journal = (await read("/api/journal")) ?? state.journal;
}

/** Ask for what changes seldom, or costs more. */
async function lookCloser() {
  const found = await Promise.all(["/api/journal", "/api/operate/accounts", "/api/operate/keys", "/api/operate/sessions"].map(read));
  const [journal, accounts, keys, sessions] = found;
  if (journal) state.journal = journal;
  if (accounts) state.accounts = accounts;
  if (keys) state.keys = keys;
  if (sessions) state.sessions = sessions;
  render();
}

/** Show and know nothing any more of what only operators may see. */
function empty() {
  state.stop();
  Object.assign(state, { model: null, lines: new Lines(), events: [], journal: null, accounts: null, keys: null, sessions: null });
  part("board").hidden = true;
  SHOWN.forEach((id) => part(id).replaceChildren());
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.close();
    dialog.remove();
  }
}

/** @param {any} content */
function gate(content) {
  empty();
  part("live").textContent = "";
  replace(part("gate"), h("div", { class: "card stack" }, content));
}

function signedOut() {
  replace(part("account"));
  gate([h("h2", {}, "Sign in to see how the system does"), h("p", {}, "It takes a user who may operate it."),
    h("p", {}, h("a", { class: "button first", href: SIGN_IN }, "Sign in"))]);
}

function notAllowed() {
  gate([h("h2", {}, "This page is for operators"), h("p", {}, "You are signed in, but not as somebody who may operate the system."),
    h("p", { class: "row" }, h("button", { class: "first", onclick: signOut }, "Sign out"), h("a", { class: "button", href: "/" }, "To the shop"))]);
}

/** @param {Event} event */
async function signOut({ currentTarget }) {
  const button = /** @type {HTMLButtonElement} */ (currentTarget);
  button.disabled = true;
  const answer = await send("POST", "/session/logout").catch(() => null);
  button.disabled = false;
  if (answer?.status !== 200) {
    const text = "You are still signed in: the gateway did not answer. Try again.";
    alarm(text);
    replace(part("notices"), h("p", { class: "note warn" }, text));
    return;
  }
  channel.postMessage("signed-out");
  signedOut();
  if (answer.data?.location) location.assign(answer.data.location);
}

async function start() {
  let session;
  try {
    session = (await send("GET", "/session")).data;
  } catch (error) {
    if (!(error instanceof Lost)) throw error;
    part("live").textContent = "The gateway does not answer; trying again…";
    setTimeout(start, 1000);
    return;
  }
  if (!session?.signed_in) return signedOut();
  replace(part("account"), h("span", { class: "user" }, session.user.name || session.user.preferred_username),
    h("button", { class: "plain", onclick: signOut }, "Sign out"));
  if (!session.scopes.includes("operate")) return notAllowed();
  const history = await read("/api/operate/history");
  for (const { address, report } of history?.supervisors ?? []) {
    for (const sample of report?.samples ?? []) state.lines.add(address, sample);
  }
  part("board").hidden = false;
  const stops = [watch("/api/operate/status", { heard, failed })];
  state.heardAt = Date.now() / 1000;
  const ticks = [
    setInterval(() => document.hidden || tick(), TICK),
    setInterval(() => document.hidden || lookCloser(), SLOW),
  ];
  /** Nobody asked while the page was hidden. */
  const shown = () => {
    state.heardAt = Date.now() / 1000;
  };
  document.addEventListener("visibilitychange", shown);
  narrow.addEventListener("change", render);
  state.stop = () => {
    stops.forEach((stop) => stop());
    ticks.forEach(clearInterval);
    document.removeEventListener("visibilitychange", shown);
    narrow.removeEventListener("change", render);
  };
  lookCloser();
}

channel.addEventListener("message", ({ data }) => {
  if (data === "signed-out") signedOut();
});
// A page that the browser keeps for "back" shows nothing when it comes back: the user may have signed out since.
addEventListener("pagehide", () => {
  empty();
  replace(part("account"));
});
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) location.reload();
});

start();

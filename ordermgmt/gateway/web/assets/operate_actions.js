/** What an operator does: asked for twice, sent once, and told how it went. */

import { alarm, announce } from "./announce.js";
import { Lost, send } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";

/**
 * @typedef {{retry: (operation: any) => void, revoke: (session: any) => void, rotate: (published: boolean) => void}} Act
 */

/**
 * @param {(text: string) => void} done is told of what was done, to note it and to look again
 * @returns {Act}
 */
export function openActions(done) {
  /** @param {{title: string, content: any[], verb: string, path: string, said: (data: any) => string}} what */
  async function act({ title, content, verb, path, said }) {
    const chosen = await ask({ title, content, buttons: [{ value: "", text: "Leave it" }, { value: "do", text: verb, look: "grave" }] });
    if (chosen !== "do") return;
    try {
      const { status, data, problem } = await send("POST", path);
      if (status >= 200 && status < 300) {
        announce(said(data));
        done(said(data));
      } else {
        fail(`${title} It was refused (${status}${problem?.detail ? `: ${problem.detail}` : ""}).`);
      }
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      fail(`${title} There was no answer: look below whether it was done.`);
    }
  }

  /** @param {string} text */
  function fail(text) {
    alarm(text);
    done(text);
  }

  return {
    retry: (operation) => void act({
      title: `Retry this ${operation.kind}?`,
      content: [h("p", {}, `The order service takes up the ${operation.kind} of order ${operation.order} at once. If it is over a minute old and was not done, it is closed as not done.`)],
      verb: "Retry it",
      path: `/api/journal/${encodeURIComponent(operation.id)}/retry`,
      said: () => `The ${operation.kind} of order ${operation.order} is tried again.`,
    }),
    revoke: (session) => void act({
      title: session.own ? "End your own session?" : `End a session of ${session.user}?`,
      content: [h("p", {}, `${session.user} has to sign in again there, and all tokens that came of it are over at once${session.clients.length ? `: those of ${session.clients.join(", ")}` : ""}. Requests that the gateway has let in already go on for a minute at most.`)],
      verb: "End the session",
      path: `/api/operate/sessions/${encodeURIComponent(session.id)}/revoke`,
      said: () => `The session of ${session.user} is over.`,
    }),
    rotate: (published) => void act({
      title: "Rotate the signing key?",
      content: [h("p", {}, published
        ? "A next key is published already, and signs when every service surely knows it. This changes nothing about it."
        : "A new key is published now, and signs in 21 minutes, when every service surely knows it. No request fails for it."),
      h("p", { class: "small" }, "If somebody may have stolen the key, do not wait: ", h("code", {}, "ordermgmt keys rotate --now"), " says what that breaks.")],
      verb: published ? "Ask all the same" : "Rotate it",
      path: "/api/operate/keys/rotate",
      said: (data) => `The key ${String(data?.kid).slice(0, 10)}… is published, and signs from ${data?.until}.`,
    }),
  };
}

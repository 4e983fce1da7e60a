/** Who is signed in. The server decides; this asks it, and tells the other tabs. */

import { send } from "./api.js";
import { SIGNED_OUT } from "./store.js";

/** @typedef {import("./store.js").Store} Store */

const CHANNEL = "session";

/**
 * Follow the session: what other tabs do, what the server answers, and what changed while nobody looked.
 * @param {Store} store
 * @param {{forget: () => void}} hooks `forget` removes what is the user's from this tab
 */
export function openSession(store, { forget }) {
  const channel = new BroadcastChannel(CHANNEL);

  async function refresh() {
    const before = store.state.session;
    let answer;
    try {
      answer = await send("GET", "/session");
    } catch {
      if (before.state === "unknown") setTimeout(refresh, 3000);
      return;
    }
    if (answer.status !== 200) return;
    const session = read(answer.data);
    if (before.sub && session.state === "in" && session.sub !== before.sub) forget();
    if (session.state === "out") end(before.state === "in" || before.lost);
    else if (JSON.stringify(session) !== JSON.stringify(before)) store.update({ session });
  }

  /** @param {boolean} lost */
  function end(lost) {
    const { session } = store.state;
    if (session.state === "out" && session.lost === lost) return;
    store.update({ session: { ...SIGNED_OUT, lost }, flash: null, path: null });
  }

  channel.addEventListener("message", ({ data }) => {
    if (data === "signed-out") {
      forget();
      end(false);
    } else {
      refresh();
    }
  });
  document.addEventListener("session-lost", () => {
    end(true);
    // It may be that only this tab did not know that somebody signed in again.
    refresh();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });

  return {
    /** Ask the server; once it has answered that somebody is signed in, other tabs ask, too. */
    async start() {
      await refresh();
      if (store.state.session.state === "in") channel.postMessage("changed");
    },

    refresh,

    /** End the session, here and in all tabs, and go to where its other part ends; false if that did not work. */
    async signOut() {
      const answer = await send("POST", "/session/logout").catch(() => null);
      if (answer?.status !== 200) return false;
      forget();
      channel.postMessage("signed-out");
      end(false);
      if (answer.data?.location) location.assign(answer.data.location);
      return true;
    },
  };
}

/** @param {any} data @returns {import("./store.js").Session} */
export function read(data) {
  if (!data?.signed_in) return SIGNED_OUT;
  const { sub = "", name = "", preferred_username: username = "" } = data.user ?? {};
  return { state: "in", sub, name: name || username || sub, scopes: data.scopes ?? [], lost: false };
}

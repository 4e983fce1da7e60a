import assert from "node:assert/strict";
import { test } from "node:test";
import { look, Lost, read, send } from "../../ordermgmt/gateway/web/assets/api.js";
import { dollars, total } from "../../ordermgmt/gateway/web/assets/money.js";
import {
  claimText,
  duration,
  edges,
  NARROW,
  sentence,
  share,
  WIDE,
} from "../../ordermgmt/gateway/web/assets/path_model.js";
import { editHash, orderHash, parse, signInPath } from "../../ordermgmt/gateway/web/assets/router.js";
import { read as readSession } from "../../ordermgmt/gateway/web/assets/session.js";
import { changed, delay } from "../../ordermgmt/gateway/web/assets/stock.js";
import { Store } from "../../ordermgmt/gateway/web/assets/store.js";
import { next, refusal, unloaded, waiting } from "../../ordermgmt/gateway/web/assets/words.js";

const answer = (status, data, headers = {}) =>
  read(status, new Headers({ "content-type": "application/problem+json", ...headers }), JSON.stringify(data));

test("addresses lead to pages, and rubbish to none", () => {
  assert.equal(parse("").page, "catalogue");
  assert.equal(parse("#/").page, "catalogue");
  assert.deepEqual(parse("#/orders/100500"), { page: "order", id: "100500" });
  assert.deepEqual(parse(editHash("a_b-c")), { page: "edit", id: "a_b-c" });
  assert.equal(parse("#/orders/../../session/logout").page, "nowhere");
  assert.equal(parse("#/orders/a%2fb").page, "nowhere");
  assert.equal(parse("#main"), null);
});

test("signing in leads back to the page, and nowhere else", () => {
  assert.equal(signInPath(orderHash("1")), "/session/login?return_to=%2F%23%2Forders%2F1");
  assert.equal(signInPath("//evil.example"), "/session/login?return_to=%2F");
});

test("a problem document is read, with members that have names of their own", () => {
  const { problem, retryAfter } = answer(
    409,
    {
      type: "urn:ordermgmt:problem:out-of-stock",
      detail: "short",
      code: "X",
      category: "books",
      available: 1,
      requested: 3,
    },
    { "retry-after": "7" },
  );
  assert.equal(problem.kind, "out-of-stock");
  assert.equal(problem.code, "X");
  assert.equal(retryAfter, 7);
});

test("what is no JSON is no data, and dates are no seconds", () => {
  assert.equal(read(200, new Headers({ "content-type": "application/json" }), "{").data, null);
  assert.equal(read(502, new Headers({ "content-type": "text/html" }), "<p>").problem, null);
  assert.equal(answer(503, {}, { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }).retryAfter, null);
});

test("being short of stock is said with what is left", () => {
  const short = (available) =>
    answer(409, { type: "urn:ordermgmt:problem:out-of-stock", category: "books", code: "X", available, requested: 3 });
  assert.equal(
    refusal(short(1), () => "Some book"),
    "You asked for 3 of Some book; only 1 are left.",
  );
  assert.equal(refusal(short(0)), "books/X is sold out.");
});

test("each trouble has human words, and says whether something was done", () => {
  assert.match(refusal(answer(409, { type: "urn:ordermgmt:problem:order-exists" })), /number already/);
  assert.match(waiting(null, true, false), /^You are offline\. Whether it was done is not known yet\.$/);
  assert.match(waiting(answer(503, {}), false), /busy or restarts\. Nothing was done\.$/);
  assert.match(waiting(answer(429, {}), false), /too many requests/);
  assert.match(waiting(answer(504, {}), true), /too long/);
  assert.match(next(0.4, false), /again now/);
  assert.match(next(1.2, true), /in 2 seconds.*nothing is done twice/);
  assert.match(unloaded(answer(503, {})), /busy/);
  assert.match(unloaded(answer(404, {})), /no such thing/);
});

test("prices add up in cents, and an unknown one is not guessed", () => {
  const items = new Map([
    ["a/b", { price: "0.10" }],
    ["a/c", { price: "1249.00" }],
  ]);
  assert.equal(
    total(
      [
        { category: "a", code: "b", qty: 3 },
        { category: "a", code: "c", qty: 1 },
      ],
      items,
    ),
    124_930,
  );
  assert.equal(dollars(124_930), "$1,249.30");
  assert.equal(total([{ category: "a", code: "x", qty: 1 }], items), null);
});

test("a session is who the server says it is", () => {
  assert.equal(readSession({ signed_in: false }).state, "out");
  assert.equal(readSession(null).state, "out");
  const user = { sub: "alice", name: "", preferred_username: "alice" };
  assert.deepEqual(readSession({ signed_in: true, user, scopes: ["add_order"] }), {
    state: "in",
    sub: "alice",
    name: "alice",
    scopes: ["add_order"],
    lost: false,
  });
});

test("stock that changed is found, and failures make for longer waits", () => {
  const at = (qty) => new Map([["a/b", { category: "a", code: "b", name: "B", price: "1.00", qty }]]);
  assert.deepEqual(changed(at(3), at(3)), []);
  assert.equal(changed(at(3), at(2)).length, 1);
  assert.deepEqual(changed(new Map(), at(2)), []);
  assert.deepEqual([0, 1, 2, 9].map(delay), [5000, 10_000, 20_000, 60_000]);
});

test("the store tells those who look at what changed, until they leave", () => {
  const store = new Store({ online: true, flash: null });
  const leaving = new AbortController();
  const seen = [];
  store.subscribe(["online"], ({ online }, before) => seen.push([before.online, online]), leaving.signal);
  store.update({ flash: { text: "", hash: "", requestId: null } });
  store.update({ online: true });
  store.update({ online: false });
  leaving.abort();
  store.update({ online: true });
  assert.deepEqual(seen, [[true, false]]);
});

const HOPS = [
  {
    from: "browser",
    to: "gateway",
    what: "asks",
    seconds: 0.04,
    cached: null,
    identities: { client: null, server: "spiffe://x/gateway" },
    token: { kind: "session" },
  },
  {
    from: "gateway",
    to: "sts",
    what: "exchanges",
    seconds: 0.01,
    cached: true,
    identities: { client: "spiffe://x/gateway", server: "spiffe://x/sts" },
    token: { kind: "opaque" },
  },
  {
    from: "gateway",
    to: "order",
    what: "passes on",
    seconds: 0.005,
    cached: null,
    identities: null,
    token: { kind: "jwt" },
  },
  {
    from: "gateway",
    to: "order",
    what: "once more",
    seconds: 0.005,
    cached: null,
    identities: null,
    token: { kind: "jwt" },
  },
  { from: "order", to: "elsewhere", what: "unheard of", seconds: null, cached: null, identities: null, token: null },
];

test("hops between the same places are one line, and unknown places have none", () => {
  const lines = edges(HOPS, WIDE);
  assert.deepEqual(
    lines.map(({ from, to }) => `${from} ${to}`),
    ["browser gateway", "gateway sts", "gateway order"],
  );
  assert.deepEqual(
    lines.map(({ mtls }) => mtls),
    [false, true, false],
  );
  assert.deepEqual(
    lines.map(({ cached }) => cached),
    [false, true, false],
  );
  assert.equal(lines[2].seconds, 0.01);
  assert.deepEqual(Object.keys(NARROW).sort(), Object.keys(WIDE).sort());
});

test("a hop is told in one sentence", () => {
  assert.equal(
    sentence(HOPS[1]),
    "Gateway to Token service: exchanges, with an opaque token, over mutual TLS, remembered from before, 10 ms.",
  );
  assert.equal(sentence(HOPS[4]), "Orders to elsewhere: unheard of.");
});

test("times, shares and claims are rendered for people", () => {
  assert.deepEqual([0.0004, 0.0412, 12.3, null].map(duration), ["0.4 ms", "41 ms", "12.3 s", ""]);
  const path = { request: { seconds: 0.04 }, hops: HOPS };
  assert.equal(share(HOPS[1], path), 0.25);
  assert.equal(share(HOPS[4], path), 0);
  assert.equal(claimText("exp", 160, 100), "160 (60 s later)");
  assert.equal(claimText("iat", 90, 100), "90 (10 s earlier)");
  assert.equal(claimText("act", { sub: "client:gateway" }, 0), '{"sub":"client:gateway"}');
});

test("what takes too long is lost, and what its user left is not", async () => {
  const original = globalThis.fetch;
  globalThis.fetch = (path, { signal }) =>
    new Promise((_, reject) => {
      // Node does not wait for the timer of a signal alone.
      const alive = setTimeout(() => {}, 10_000);
      const end = () => {
        clearTimeout(alive);
        reject(signal.reason);
      };
      if (signal.aborted) end();
      signal.addEventListener("abort", end);
    });
  try {
    await assert.rejects(send("GET", "/slow", { timeout: 5 }), Lost);
    await assert.rejects(look("/slow", AbortSignal.abort()), { name: "AbortError" });
  } finally {
    globalThis.fetch = original;
  }
});

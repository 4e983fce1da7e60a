import assert from "node:assert/strict";
import { test } from "node:test";
import { Lost } from "../../ordermgmt/gateway/web/assets/api.js";
import { carryOut, judge, newAlarm } from "../../ordermgmt/gateway/web/assets/change.js";

const CHANGE = { method: "POST", path: "/api/order", body: "{}", headers: { "idempotency-key": '"k"' } };
const answer = (status, more = {}) => ({
  status,
  data: null,
  problem: null,
  etag: null,
  retryAfter: null,
  requestId: null,
  location: null,
  ...more,
});
const LOST = "lost";

/** Carry out CHANGE against these answers, one after the other; what was told and sent comes back, too. */
async function play(answers, means = {}) {
  const [sent, told, pauses] = [[], [], []];
  const outcome = await carryOut(CHANGE, {
    send: async (method, path, options) => {
      sent.push({ method, path, ...options });
      const next = answers.shift();
      if (next === LOST) throw new Lost("no answer");
      return next;
    },
    pause: async (seconds) => {
      pauses.push(seconds);
    },
    tell: (step) => told.push(step),
    ...means,
  });
  return { outcome, sent, told, pauses };
}

const TABLE = [
  ["an answer is the end", answer(201), false, "done", false],
  ["no answer: nobody knows", null, false, "again", true],
  ["503: surely not done", answer(503), false, "again", false],
  ["503 after a lost one: the lost one may have been", answer(503), true, "again", true],
  ["429", answer(429), false, "again", false],
  ["408", answer(408), false, "again", false],
  ["504: nobody knows", answer(504), false, "again", true],
  ["500: nobody knows", answer(500), false, "again", true],
  ["502: nobody knows", answer(502), false, "again", true],
  ["409 in progress", answer(409, { problem: { kind: "operation-in-progress", detail: "" } }), false, "again", false],
  [
    "409 in progress after a lost one",
    answer(409, { problem: { kind: "operation-in-progress", detail: "" } }),
    true,
    "again",
    true,
  ],
  ["409 for good", answer(409, { problem: { kind: "out-of-stock", detail: "" } }), true, "refused", false],
  ["412", answer(412), true, "refused", false],
  ["422", answer(422), false, "refused", false],
  ["403", answer(403), false, "refused", false],
  ["401 keeps what is not known", answer(401), true, "signed-out", true],
];
for (const [name, given, unknown, kind, after] of TABLE) {
  test(`judge: ${name}`, () => {
    const verdict = judge(given, { tries: 1, unknown });
    assert.equal(verdict.kind, kind);
    assert.equal(verdict.unknown, after);
  });
}

test("the same request with the same key is sent until there is an answer", async () => {
  const { outcome, sent, told } = await play([LOST, answer(504), answer(503), answer(201)]);
  assert.equal(outcome.kind, "done");
  assert.equal(sent.length, 4);
  for (const request of sent) {
    assert.deepEqual(
      [request.method, request.path, request.body, request.headers],
      ["POST", "/api/order", "{}", { "idempotency-key": '"k"' }],
    );
  }
  assert.deepEqual(
    told.map(({ state, unknown }) => `${state} ${unknown}`),
    ["sending false", "waiting true", "sending true", "waiting true", "sending true", "waiting true", "sending true"],
  );
});

test("waits grow, and are at least what the server asks for", async () => {
  const { pauses } = await play([LOST, answer(503, { retryAfter: 20 }), LOST, LOST, LOST, LOST, LOST, answer(201)]);
  assert.deepEqual(pauses, [1, 20, 4, 8, 16, 30, 30]);
});

test("what is surely not done is given up after a while", async () => {
  const { outcome, sent } = await play(Array.from({ length: 9 }, () => answer(503)));
  assert.deepEqual([outcome.kind, outcome.unknown, sent.length], ["given-up", false, 7]);
});

test("what may have been done is asked for much longer, and stays not known", async () => {
  const { outcome, sent } = await play(Array.from({ length: 99 }, () => LOST));
  assert.deepEqual([outcome.kind, outcome.unknown, sent.length], ["given-up", true, 64]);
});

test("after a reload it counts as not known from the first try on", async () => {
  const { outcome, told } = await play([answer(401)], { unknown: true });
  assert.deepEqual([outcome.kind, outcome.unknown, told[0].unknown], ["signed-out", true, true]);
});

test("whoever leaves ends it", async () => {
  const leaving = new AbortController();
  const running = play([LOST, answer(201)], { signal: leaving.signal, pause: async () => leaving.abort() });
  await assert.rejects(running, { name: "AbortError" });
});

test("another error is not taken for a lost connection", async () => {
  const send = async () => {
    throw new TypeError("a fault of ours");
  };
  await assert.rejects(carryOut(CHANGE, { send, pause: async () => {}, tell: () => {} }), TypeError);
});

test("an alarm can be woken before its time", async () => {
  const { pause, wake } = newAlarm();
  wake();
  const waiting = pause(3600);
  wake();
  await waiting;
});

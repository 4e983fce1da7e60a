import assert from "node:assert/strict";
import { test } from "node:test";
import { changes, modelOf, troubles } from "../../ordermgmt/gateway/web/assets/operate_model.js";

const report = (...services) => ({ pid: 1, services, edges: [], bounds: [], certificates: [], trust: [], issuers: [], journal: null });
const worker = (name, state, changed = {}) => ({
  name: "order", worker: name, state, since: 0, restarts: 0, pid: 2, error: null, reason: null, addresses: {}, ...changed,
});
const model = (...services) => modelOf({ supervisors: [{ address: "127.0.0.1:9400", report: report(...services) }] });

test("workers of one service are told apart", () => {
  const before = model(worker("order-1", "running"), worker("order-2", "running"));
  const killed = { error: "it was killed" };
  const down = model(worker("order-1", "running"), worker("order-2", "backing_off", killed));
  assert.deepEqual(changes(before, down), ["order-2 is down, starts again: it was killed"]);
  assert.deepEqual(troubles(down, null, 0).map(({ text }) => text), ["order-2 is down, starts again: it was killed"]);
  const back = model(worker("order-1", "running"), worker("order-2", "running", { ...killed, restarts: 1 }));
  assert.deepEqual(changes(down, back), ["order-2 runs again, after restart 1: it was killed"]);
  assert.deepEqual(changes(before, before), []);
});

test("a service of a supervisor that knows no workers is its own", () => {
  const { worker: _, ...alone } = worker("", "failed");
  assert.equal(model(alone).services[0].worker, "order");
});

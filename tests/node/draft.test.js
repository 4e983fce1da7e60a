import assert from "node:assert/strict";
import { test } from "node:test";
import { bodyOf, check, EMPTY, openDrafts, withQty } from "../../ordermgmt/gateway/web/assets/draft.js";

const BOOK = "books/978-1484220498";
const GOOD = { name: "Books", id: "", lines: { [BOOK]: 2 }, sub: "alice" };

class Storage extends Map {
  getItem(name) {
    return this.get(name) ?? null;
  }
  setItem(name, value) {
    this.set(name, value);
  }
  removeItem(name) {
    this.delete(name);
  }
}

test("a draft and an attempt survive in the storage", () => {
  const storage = new Storage();
  const attempt = { key: "k", body: "{}", sub: "alice" };
  openDrafts(storage).save(GOOD);
  assert.equal(openDrafts(storage).keepAttempt(attempt), true);
  assert.deepEqual(openDrafts(storage).load(), GOOD);
  assert.deepEqual(openDrafts(storage).attempt(), attempt);
  openDrafts(storage).forget();
  assert.equal(storage.size, 0);
});

test("rubbish in the storage is no draft", () => {
  for (const text of ["", "{", "null", "7", '{"name": 1}', '{"name":"","id":"","sub":"","lines":{"a/b":-1}}']) {
    assert.equal(openDrafts(new Storage([["draft", text]])).load(), EMPTY);
  }
});

test("a storage that refuses is told of", () => {
  const storage = new Storage();
  storage.setItem = () => {
    throw new Error("quota");
  };
  assert.equal(openDrafts(storage).keepAttempt({ key: "k", body: "{}", sub: "" }), false);
});

test("quantities are whole and bounded, and none takes the line out", () => {
  assert.deepEqual(withQty(EMPTY, BOOK, 3.7).lines, { [BOOK]: 3 });
  assert.deepEqual(withQty(EMPTY, BOOK, 1e9).lines, { [BOOK]: 1_000_000 });
  for (const none of [0, -1, NaN]) assert.deepEqual(withQty(GOOD, BOOK, none).lines, {});
});

test("the body is what the order service takes", () => {
  assert.deepEqual(JSON.parse(bodyOf({ ...GOOD, name: " Books " })), {
    name: "Books",
    items: [{ category: "books", code: "978-1484220498", qty: 2 }],
  });
  assert.equal(JSON.parse(bodyOf({ ...GOOD, id: " 100500 " })).id, "100500");
});

test("what is wrong is said by field", () => {
  assert.deepEqual(check(GOOD), {});
  assert.deepEqual(Object.keys(check({ ...GOOD, name: " " })), ["name"]);
  assert.deepEqual(Object.keys(check({ ...GOOD, name: "a\nb" })), ["name"]);
  assert.deepEqual(Object.keys(check({ ...GOOD, name: "x".repeat(201) })), ["name"]);
  assert.deepEqual(check({ ...GOOD, name: "\u{1f4da}".repeat(200) }), {});
  assert.deepEqual(Object.keys(check({ ...GOOD, id: "a b" })), ["id"]);
  assert.deepEqual(Object.keys(check({ ...GOOD, lines: {} })), ["lines"]);
});

// Calls and writes: time-outs, losses, and writes that are sent again.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { SeatsError, SeatsSync } from "../../seatsync/web/client.js";
import { begin, FakeSocket, pass, settle } from "./socket.mjs";

beforeEach(begin);

const ITEMS = [{ seat_id: 612, status: "RESERVED" }];
const WRITE = "hall.update_seats";

function connect() {
  const seats = new SeatsSync("http://localhost:3000", { WebSocket: FakeSocket });
  return { seats, socket: FakeSocket.last.open() };
}

/** Answer the last message of a type. */
function answer(type, frame) {
  FakeSocket.last.answer({ ...frame, eid: FakeSocket.last.of(type).at(-1).eid });
  return settle();
}

const refuse = (code, retry_after) => answer(WRITE, { status: "error", error: code, message: "No.", retry_after });

/** Let time pass while promises settle. */
async function later(ms) {
  for (; ms > 0; ms -= 250) {
    pass(Math.min(ms, 250));
    await settle();
  }
}

test("a call has the answer's data, or its error", async () => {
  const { seats } = connect();
  const good = seats.call("hall.get", { id: 3 });
  await answer("hall.get", { data: { id: 3 } });
  assert.deepEqual(await good, { id: 3 });
  const bad = seats.call("hall.get", { id: 4 }).catch((error) => error);
  await answer("hall.get", { status: "error", error: "TooManyRequests", message: "Wait.", retry_after: 2 });
  const error = await bad;
  assert.ok(error instanceof SeatsError);
  assert.deepEqual([error.code, error.message, error.retryAfter], ["TooManyRequests", "Wait.", 2]);
});

test("calls have eids of their own, and answers may come in any order", async () => {
  const { seats, socket } = connect();
  const calls = [1, 2, 3].map((id) => seats.call("hall.get", { id }));
  for (const { eid, data } of socket.of("hall.get").reverse()) socket.answer({ eid, data });
  assert.deepEqual(await Promise.all(calls), [{ id: 1 }, { id: 2 }, { id: 3 }]);
});

test("a call without an answer times out, and a late answer is nobody's", async () => {
  const { seats } = connect();
  const call = seats.call("hall.get", { id: 3 }, { timeout: 2000 });
  pass(2000);
  await assert.rejects(call, { code: "TimedOut", name: "SeatsError" });
  await answer("hall.get", { data: {} });
});

test("a call waits for the connection; one that was sent is lost with it", async () => {
  const seats = new SeatsSync("http://localhost:3000", { WebSocket: FakeSocket });
  const call = seats.call("hall.get", { id: 3 });
  FakeSocket.last.open();
  assert.equal(FakeSocket.last.of("hall.get").length, 1);
  FakeSocket.last.end(1006);
  await assert.rejects(call, { code: "LinkLost" });
  pass(500);
  assert.equal(FakeSocket.last.open().of("hall.get").length, 0);
});

test("a write is sent again on the next connection, in order, with its key", async () => {
  const { seats, socket } = connect();
  const writes = [1, 2].map((seat_id) => seats.updateSeats(3, [{ seat_id, status: "OCCUPIED" }]));
  socket.end(1006);
  await settle();
  pass(500);
  const next = FakeSocket.last.open();
  const without = ({ data }) => data;
  assert.deepEqual(next.of(WRITE).map(without), socket.of(WRITE).map(without));
  const keys = next.of(WRITE).map(({ data }) => data.key);
  for (const key of keys) assert.match(key, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(keys[0], keys[1]);
  for (const { eid, data } of next.of(WRITE)) next.answer({ eid, data: { id: data.seats[0].seat_id } });
  assert.deepEqual(await Promise.all(writes), [{ id: 1 }, { id: 2 }]);
});

test("a write that has timed out waits for the next connection", async () => {
  const { seats, socket } = connect();
  seats.updateSeats(3, ITEMS).catch(() => {});
  socket.end(1001, '{"retry_ms":[60000,60000]}');
  await later(60_000);
  assert.equal(FakeSocket.last.open().of(WRITE).length, 1);
  seats.close();
});

test("a write without an outcome is sent again: after a time-out, and when the server says so", async () => {
  const { seats, socket } = connect();
  const write = seats.updateSeats(3, ITEMS, { key: "mine" });
  await later(9_750);
  assert.equal(socket.of(WRITE).length, 1);
  await later(250);
  assert.equal(socket.of(WRITE).length, 2);
  await refuse("ServiceUnavailable", 1.5);
  await later(1250);
  assert.equal(socket.of(WRITE).length, 2);
  await later(250);
  assert.equal(socket.of(WRITE).length, 3);
  socket.heartbeat();
  await refuse("InternalServerError");
  await later(1000);
  assert.equal(socket.of(WRITE).length, 4);
  assert.deepEqual(new Set(socket.of(WRITE).map(({ data }) => data.key)), new Set(["mine"]));
  await answer(WRITE, { data: { rev: 8 } });
  assert.deepEqual(await write, { rev: 8 });
});

for (const code of ["SeatConflict", "Forbidden", "Unauthorized", "SessionExpired", "ValidationError"]) {
  test(`${code} is an outcome`, async () => {
    const { seats, socket } = connect();
    const write = seats.updateSeats(3, ITEMS).catch((error) => error.code);
    await refuse(code);
    assert.equal(await write, code);
    assert.equal(socket.of(WRITE).length, 1);
  });
}

test("a write is given up before the server forgets its key, and when the client is closed", async () => {
  const { seats, socket } = connect();
  const write = seats.updateSeats(3, ITEMS).catch((error) => error.code);
  for (let minute = 0; minute < 9; minute += 1) {
    await refuse("ServiceUnavailable", 60);
    assert.equal(socket.of(WRITE).length, minute + 1);
    for (let second = 0; second < 60; second += 1) {
      pass(1000);
      socket.heartbeat();
    }
    await settle();
  }
  pass(1000);
  await refuse("ServiceUnavailable", 60);
  assert.equal(await write, "ServiceUnavailable");
  const other = seats.updateSeats(3, ITEMS);
  seats.close();
  await assert.rejects(other, { code: "Closed" });
});

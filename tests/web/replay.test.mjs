// Looking back: a hall as it was, and its changes in their time.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { SeatsSync } from "../../seatsync/web/client.js";
import { begin, FakeSocket, pass, settle } from "./socket.mjs";

beforeEach(begin);

const TYPE = { id: 4, name: "VIP" };
const seat = (id, status = "VACANT") => ({ id, status, updated_at: "t0", note: null, hold_until: null, seat_type: TYPE });
const counts = (VACANT, OCCUPIED) => [{ ...TYPE, seats_count: 2, seats: { VACANT, OCCUPIED } }];
const then = (rev, at) => ({ id: 3, rev, at, seats: [seat(1), seat(2)], seat_types: counts(2, 0) });
const event = (rev, at, seat_id, new_status, kind = "status") => ({ rev, at, seat_id, kind, new_status, note: null, hold_until: null });

/** Answer all that has been sent of a type, in order. */
function answer(type, ...data) {
  const sent = FakeSocket.last.of(type).slice(-data.length);
  sent.forEach(({ eid }, i) => FakeSocket.last.answer({ eid, data: data[i] }));
  return settle();
}

function hall() {
  const seats = new SeatsSync("http://localhost:3000", { WebSocket: FakeSocket });
  FakeSocket.last.open();
  return seats.hall(3);
}

test("a number is a revision, all else a time", async () => {
  const store = hall();
  store.at(7);
  store.at(new Date(0));
  store.at("1970-01-01T01:00:00+01:00");
  const [rev, date, text] = FakeSocket.last.of("hall.at").map(({ data }) => data);
  assert.deepEqual([rev, date, text], [{ id: 3, rev: 7 }, { id: 3, at: "1970-01-01T00:00:00.000Z" }, date]);
});

test("a replay waits between changes as long as they took, by its speed", async () => {
  const moments = [];
  (async () => {
    for await (const moment of hall().replay(7, 9, { speed: 60 })) moments.push(moment);
    moments.push("end");
  })();
  await settle();
  await answer("hall.at", then(7, "2026-01-01T12:00:00.000Z"), then(9, "2026-01-01T12:30:00.000Z"));
  assert.deepEqual(moments.map(({ hall }) => hall.rev), [7]);
  const [{ data }] = FakeSocket.last.of("hall.history");
  assert.deepEqual(data, { id: 3, cursor: "10-0", limit: 500 });
  const late = [event(9, "2026-01-01T12:10:00.000Z", 2, "VACANT"), event(8, "2026-01-01T12:01:00.000Z", 2, "OCCUPIED")];
  await answer("hall.history", { id: 3, events: late, cursor: "8-2" });
  const early = [event(8, "2026-01-01T12:00:59.000Z", 1, "OCCUPIED"), event(7, "2026-01-01T11:00:00.000Z", 1, "VACANT")];
  await answer("hall.history", { id: 3, events: early, cursor: "7-1" });
  pass(990);
  await settle();
  assert.equal(moments.length, 1);
  pass(20);
  await settle();
  assert.deepEqual(moments[1].events, [early[0], late[1]]);
  const { rev, at, seats, seat_types } = moments[1].hall;
  assert.deepEqual([rev, at], [8, "2026-01-01T12:01:00.000Z"]);
  assert.deepEqual(seats.map(({ status, updated_at }) => [status, updated_at]), [["OCCUPIED", early[0].at], ["OCCUPIED", at]]);
  assert.deepEqual(seat_types, counts(0, 2));
  pass(8000);
  await settle();
  assert.equal(moments.length, 2);
  pass(1100);
  await settle();
  assert.deepEqual([moments[2].hall.rev, moments[3]], [9, "end"]);
});

test("a changed layout is asked for", async () => {
  const moments = [];
  (async () => {
    for await (const moment of hall().replay(7, 8)) moments.push(moment);
  })();
  await settle();
  await answer("hall.at", then(7, "2026-01-01T12:00:00.000Z"), then(8, "2026-01-01T12:30:00.000Z"));
  await answer("hall.history", { id: 3, events: [event(8, "2026-01-01T12:30:00.000Z", null, null, "layout")], cursor: null });
  assert.deepEqual(FakeSocket.last.of("hall.at").at(-1).data, { id: 3, rev: 8 });
  const gone = { ...then(8, "2026-01-01T12:30:00.000Z"), seats: [seat(1)] };
  await answer("hall.at", gone);
  assert.deepEqual(moments[1].hall, gone);
});

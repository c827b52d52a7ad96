// The stores: subscriptions over the wire, merging, resume, staleness, errors, iteration.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { SeatsSync } from "../../seatsync/web/client.js";
import { begin, FakeSocket, pass, settle } from "./socket.mjs";

beforeEach(begin);

const seat = (id, status = "VACANT") => ({ id, row: 1, place: id, status, updated_at: "t0", note: null });
const type = (id, vacant) => ({ id, seats_count: 2, seats: { VACANT: vacant } });
const HALL = { id: 3, name: "Salon", rev: 7, epoch: "e", seats: [seat(2), seat(1)], seat_types: [type(4, 2)] };
const UPDATE = {
  id: 3,
  rev: 8,
  seats: [{ id: 2, status: "RESERVED", updated_at: "t1", note: null }],
  seat_types: [type(4, 1)],
};
const MERGED = {
  ...HALL,
  rev: 8,
  seats: [{ ...seat(2), status: "RESERVED", updated_at: "t1" }, seat(1)],
  seat_types: [type(4, 1)],
};

function connect() {
  const seats = new SeatsSync("http://localhost:3000", { WebSocket: FakeSocket });
  return { seats, socket: FakeSocket.last.open() };
}

function frame(type, status, data, more = {}) {
  const { eid } = FakeSocket.last.of(`${type}.subscribe`).at(-1);
  FakeSocket.last.answer({ eid, status, data, ...more });
}

const error = (code, more) => ["error", null, { error: code, message: "No.", ...more }];

/** Lose the connection, and open the next. */
function reconnect() {
  FakeSocket.last.end(1006);
  pass(500);
  return FakeSocket.last.open();
}

function watch() {
  const { seats, socket } = connect();
  const views = [];
  const stop = seats.hall(3).subscribe((view) => views.push(view));
  frame("hall", "snapshot", HALL);
  return { seats, socket, views, stop, hall: seats.hall(3), view: () => seats.hall(3).value };
}

test("a hall is subscribed to while somebody wants it, once, and resumed", () => {
  const { seats, socket } = connect();
  const first = seats.hall(3).subscribe(() => {});
  const second = seats.hall(3).subscribe(() => {});
  assert.equal(seats.hall(3), seats.hall(3));
  const [sent, ...others] = socket.of("hall.subscribe");
  assert.deepEqual([sent.data, others], [{ id: 3 }, []]);
  frame("hall", "snapshot", HALL);
  first();
  first();
  assert.deepEqual(socket.of("hall.unsubscribe"), []);
  second();
  assert.deepEqual(socket.of("hall.unsubscribe")[0].data, { sub_eid: sent.eid });
  assert.deepEqual([seats.hall(3).value.hall, seats.hall(3).value.stale], [HALL, true]);
  socket.answer({ eid: sent.eid, status: "update", data: UPDATE }); // was under way
  assert.deepEqual(seats.hall(3).value.hall, HALL);
  seats.hall(3).subscribe(() => {});
  assert.deepEqual(socket.of("hall.subscribe")[1].data, { id: 3, since: 7, epoch: "e" });
  frame("hall", "update", { id: 3, rev: 7, seats: [], seat_types: [], resumed: true });
  assert.deepEqual([seats.hall(3).value.hall, seats.hall(3).value.stale], [HALL, false]);
});

test("an update is merged into a new value, in the order of the snapshot", () => {
  const { views, view } = watch();
  const before = structuredClone(views.at(-1));
  pass(100);
  frame("hall", "update", UPDATE);
  assert.deepEqual(view(), { hall: MERGED, change: UPDATE, stale: false, staleSince: null, at: Date.now(), error: null });
  assert.deepEqual(views.at(-2), before);
  assert.equal(views.at(-1).hall.seats[1], views.at(-2).hall.seats[1]);
  frame("hall", "snapshot", { ...HALL, rev: 9 });
  assert.equal(view().change, null);
});

test("a merged update follows what is known; one that does not is answered with a new snapshot", () => {
  const { socket, view } = watch();
  frame("hall", "update", { ...UPDATE, from: 8, rev: 11 });
  assert.deepEqual([view().hall.rev, view().change.from], [11, 8]);
  frame("hall", "update", { ...UPDATE, rev: 11 });
  assert.equal(view().hall.rev, 11);
  frame("hall", "update", { ...UPDATE, rev: 13, seats: [] });
  assert.equal(socket.of("hall.unsubscribe").length, 1);
  assert.deepEqual(socket.of("hall.subscribe").at(-1).data, { id: 3 });
  assert.deepEqual([view().hall.rev, view().stale], [11, true]);
  frame("hall", "snapshot", { ...HALL, rev: 13 });
  assert.deepEqual([view().hall.rev, view().stale], [13, false]);
  frame("hall", "update", { ...UPDATE, rev: 14 });
  assert.equal(view().hall.rev, 14);
});

test("with the link lost a hall is stale until its first frame on the next one", () => {
  const { seats, view } = watch();
  const at = Date.now();
  pass(100);
  FakeSocket.last.end(1006);
  assert.deepEqual([view().stale, view().staleSince, view().at], [true, at + 100, at]);
  pass(500);
  FakeSocket.last.open();
  assert.deepEqual(FakeSocket.last.of("hall.subscribe")[0].data, { id: 3, since: 7, epoch: "e" });
  assert.deepEqual([seats.state.value.link, view().stale], ["live", true]);
  frame("hall", "update", { ...UPDATE, from: 8, resumed: true });
  assert.deepEqual([view().hall, view().stale, view().staleSince], [MERGED, false, null]);
});

test("a hall is as old as the server says", () => {
  const { seats, views, view } = watch();
  const since = Date.now();
  frame("hall", "update", { id: 3, stale: true });
  assert.deepEqual([view().stale, view().staleSince, seats.state.value.stale], [true, since, true]);
  pass(10);
  frame("hall", "update", UPDATE);
  assert.deepEqual([view().hall, view().stale, view().staleSince], [MERGED, true, since]);
  frame("hall", "update", { id: 3, stale: false });
  assert.deepEqual([view().stale, view().staleSince, seats.state.value.stale], [false, null, false]);
  assert.equal(views.at(-1).change, views.at(-2).change);
  frame("hall", "update", { id: 3, stale: true });
  reconnect();
  assert.deepEqual([view().stale, seats.state.value.stale], [true, false]);
  frame("hall", "update", { id: 3, stale: true });
  assert.deepEqual([view().stale, seats.state.value.stale], [true, true]);
  frame("hall", "snapshot", { ...HALL, stale: true });
  assert.deepEqual([view().hall, view().stale], [HALL, true]);
});

test("a subscription that waits has no hall, and is not broken", () => {
  const { seats, socket } = connect();
  seats.hall(3).subscribe(() => {});
  frame("hall", "update", { id: 3, stale: true });
  assert.deepEqual([seats.hall(3).value.hall, seats.hall(3).value.stale], [null, true]);
  frame("hall", "snapshot", HALL);
  frame("hall", "update", { id: 3, stale: false });
  assert.deepEqual([seats.hall(3).value.hall, seats.hall(3).value.stale], [HALL, false]);
  assert.equal(socket.of("hall.subscribe").length, 1);
});

test("a hall that is deleted is gone, and says why", () => {
  const { seats, view } = watch();
  frame("hall", "update", { id: 3, stale: true });
  frame("hall", ...error("HallNotFound"));
  assert.deepEqual([view().hall, view().stale, view().error.code], [null, false, "HallNotFound"]);
  assert.equal(seats.state.value.stale, false);
  assert.deepEqual(reconnect().of("hall.subscribe")[0].data, { id: 3 });
});

test("a hall that is deleted while frames are missing is asked for once", () => {
  const { socket, view } = watch();
  frame("hall", "update", { ...UPDATE, rev: 10 });
  frame("hall", ...error("HallNotFound"));
  assert.equal(socket.of("hall.subscribe").length, 2);
  assert.deepEqual([view().hall, view().stale, view().error.code], [null, false, "HallNotFound"]);
});

test("a refusal with a time is asked again then, and keeps the picture", () => {
  const { socket, view } = watch();
  reconnect();
  frame("hall", ...error("RateLimitExceeded", { retry_after: 2 }));
  assert.deepEqual([view().hall, view().error.retryAfter], [HALL, 2]);
  pass(1999);
  assert.equal(FakeSocket.last.of("hall.subscribe").length, 1);
  pass(1);
  assert.equal(FakeSocket.last.of("hall.subscribe").length, 2);
  frame("hall", "snapshot", HALL);
  assert.equal(view().error, null);
  assert.equal(socket.of("hall.subscribe").length, 1);
});

test("cinemas and halls are merged, and new halls are added", () => {
  const { seats, socket } = connect();
  seats.cinemas().subscribe(() => {});
  const cinemas = () => seats.cinemas().value.cinemas;
  const astoria = { id: 1, name: "Astoria", halls: [{ id: 3, name: "Salon", seats_count: { VACANT: 1 } }] };
  const roxy = { id: 2, name: "Roxy", halls: [] };
  frame("cinemas", "snapshot", [astoria, roxy]);
  frame("cinemas", "update", { id: 1, halls: [{ id: 3, seats_count: { VACANT: 0 } }] });
  assert.deepEqual(cinemas(), [{ ...astoria, halls: [{ id: 3, name: "Salon", seats_count: { VACANT: 0 } }] }, roxy]);
  frame("cinemas", "update", { id: 1, name: "Rex", halls: [{ id: 2, name: "New" }, { id: 3, name: "Saal" }] });
  assert.deepEqual(cinemas()[0].name, "Rex");
  assert.deepEqual(cinemas()[0].halls.map(({ id, name }) => [id, name]), [[2, "New"], [3, "Saal"]]);
  frame("cinemas", "update", { id: 2, name: "Ritz" });
  assert.deepEqual(cinemas()[1], { id: 2, name: "Ritz", halls: [] });
  frame("cinemas", "update", { stale: true });
  assert.deepEqual([seats.cinemas().value.stale, cinemas().length], [true, 2]);
  frame("cinemas", "snapshot", []);
  assert.deepEqual([seats.cinemas().value.stale, cinemas()], [true, []]);
  assert.equal(socket.of("cinemas.subscribe").length, 1);
});

test("the user is known by the connection", () => {
  const { seats } = connect();
  assert.equal(seats.state.value.user, null);
  const ada = { status: "user", username: "ada", role: "operator" };
  frame("user", "snapshot", { status: "guest" });
  assert.deepEqual(seats.state.value.user, { status: "guest" });
  frame("user", "update", ada);
  assert.deepEqual(seats.state.value.user, ada);
  reconnect();
  assert.deepEqual(seats.state.value.user, ada);
});

test("the state is reported when it changes, and then alone", () => {
  const { seats } = watch();
  let states = 0;
  seats.state.subscribe(() => (states += 1));
  frame("hall", "update", UPDATE);
  assert.equal(states, 1);
});

test("a subscriber that throws disturbs nobody else", () => {
  const { seats } = connect();
  const reported = mock.method(Promise, "reject", () => {});
  const seen = [];
  seats.hall(3).subscribe(() => {
    throw new Error("mine");
  });
  seats.hall(3).subscribe(({ hall }) => seen.push(hall));
  frame("hall", "snapshot", HALL);
  assert.deepEqual(seen, [null, HALL]);
  assert.deepEqual(reported.mock.calls.map((call) => call.arguments[0].message), ["mine", "mine"]);
});

test("a loop over a store gets the newest value, and ends with the client", async () => {
  const { seats, socket } = connect();
  const revs = [];
  const loop = (async () => {
    for await (const { hall } of seats.hall(3)) revs.push(hall?.rev);
    return "over";
  })();
  await settle();
  frame("hall", "snapshot", HALL);
  await settle();
  frame("hall", "update", UPDATE);
  frame("hall", "update", { ...UPDATE, rev: 9 });
  await settle();
  seats.close();
  assert.equal(await loop, "over");
  assert.deepEqual(revs.slice(0, 3), [undefined, 7, 9]);
  assert.equal(socket.of("hall.unsubscribe").length, 0);
});

test("a loop that is left unsubscribes", async () => {
  const { seats, socket } = connect();
  for await (const _ of seats.hall(3)) break;
  assert.equal(socket.of("hall.unsubscribe").length, 1);
});

test("a hall of 50,000 seats takes an update within a frame", () => {
  const { view } = watch();
  const seats = Array.from({ length: 50_000 }, (_, index) => seat(index + 1));
  frame("hall", "snapshot", { ...HALL, seats });
  mock.timers.reset();
  const times = [];
  for (let rev = 8; rev < 40; rev += 1) {
    const began = performance.now();
    frame("hall", "update", { ...UPDATE, rev });
    times.push(performance.now() - began);
  }
  assert.equal(view().hall.rev, 39);
  times.sort((one, other) => one - other);
  assert.ok(times[16] < 16, `${times[16]} ms`);
});

// The link: heartbeat, watchdog, backoff, advice, close codes.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { SeatsSync } from "../../seatsync/web/client.js";
import { Browser } from "./browser.mjs";
import { begin, FakeSocket, pass } from "./socket.mjs";

beforeEach(begin);

function connect(options = {}) {
  const seats = new SeatsSync("http://localhost:3000", { WebSocket: FakeSocket, ...options });
  return { seats, socket: FakeSocket.last.open(), link: () => seats.state.value.link };
}

test("the address may be that of pages or of sockets, below a path", () => {
  for (const [address, url] of [
    ["http://localhost:3000", "ws://localhost:3000/ws"],
    ["https://seats.example/base/?a#b", "wss://seats.example/base/ws"],
    ["ws://localhost:3001/ws", "ws://localhost:3001/ws"],
    ["wss://seats.example/", "wss://seats.example/ws"],
  ]) {
    new SeatsSync(address, { WebSocket: FakeSocket }).close();
    assert.equal(FakeSocket.last.url, url);
  }
  assert.throws(() => new SeatsSync("localhost"), TypeError);
});

test("a token is offered as a subprotocol", () => {
  connect();
  assert.deepEqual(FakeSocket.last.protocols, ["seatsync.v1"]);
  connect({ token: "a.b.c" });
  assert.deepEqual(FakeSocket.last.protocols, ["seatsync.v1", "seatsync.bearer.a.b.c"]);
});

test("the heartbeat is sent every 4 s, and a link is live once it is answered", () => {
  const seats = new SeatsSync("http://localhost:3000", { WebSocket: FakeSocket });
  const socket = FakeSocket.last;
  socket.readyState = 1;
  socket.onopen({});
  assert.equal(seats.state.value.link, "connecting");
  for (let beat = 1; beat <= 3; beat += 1) {
    assert.equal(socket.sent.filter((message) => message === 1).length, beat);
    socket.heartbeat();
    assert.equal(seats.state.value.link, "live");
    pass(4000);
  }
});

test("without an answer for 12 s a link is dead, since the last answer", () => {
  const { seats, socket, link } = connect();
  for (let beat = 0; beat < 10; beat += 1) {
    pass(4000);
    socket.heartbeat();
  }
  const answered = Date.now();
  pass(11_999);
  assert.equal(link(), "live");
  pass(1);
  const { since, reason } = seats.state.value;
  assert.deepEqual([link(), since, reason], ["reconnecting", answered, "no answer"]);
  assert.equal(socket.readyState, 3);
  pass(500);
  assert.equal(FakeSocket.all.length, 2);
  socket.heartbeat(); // too late
  socket.end(1006);
  assert.deepEqual([FakeSocket.all.length, link()], [2, "reconnecting"]);
});

test("any message is an answer", () => {
  const { seats, socket, link } = connect();
  socket.answer({ eid: socket.of("user.subscribe")[0].eid, status: "snapshot", data: { status: "guest" } });
  pass(11_000);
  socket.answer({ eid: "nobody's" });
  pass(11_000);
  assert.equal(link(), "live");
  assert.deepEqual(seats.state.value.user, { status: "guest" });
});

test("timers that have slept are no reason to take a link for dead", () => {
  const { socket, link } = connect();
  mock.timers.setTime(Date.now() + 3_600_000); // the next heartbeat comes an hour late
  pass(1);
  assert.equal(link(), "live");
  pass(7_000);
  socket.heartbeat();
  pass(11_000);
  assert.equal(link(), "live");
});

test("a socket that never opens is given up", () => {
  const seats = new SeatsSync("http://localhost:3000", { WebSocket: FakeSocket });
  pass(12_000);
  assert.equal(FakeSocket.all[0].readyState, 3);
  assert.deepEqual([seats.state.value.link, seats.state.value.since], ["connecting", null]);
  pass(500);
  FakeSocket.all[1].open();
  assert.equal(seats.state.value.link, "live");
});

test("a link too slow for its first frames gets twice as long the next time, and no more once they have come", () => {
  const { seats } = connect();
  seats.hall(3).subscribe(() => {});
  for (const patience of [12_000, 24_000, 48_000, 96_000, 96_000]) {
    const socket = FakeSocket.last;
    pass(patience - 1);
    assert.notEqual(socket.readyState, 3);
    pass(1);
    assert.equal(socket.readyState, 3);
    pass(30_000);
    FakeSocket.last.open();
  }
  const socket = FakeSocket.last;
  for (const type of ["user", "hall"]) {
    socket.answer({ eid: socket.of(`${type}.subscribe`)[0].eid, status: "snapshot", data: { rev: 1, seats: [] } });
  }
  socket.heartbeat();
  pass(12_000);
  assert.equal(socket.readyState, 3);
});

test("a check finds out within 3 s", () => {
  const { seats, socket, link } = connect();
  socket.answer({ eid: socket.of("user.subscribe")[0].eid, status: "snapshot", data: { status: "guest" } });
  seats.check();
  socket.heartbeat();
  pass(3000);
  assert.equal(link(), "live");
  seats.check();
  pass(3000);
  assert.equal(link(), "reconnecting");
});

test("a check connects at once where that was to come later", () => {
  const { seats, socket } = connect();
  socket.end(1013, '{"reason":"full","retry_ms":[5000,15000]}');
  assert.equal(seats.state.value.retryAt, Date.now() + 10_000);
  seats.check();
  assert.equal(FakeSocket.all.length, 2);
  assert.equal(seats.state.value.retryAt, null);
  pass(10_000);
  assert.equal(FakeSocket.all.length, 2);
});

test("the backoff grows to 30 s, and begins anew after a link that has lasted", () => {
  const { seats, socket } = connect();
  socket.end(1006);
  for (const most of [1, 2, 4, 8, 16, 30, 30]) {
    assert.equal(seats.state.value.retryAt, Date.now() + most * 500);
    pass(most * 500);
    FakeSocket.last.end(1006);
  }
  pass(15_000);
  FakeSocket.last.open(); // answers, and is lost right away
  FakeSocket.last.end(1011);
  assert.equal(seats.state.value.retryAt, Date.now() + 15_000);
  pass(15_000);
  FakeSocket.last.open();
  pass(10_001);
  FakeSocket.last.end(1006);
  assert.equal(seats.state.value.retryAt, Date.now() + 500);
});

test("an error of the socket is its loss, once", () => {
  const { socket, seats } = connect();
  socket.onerror({});
  assert.equal(seats.state.value.reason, "connection lost");
  socket.end(1006);
  assert.equal(seats.state.value.retryAt, Date.now() + 500);
});

test("after a changed login it connects at once", () => {
  const { seats, socket } = connect();
  socket.end(4001, '{"reason":"login changed","retry_ms":[0,0]}');
  assert.equal(seats.state.value.retryAt, Date.now());
  pass(1);
  assert.equal(FakeSocket.all.length, 2);
});

for (const [text, reason, wait] of [
  ['{"reason":"drain","retry_ms":[0,5000]}', "drain", 2500],
  ['{"reason":"silent"}', "silent", 500],
  ['{"reason":"drain","retry_ms":[0,-5]}', "drain", 500],
  ['{"reason":"drain","retry_ms":["a",{}]}', "drain", 500],
  ['{"reason":"drain","retry_ms":[0,1e12]}', "drain", 500],
  ['{"retry_ms":7}', '{"retry_ms":7}', 500],
  ['{"reason":"dra', '{"reason":"dra', 500],
  ["null", "null", 500],
  ["[]", "close code 1001", 500],
  ["proxy restarts", "proxy restarts", 500],
  ["", "close code 1001", 500],
]) {
  test(`a close reason may be anything: ${text}`, () => {
    const { seats, socket } = connect();
    socket.end(1001, text);
    assert.equal(seats.state.value.reason, reason);
    assert.equal(seats.state.value.retryAt, Date.now() + wait);
  });
}

for (const code of [1002, 1003, 1007, 1009]) {
  test(`after ${code} it never connects again`, async () => {
    const { seats, socket } = connect();
    const call = seats.call("hall.get", { id: 3 });
    socket.end(code, '{"reason":"no"}');
    const { link, reason, retryAt } = seats.state.value;
    assert.deepEqual([link, reason, retryAt], ["closed", "no", null]);
    await assert.rejects(call, { code: "Closed" });
    seats.check();
    pass(3_600_000);
    assert.equal(FakeSocket.all.length, 1);
  });
}

test("closed here it stays closed, while waiting, too", async () => {
  const { seats, socket } = connect();
  socket.end(1006);
  seats.close();
  seats.close();
  assert.equal(seats.state.value.link, "closed");
  await assert.rejects(seats.call("hall.get"), { code: "Closed" });
  seats.check();
  pass(3_600_000);
  assert.equal(FakeSocket.all.length, 1);
});

test("a page tests its link when it is shown and when the network changes, until it is closed", async () => {
  const browser = new Browser("http://localhost:3000");
  browser.fetch = async () => {};
  browser.WebSocket = FakeSocket;
  await browser.install();
  const seats = new SeatsSync();
  const socket = FakeSocket.last.open();
  assert.equal(socket.url, "ws://localhost:3000/ws");
  const beats = () => socket.sent.filter((message) => message === 1).length;
  for (const event of ["visibilitychange", "online", "offline", "pageshow"]) {
    const before = beats();
    browser.dispatch(event);
    assert.equal(beats(), before + 1, event);
  }
  const before = beats();
  browser.document.hidden = true;
  browser.dispatch("visibilitychange");
  assert.equal(beats(), before);
  browser.document.hidden = false;
  seats.close();
  browser.dispatch("visibilitychange");
  assert.equal(FakeSocket.all.length, 1);
  delete globalThis.document;
});

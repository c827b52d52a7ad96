// A WebSocket whose other end is the test, and whose time the test lets pass.

import { mock } from "node:test";

export class FakeSocket {
  static all = [];
  static get last() {
    return this.all.at(-1);
  }

  readyState = 0;
  sent = [];

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    FakeSocket.all.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  /** The handshake is done, and the heartbeat answered. */
  open() {
    this.readyState = 1;
    this.onopen?.({});
    this.onmessage?.({ data: "1" });
    return this;
  }

  answer(frame) {
    const whole = { type: "", status: "success", data: null, error: null, ts: 0, ...frame };
    this.onmessage?.({ data: JSON.stringify(whole) });
  }

  heartbeat() {
    this.onmessage?.({ data: "1" });
  }

  end(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  /** What was sent of a type. */
  of(type) {
    return this.sent.filter((message) => message.type === type);
  }
}

/** Begin a test: no sockets, no time that passes by itself, and waits in the middle of their range. */
export function begin() {
  FakeSocket.all = [];
  mock.restoreAll();
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_800_000_000_000 });
  mock.method(Math, "random", () => 0.5);
}

/** Let time pass, in steps: within one step Node.js runs all timers at its end. */
export function pass(ms) {
  const step = ms > 200_000 ? 1000 : 1;
  for (let passed = 0; passed < ms; passed += step) mock.timers.tick(step);
}

/** Let promises settle. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

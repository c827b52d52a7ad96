/**
 * Seats Sync in JavaScript: halls that stay current, and writes that are made once, whatever happens to the connection.
 *
 *     import { SeatsSync } from "/client.js";
 *     const seats = new SeatsSync();
 *     const stop = seats.hall(3).subscribe(({ hall, stale }) => draw(hall, stale));
 *     await seats.updateSeats(3, [{ seat_id: 612, status: "RESERVED", expected: "VACANT" }]);
 *
 * For browsers, Node.js 22, Deno and Bun; its own parts, in `client/` beside it, are all that it imports. The protocol:
 * seatsync/core/protocol/README.md.
 * Times are those of `Date.now()`, waits are in milliseconds; values are replaced, never modified.
 */

import { Link } from "./client/link.js";
import { BasicStore, CINEMAS, LiveHall, LiveStore, sleep, USER } from "./client/stores.js";

/** @import { Cinema, Hall, HallThen, SeatChange, SeatEvent, SeatState, SeatTypeCounts } from "./protocol.js" */
/** @import { Candidate, Guest, KnownUser, SignedIn } from "./protocol.js" */
/** One revision, or those from `from` to `rev` merged.
 * @typedef {{ rev: number, from?: number, seats: SeatState[], seat_types: SeatTypeCounts[] }} Change */
/** Whether the value may be old, and since when; when its last frame came; why there is nothing.
 * @typedef {{ stale: boolean, staleSince: number | null, at: number | null, error: SeatsError | null }} Trust */
/** `change` is the last one; `null` after a snapshot.
 * @typedef {Trust & { hall: Hall | null, change: Change | null }} HallView */
/** @typedef {Trust & { cinemas: Cinema[] | null }} CinemasView */
/** @typedef {Guest | SignedIn} User */
/** `since`: when the link was lost. `retryAt`: when the next attempt begins.
 * @typedef {{ link: "connecting" | "live" | "reconnecting" | "closed", since: number | null, retryAt: number | null,
 *   reason: string | null }} LinkState */
/** `user`: `null` until it is known. `stale`: the server has lost the database.
 * @typedef {LinkState & { user: User | null, stale: boolean }} State */
/** A `candidate` enrols an authenticator: `qr_code` is the `src` of an image; `register` confirms it.
 * @typedef {KnownUser | Candidate} Enrolment */
/** `auth`: sign in over HTTP, with cookies (what pages do by default), or over the WebSocket, with a token. `heartbeat`
 * is shorter than `patience`: without an answer for so long a link is dead.
 * @typedef {{ token?: string, auth?: "cookie" | "token", WebSocket?: typeof globalThis.WebSocket,
 *   fetch?: typeof globalThis.fetch, heartbeat?: number, patience?: number }} Options */
/** A value, and whoever wants the next: `subscribe` calls `fn` with the value, now and after each change, until the
 * function that it returns is called. A loop gets the newest value after each change, until the client is closed.
 * @template T @typedef {{ readonly value: T, subscribe(fn: (value: T) => void): () => void,
 *   [Symbol.asyncIterator](): AsyncIterator<T> }} Store */

/** A hall as it was, and what that revision changed.
 * @typedef {{ hall: HallThen, events: SeatEvent[] }} Moment */
/** A time (a `Date`, or a text in ISO 8601), or a revision.
 * @typedef {Date | string | number} When */
/** A hall. `at`: as it was. `replay`: as it was at `from`, then after each revision up to `to`, now by default, `speed`
 * times as fast as then; without a speed as fast as they come.
 * @typedef {Store<HallView> & { at(when: When): Promise<HallThen>,
 *   replay(from: When, to?: When, options?: { speed?: number }): AsyncGenerator<Moment> }} HallStore */

const TIMEOUT = 10_000;
const KEY_LIFETIME = 540_000; // the server knows a key for ten minutes
const RELOGIN = 3_000; // for the server to close the socket after a login over HTTP
const UNKNOWN_OUTCOMES = ["LinkLost", "TimedOut", "ServiceUnavailable", "InternalServerError"];

/** An error of the protocol, by its code; or `LinkLost`, `TimedOut` or `Closed`, which the client itself finds. */
export class SeatsError extends Error {
  /** @param {string} code @param {string} [message] @param {number} [retryAfter] in seconds, where waiting helps */
  constructor(code, message = code, retryAfter) {
    super(message);
    this.name = "SeatsError";
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** The error of an answer, if it has one. */
const errorIn = ({ error, message, retry_after }) => (error ? new SeatsError(error, message, retry_after) : null);

/** The connection to a server: it opens at once, and again whenever it is lost, until `close`. */
export class SeatsSync {
  #stores = new Map(); // by topic
  #calls = new Map(); // without an answer, by eid
  #lastEid = 0;
  #http;
  #fetch;
  #auth;
  #token;
  #link;
  #user;
  #state;
  #events = new AbortController();

  /** @param {string | URL} url `http(s):` or `ws(s):`, in pages their own by default @param {Options} options */
  constructor(url = globalThis.location?.origin, options = {}) {
    const { token, WebSocket = globalThis.WebSocket } = options;
    const isPage = typeof document !== "undefined";
    const { protocol, host, pathname } = new URL(url);
    const server = `${/^(http|ws)s:$/.test(protocol) ? "s" : ""}://${host}${pathname.replace(/\/(ws\/?)?$/, "")}`;
    const protocols = () => ["seatsync.v1", ...(this.#token ? [`seatsync.bearer.${this.#token}`] : [])];
    this.#http = `http${server}`;
    this.#fetch = options.fetch ?? ((url, how) => fetch(url, how));
    this.#auth = options.auth ?? (isPage && token === undefined ? "cookie" : "token");
    this.#token = token;
    this.#link = new Link(() => new WebSocket(`ws${server}/ws`, protocols()), options, {
      opened: () => this.#opened(),
      received: (frame) => this.#received(frame),
      lost: (since) => this.#lost(since),
      changed: () => this.#changed(),
      isAwaiting: () => [...this.#stores.values()].some(({ eid, isAwaited }) => eid !== null && isAwaited),
    });
    this.#user = this.#store("user", (used) => new LiveStore(USER, used));
    this.#user.subscribe(() => {});
    this.#state = new BasicStore({ ...this.#link.state, user: null, stale: false });
    this.#link.connect();
    if (!isPage) return;
    const { signal } = this.#events;
    for (const event of ["online", "offline", "pageshow"]) addEventListener(event, () => this.check(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.check(), { signal });
  }

  /** The link, and who is signed in. @returns {Store<State>} */
  get state() {
    return this.#state;
  }

  /** The session token, where `auth` is `token`. */
  get token() {
    return this.#token;
  }

  /** A hall, live while it has subscribers; and as it was. @param {number} id @returns {HallStore} */
  hall(id) {
    const call = (type, data) => this.call(type, data);
    return this.#store(`hall ${id}`, (used) => new LiveHall(id, used, call));
  }

  /** The cinemas, with their halls and counts, live while there are subscribers. @returns {Store<CinemasView>} */
  cinemas() {
    return this.#store("cinemas", (used) => new LiveStore(CINEMAS, used));
  }

  /** Call a method of the protocol; a call made while there is no connection waits for one.
   * @param {string} type @param {object} [data] @param {{ timeout?: number }} [options] @returns {Promise<any>} */
  call(type, data = {}, { timeout = TIMEOUT } = {}) {
    const eid = this.#newEid();
    return new Promise((resolve, reject) => {
      const settle = (/** @type {SeatsError | null} */ error, answer = null) => {
        clearTimeout(timer);
        this.#calls.delete(eid);
        if (error) reject(error);
        else resolve(answer);
      };
      const timedOut = () => settle(new SeatsError("TimedOut", `No answer to ${type} in ${timeout} ms.`));
      const timer = setTimeout(timedOut, timeout);
      const call = { message: { type, data, eid }, isSent: false, settle };
      this.#calls.set(eid, call);
      if (this.#link.state.link === "closed") settle(new SeatsError("Closed", "The client is closed."));
      else this.#send(call);
    });
  }

  /** Change seats, all of them or none; with an unknown outcome it is sent again, with its key, and so made once.
   * @param {number} hallId @param {SeatChange[]} items @param {{ key?: string }} [options]
   * @returns {Promise<{ id: number, rev: number, seats: SeatState[] }>} */
  async updateSeats(hallId, items, { key = newKey() } = {}) {
    const last = Date.now() + KEY_LIFETIME;
    for (let pause = 250; ; pause = Math.min(2 * pause, 8000)) {
      try {
        return await this.call("hall.update_seats", { hall_id: hallId, seats: items, key });
      } catch (error) {
        const { code, retryAfter } = error;
        if ((retryAfter === undefined && !UNKNOWN_OUTCOMES.includes(code)) || Date.now() > last) throw error;
        if (code !== "LinkLost" && code !== "TimedOut") await sleep(retryAfter ? 1000 * retryAfter : pause);
      }
    }
  }

  /** Begin to sign in: `user`, ask for a code; `candidate`, the name is free. @param {string} username
   * @returns {Promise<Enrolment>} */
  authStart(username) {
    return this.#account("auth_start", { username });
  }

  /** Confirm an enrolment, and sign in. @param {string} username @param {string} code */
  register(username, code) {
    return this.#signIn("register", { username, code });
  }

  /** @param {string} username @param {string} code */
  login(username, code) {
    return this.#signIn("login", { username, code });
  }

  /** Enrol a new authenticator by the recovery phrase. @param {string} username @param {string} phrase
   * @returns {Promise<Enrolment>} */
  recover(username, phrase) {
    return this.#account("recover", { username, phrase });
  }

  logout() {
    return this.#signIn("logout", {});
  }

  /** Find out soon whether the server still answers: after sleep, or in another network. Pages do so by themselves. */
  check() {
    this.#link.check();
  }

  /** Close the connection for good. */
  close() {
    if (this.#link.state.link !== "closed") this.#link.end("closed here");
  }

  #store(name, make) {
    const store = this.#stores.get(name) ?? make((store) => this.#used(store));
    this.#stores.set(name, store);
    return store;
  }

  #used(store) {
    if (store.isUsed) this.#subscribe(store);
    else this.#unsubscribe(store);
  }

  #subscribe(store) {
    if (!store.isUsed || store.eid !== null || !this.#link.isOpen) return;
    store.eid = this.#newEid();
    this.#link.send({ type: `${store.topic.name}.subscribe`, data: store.params, eid: store.eid });
  }

  #unsubscribe(store) {
    const data = { sub_eid: store.eid };
    if (store.eid !== null) this.#link.send({ type: `${store.topic.name}.unsubscribe`, data, eid: this.#newEid() });
    store.lost(Date.now());
  }

  #opened() {
    for (const store of this.#stores.values()) this.#subscribe(store);
    for (const call of this.#calls.values()) this.#send(call);
  }

  #send(call) {
    if (!this.#link.isOpen) return;
    call.isSent = true;
    this.#link.send(call.message);
  }

  #received(frame) {
    const { eid, data, retry_after = Infinity } = frame;
    const error = errorIn(frame);
    this.#calls.get(eid)?.settle(error, data);
    const store = [...this.#stores.values()].find((one) => one.eid === eid);
    if (store === undefined) return;
    if (error) {
      store.refuse(error);
      store.eid = null;
      if (retry_after < Infinity) setTimeout(() => this.#subscribe(store), 1000 * retry_after);
    } else {
      store.take(frame);
      if (store.isBroken) {
        this.#unsubscribe(store);
        this.#subscribe(store);
      }
    }
    this.#changed();
  }

  #newEid() {
    return String(++this.#lastEid);
  }

  #lost(since) {
    const isClosed = this.#link.state.link === "closed";
    const code = isClosed ? "Closed" : "LinkLost";
    for (const { isSent, settle } of [...this.#calls.values()]) if (isSent || isClosed) settle(new SeatsError(code));
    for (const store of this.#stores.values()) {
      store.lost(since);
      if (isClosed) store.end();
    }
    this.#changed();
    if (!isClosed) return;
    this.#state.end();
    this.#events.abort();
  }

  #changed() {
    const stale = [...this.#stores.values()].some(({ feedIsLost }) => feedIsLost);
    const old = Object.entries(this.#state.value);
    const state = { ...this.#link.state, user: this.#user.value.user, stale };
    if (old.some(([name, value]) => value !== state[name])) this.#state.set(state);
  }

  async #account(method, data) {
    if (this.#auth === "token") return this.call(`user.${method}`, data);
    let answer;
    try {
      const headers = { "content-type": "application/json" };
      const signal = AbortSignal.timeout(TIMEOUT);
      /** @type {RequestInit} */
      const how = { method: "POST", credentials: "include", headers, body: JSON.stringify(data), signal };
      const response = await this.#fetch(`${this.#http}/api/user/${method}`, how);
      answer = await response.json();
    } catch {
      throw new SeatsError("LinkLost", "The server did not answer.");
    }
    const error = errorIn(answer);
    if (error) throw error;
    return answer.data;
  }

  /** Rights come with the connection: resolves when there is another, or where there is none in a few seconds. */
  async #signIn(method, data) {
    const answer = await this.#account(method, data);
    if (this.#auth === "token") this.#token = answer.token;
    else if (await this.#reconnected()) return answer; // for the server closes the socket of this browser
    const reconnected = this.#reconnected();
    this.#link.restart();
    await reconnected;
    return answer;
  }

  /** Whether there is another connection, on which the user is known, in a few seconds. */
  #reconnected() {
    const { number } = this.#link;
    return new Promise((resolve) => {
      const timer = setTimeout(() => end(false), RELOGIN);
      const stop = this.#state.subscribe(() => {
        if (this.#link.number > number && !this.#user.isAwaited) end(true);
      });
      const end = (isDone) => {
        clearTimeout(timer);
        stop();
        resolve(isDone);
      };
    });
  }
}

/** A UUID, for idempotency; `crypto.randomUUID` exists on pages from HTTPS and localhost only. */
function newKey() {
  const hex = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0"));
  return hex.join("").replace(/(.{8})(.{4}).(.{3}).(.{3})(.{12})/, "$1-$2-4$3-8$4-$5");
}

/**
 * Seats Sync in JavaScript: halls that stay current, and writes that are made once, whatever happens to the connection.
 *
 *     import { SeatsSync } from "/client.js";
 *     const seats = new SeatsSync();
 *     const stop = seats.hall(3).subscribe(({ hall, stale }) => draw(hall, stale));
 *     await seats.updateSeats(3, [{ seat_id: 612, status: "RESERVED", expected: "VACANT" }]);
 *
 * For browsers, Node.js 22, Deno and Bun; without dependencies. The protocol: seatsync/core/protocol/README.md.
 * Times are those of `Date.now()`, waits are in milliseconds; values are replaced, never modified.
 */

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

const HEARTBEAT = 4_000;
const PATIENCE = 12_000; // a link without an answer for so long is dead, whatever its socket says
const LONGEST_PATIENCE = 96_000;
const CHECK = 3_000; // the same for a link that is tested
const SETTLED = 10_000; // the loss of a link that lasted longer starts the backoff anew
const LONGEST_WAIT = 30_000;
const LONGEST_ADVICE = 600_000;
const TIMEOUT = 10_000;
const KEY_LIFETIME = 540_000; // the server knows a key for ten minutes
const REPLAYED = 100; // revisions that are read at a time, by pages of so many events:
const PAGE = 500;
const RELOGIN = 3_000; // for the server to close the socket after a login over HTTP

const ABNORMAL = 1006;
const LOGIN_CHANGED = 4001;
const FINAL_CODES = [1002, 1003, 1007, 1009]; // the same again would be refused again
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

/** A `Store`. */
class BasicStore {
  #subscribers = new Set();
  #isEnded = false;

  constructor(value) {
    this.value = value;
  }

  subscribe = (fn) => {
    const subscriber = (value) => fn(value); // the same function may subscribe twice
    this.#subscribers.add(subscriber);
    if (this.#subscribers.size === 1) this.used(true);
    notify(subscriber, this.value);
    return () => {
      if (this.#subscribers.delete(subscriber) && this.#subscribers.size === 0) this.used(false);
    };
  };

  async *[Symbol.asyncIterator]() {
    let seen;
    let wake = () => {};
    const stop = this.subscribe(() => wake());
    try {
      while (true) {
        if (this.value !== seen) yield (seen = this.value);
        else if (this.#isEnded) return;
        else await new Promise((resolve) => (wake = () => resolve(null)));
      }
    } finally {
      stop();
    }
  }

  set(value) {
    this.value = value;
    for (const subscriber of [...this.#subscribers]) notify(subscriber, value);
  }

  /** The value is the last one. */
  end() {
    this.#isEnded = true;
    this.set(this.value);
  }

  /** The first subscriber has come, or the last one has left. */
  used(_isUsed) {}
}

function notify(subscriber, value) {
  try {
    subscriber(value);
  } catch (error) {
    Promise.reject(error); // reported as unhandled; the others go on
  }
}

// Topics: what to subscribe with, and what a frame changes of the value; `null` where frames before it are missing.

const NOTHING = { stale: false, staleSince: null, at: null, error: null };

const USER = {
  name: "user",
  empty: { ...NOTHING, user: null },
  params: () => ({}),
  merge: (_value, _status, user) => ({ user }),
};

const CINEMAS = {
  name: "cinemas",
  empty: { ...NOTHING, cinemas: null },
  params: () => ({}),
  merge({ cinemas }, status, data) {
    if (status === "snapshot") return { cinemas: data };
    if (cinemas === null) return null;
    const halls = cinemas.find(({ id }) => id === data.id)?.halls ?? [];
    return { cinemas: mergeById(cinemas, [{ ...data, halls: mergeById(halls, data.halls ?? []) }]) };
  },
};

const hallTopic = (id) => ({
  name: "hall",
  empty: { ...NOTHING, hall: null, change: null },
  params: ({ hall }) => ({ id, since: hall?.rev, epoch: hall?.epoch }), // JSON omits what is undefined
  merge({ hall }, status, { stale, resumed, ...data }) {
    if (status === "snapshot") return { hall: data, change: null };
    const { rev, from = rev, seats, seat_types } = data;
    if (hall === null || from > hall.rev + 1) return null;
    if (rev <= hall.rev) return {}; // resumed, and nothing was missed
    const merged = { rev, seats: mergeById(hall.seats, seats), seat_types: mergeById(hall.seat_types, seat_types) };
    return { hall: { ...hall, ...merged }, change: data };
  },
});

/** A copy of a list, with the fields of the items of the same ids; further items are added, in the order of ids. */
function mergeById(list, items) {
  const news = new Map(items.map((item) => [item.id, item]));
  const merged = list.map((one) => {
    const item = news.get(one.id);
    news.delete(one.id);
    return item ? { ...one, ...item } : one;
  });
  return news.size ? [...merged, ...news.values()].sort((one, other) => one.id - other.id) : merged;
}

/** A store that is kept current while it is used, by a subscription on each connection. */
class LiveStore extends BasicStore {
  eid = null; // of the subscription on this connection
  isUsed = false;
  isAwaited = true; // its first frame is still to come
  feedIsLost = false; // so the server says
  isBroken = false; // frames are missing: only a snapshot helps

  constructor(topic, changed) {
    super(topic.empty);
    this.topic = topic;
    this.changed = changed;
  }

  used(isUsed) {
    this.isUsed = isUsed;
    this.changed(this);
  }

  get params() {
    return this.topic.params(this.isBroken ? this.topic.empty : this.value);
  }

  /** The subscription has ended; the value is as old as that. */
  lost(since) {
    this.eid = null;
    this.isAwaited = true;
    this.feedIsLost = false;
    if (this.value.at !== null && !this.value.stale) this.set({ ...this.value, stale: true, staleSince: since });
  }

  take({ status, data, error, message, retry_after }) {
    const at = Date.now();
    if (error) {
      this.feedIsLost = false;
      const left = retry_after === undefined ? this.topic.empty : this.value;
      return this.set({ ...left, at, error: new SeatsError(error, message, retry_after) });
    }
    this.feedIsLost = data.stale ?? this.feedIsLost;
    let merged = {};
    if (status === "snapshot" || Object.keys(data).some((key) => key !== "id" && key !== "stale")) {
      const found = this.topic.merge(this.value, status, data);
      this.isBroken = found === null;
      if (found === null) return;
      this.isAwaited = false;
      merged = found;
    }
    const stale = this.feedIsLost || (this.isAwaited && this.value.stale);
    const staleSince = stale ? (this.value.staleSince ?? at) : null;
    this.set({ ...this.value, ...merged, stale, staleSince, at, error: null });
  }
}

/** A `HallStore`. */
class LiveHall extends LiveStore {
  constructor(id, changed, call) {
    super(hallTopic(id), changed);
    this.id = id;
    this.call = call;
  }

  at(when) {
    const moment = typeof when === "number" ? { rev: when } : { at: new Date(when).toISOString() };
    return this.call("hall.at", { id: this.id, ...moment });
  }

  async *replay(from, to = new Date(), { speed = Infinity } = {}) {
    const [first, { rev: last }] = await Promise.all([this.at(from), this.at(to)]);
    const [start, begun] = [Date.parse(first.at), Date.now()];
    let hall = first;
    yield { hall, events: [] };
    for (let rev = first.rev; rev < last; rev += REPLAYED) {
      for (const events of await this.#revisions(rev, Math.min(rev + REPLAYED, last))) {
        const at = events.reduce((latest, event) => (event.at > latest ? event.at : latest), "");
        const wait = (Date.parse(at) - start) / speed - (Date.now() - begun);
        if (wait > 0) await sleep(wait);
        const isLayout = events.some(({ kind }) => kind === "layout");
        hall = isLayout ? await this.at(events[0].rev) : { ...afterEvents(hall, events), at };
        yield { hall, events };
      }
    }
  }

  /** The events after a revision up to another, in a list for each. */
  async #revisions(after, last) {
    const revisions = [];
    for (let cursor = `${last + 1}-0`; cursor; ) {
      const page = await this.call("hall.history", { id: this.id, cursor, limit: PAGE });
      for (const event of page.events) {
        if (event.rev <= after) return revisions;
        if (revisions[0]?.[0].rev === event.rev) revisions[0].unshift(event);
        else revisions.unshift([event]);
      }
      cursor = page.cursor;
    }
    return revisions;
  }
}

/** A hall after the events of its next revision, none of which changes the layout. */
function afterEvents(hall, events) {
  const seats = mergeById(hall.seats, events.map(({ seat_id: id, new_status: status, note, hold_until, at: updated_at }) =>
    ({ id, status, note, hold_until, updated_at })));
  const types = new Map(hall.seat_types.map((type) => [type.id, { ...type, seats: { ...type.seats } }]));
  const before = new Map(hall.seats.map((seat) => [seat.id, seat.status]));
  for (const { id, status, seat_type } of seats) {
    const counts = types.get(seat_type.id).seats;
    counts[before.get(id)] -= 1;
    counts[status] += 1;
  }
  return { ...hall, rev: events[0].rev, seats, seat_types: [...types.values()] };
}

/** One WebSocket, and after its loss the next. */
class Link {
  /** @type {WebSocket | null} */ #socket = null;
  #retry; // timers
  #heartbeat;
  #watchdog;
  #failures = 0;
  #liveAt = 0;
  #answeredAt = 0;
  #patience;
  number = 0; // of the socket
  state = { link: "connecting", since: null, retryAt: null, reason: null };

  /** `on` has a function for each event. */
  constructor(open, heartbeat, patience, on) {
    this.open = open;
    this.heartbeat = heartbeat;
    this.patience = this.#patience = patience;
    this.on = on;
  }

  get isOpen() {
    return this.#socket?.readyState === 1;
  }

  send(message) {
    if (this.isOpen) this.#socket?.send(JSON.stringify(message));
  }

  connect() {
    const socket = (this.#socket = this.open());
    this.number += 1;
    socket.onopen = () => {
      this.#beat();
      this.#heartbeat = setInterval(() => this.#beat(), this.heartbeat);
      this.on.opened();
    };
    socket.onmessage = ({ data }) => {
      this.#answered();
      if (data !== "1") this.on.received(JSON.parse(data));
    };
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    socket.onerror = () => this.#lost(ABNORMAL);
    this.#watch(this.#patience);
    this.#change({ retryAt: null });
  }

  /** Find out soon whether the server still answers; connect now where that was to come later. */
  check() {
    if (this.state.retryAt !== null) {
      clearTimeout(this.#retry);
      this.connect();
    } else if (this.isOpen) {
      this.send(1);
      if (!this.on.isAwaiting()) this.#watch(Math.min(CHECK, this.#patience));
    }
  }

  /** Connect anew at once. */
  restart() {
    this.#lost(LOGIN_CHANGED, "login changed");
  }

  end(reason) {
    this.#drop();
    this.#change({ link: "closed", since: this.state.since ?? Date.now(), retryAt: null, reason });
    this.on.lost(this.state.since);
  }

  #beat() {
    this.send(1);
    const left = this.#answeredAt + this.#patience - Date.now(); // little, after timers have slept
    if (this.#watchdog === undefined) this.#watch(Math.max(left, this.#patience - this.heartbeat));
  }

  /** Without an answer in so many ms the link is dead. */
  #watch(ms) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      // On a slow link the answer may stand behind a large snapshot: wait longer the next time.
      if (this.on.isAwaiting()) this.#patience = Math.min(2 * this.#patience, LONGEST_PATIENCE);
      this.#lost(ABNORMAL, "no answer", this.#answeredAt);
    }, ms);
  }

  #answered() {
    clearTimeout(this.#watchdog);
    this.#watchdog = undefined;
    this.#answeredAt = Date.now();
    if (!this.on.isAwaiting()) this.#patience = this.patience;
    if (this.state.link === "live") return;
    this.#liveAt = this.#answeredAt;
    this.#change({ link: "live", since: null, retryAt: null, reason: null });
  }

  #lost(code, text = "", at = Date.now()) {
    if (this.state.link === "closed") return;
    const wasLive = this.state.link === "live";
    const { reason = code === ABNORMAL ? "connection lost" : `close code ${code}`, range } = readAdvice(text);
    if (FINAL_CODES.includes(code)) return this.end(reason);
    this.#drop();
    if (wasLive && at - this.#liveAt > SETTLED) this.#failures = 0;
    const backoff = [0, Math.min(1000 * 2 ** this.#failures, LONGEST_WAIT)];
    const [least, most] = code === LOGIN_CHANGED ? [0, 0] : (range ?? backoff);
    if (code !== LOGIN_CHANGED) this.#failures += 1;
    const wait = least + Math.random() * (most - least);
    this.#retry = setTimeout(() => this.connect(), wait);
    const since = wasLive ? at : this.state.since;
    this.#change({ link: since ? "reconnecting" : "connecting", since, retryAt: Date.now() + wait, reason });
    this.on.lost(since);
  }

  /** Leave the socket, which may never close by itself. */
  #drop() {
    const socket = this.#socket;
    for (const timer of [this.#retry, this.#heartbeat, this.#watchdog]) clearTimeout(timer);
    this.#watchdog = undefined;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close(1000);
  }

  #change(part) {
    this.state = { ...this.state, ...part };
    this.on.changed();
  }
}

/** What the reason of a close says, whoever wrote it: a word, and from when to when to connect again. */
function readAdvice(text) {
  try {
    const { reason, retry_ms = [] } = JSON.parse(text);
    const [least, most] = retry_ms.map(Number);
    const isRange = 0 <= least && least <= most && most <= LONGEST_ADVICE;
    return { reason: reason && String(reason), range: isRange ? [least, most] : undefined };
  } catch {
    return { reason: text || undefined };
  }
}

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
    const { token, heartbeat = HEARTBEAT, patience = PATIENCE, WebSocket = globalThis.WebSocket } = options;
    const isPage = typeof document !== "undefined";
    const { protocol, host, pathname } = new URL(url);
    const server = `${/^(http|ws)s:$/.test(protocol) ? "s" : ""}://${host}${pathname.replace(/\/(ws\/?)?$/, "")}`;
    const protocols = () => ["seatsync.v1", ...(this.#token ? [`seatsync.bearer.${this.#token}`] : [])];
    this.#http = `http${server}`;
    this.#fetch = options.fetch ?? ((url, how) => fetch(url, how));
    this.#auth = options.auth ?? (isPage && token === undefined ? "cookie" : "token");
    this.#token = token;
    this.#link = new Link(() => new WebSocket(`ws${server}/ws`, protocols()), heartbeat, patience, {
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
      const settle = (/** @type {any} */ { data, error, message, retry_after }) => {
        clearTimeout(timer);
        this.#calls.delete(eid);
        if (error) reject(new SeatsError(error, message, retry_after));
        else resolve(data);
      };
      const message = `No answer to ${type} in ${timeout} ms.`;
      const timer = setTimeout(settle, timeout, { error: "TimedOut", message });
      const call = { message: { type, data, eid }, isSent: false, settle };
      this.#calls.set(eid, call);
      if (this.#link.state.link === "closed") settle({ error: "Closed", message: "The client is closed." });
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
    const { eid, error, retry_after = Infinity } = frame;
    this.#calls.get(eid)?.settle(frame);
    const store = [...this.#stores.values()].find((one) => one.eid === eid);
    if (store === undefined) return;
    store.take(frame);
    if (error) {
      store.eid = null;
      if (retry_after < Infinity) setTimeout(() => this.#subscribe(store), 1000 * retry_after);
    } else if (store.isBroken) {
      this.#unsubscribe(store);
      this.#subscribe(store);
    }
    this.#changed();
  }

  #newEid() {
    return String(++this.#lastEid);
  }

  #lost(since) {
    const isClosed = this.#link.state.link === "closed";
    const error = isClosed ? "Closed" : "LinkLost";
    for (const { isSent, settle } of [...this.#calls.values()]) if (isSent || isClosed) settle({ error });
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
    if (answer.error) throw new SeatsError(answer.error, answer.message, answer.retry_after);
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

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A UUID, for idempotency; `crypto.randomUUID` exists on pages from HTTPS and localhost only. */
function newKey() {
  const hex = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0"));
  return hex.join("").replace(/(.{8})(.{4}).(.{3}).(.{3})(.{12})/, "$1-$2-4$3-8$4-$5");
}

/** Stores: values that are kept current by subscriptions, and halls as they were. */

const REPLAYED = 100; // revisions that are read at a time, by pages of so many events:
const PAGE = 500;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A `Store`. */
export class BasicStore {
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

export const USER = {
  name: "user",
  empty: { ...NOTHING, user: null },
  params: () => ({}),
  merge: (_value, _status, user) => ({ user }),
};

export const CINEMAS = {
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
export class LiveStore extends BasicStore {
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

  /** The server has ended the subscription. */
  refuse(error) {
    this.feedIsLost = false;
    const left = error.retryAfter === undefined ? this.topic.empty : this.value;
    this.set({ ...left, at: Date.now(), error });
  }

  take({ status, data }) {
    const at = Date.now();
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
export class LiveHall extends LiveStore {
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

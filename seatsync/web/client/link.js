/** The link: one WebSocket, and after its loss the next, with heartbeats, a watchdog, and a backoff. */

const HEARTBEAT = 4_000;
const PATIENCE = 12_000; // a link without an answer for so long is dead, whatever its socket says
const LONGEST_PATIENCE = 96_000;
const CHECK = 3_000; // the same for a link that is tested
const SETTLED = 10_000; // the loss of a link that lasted longer starts the backoff anew
const LONGEST_WAIT = 30_000;
const LONGEST_ADVICE = 600_000;

const ABNORMAL = 1006;
const LOGIN_CHANGED = 4001;
const FINAL_CODES = [1002, 1003, 1007, 1009]; // the same again would be refused again

export class Link {
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
  constructor(open, { heartbeat = HEARTBEAT, patience = PATIENCE }, on) {
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

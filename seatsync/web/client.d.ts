// Made by `make typings` from client.js and client/, SHA-256 ed774b3411b942b9402c9db7e876a90a94924731aeb05ffe3cc2c4ea20a7417a
/** An error of the protocol, by its code; or `LinkLost`, `TimedOut` or `Closed`, which the client itself finds. */
export class SeatsError extends Error {
    /** @param {string} code @param {string} [message] @param {number} [retryAfter] in seconds, where waiting helps */
    constructor(code: string, message?: string, retryAfter?: number);
    code: string;
    retryAfter: number | undefined;
}
/** The connection to a server: it opens at once, and again whenever it is lost, until `close`. */
export class SeatsSync {
    /** @param {string | URL} url `http(s):` or `ws(s):`, in pages their own by default @param {Options} options */
    constructor(url?: string | URL, options?: Options);
    /** The link, and who is signed in. @returns {Store<State>} */
    get state(): Store<State>;
    /** The session token, where `auth` is `token`. */
    get token(): string | undefined;
    /** A hall, live while it has subscribers; and as it was. @param {number} id @returns {HallStore} */
    hall(id: number): HallStore;
    /** The cinemas, with their halls and counts, live while there are subscribers. @returns {Store<CinemasView>} */
    cinemas(): Store<CinemasView>;
    /** Call a method of the protocol; a call made while there is no connection waits for one.
     * @param {string} type @param {object} [data] @param {{ timeout?: number }} [options] @returns {Promise<any>} */
    call(type: string, data?: object, { timeout }?: {
        timeout?: number;
    }): Promise<any>;
    /** Change seats, all of them or none; with an unknown outcome it is sent again, with its key, and so made once.
     * @param {number} hallId @param {SeatChange[]} items @param {{ key?: string }} [options]
     * @returns {Promise<{ id: number, rev: number, seats: SeatState[] }>} */
    updateSeats(hallId: number, items: SeatChange[], { key }?: {
        key?: string;
    }): Promise<{
        id: number;
        rev: number;
        seats: SeatState[];
    }>;
    /** Begin to sign in: `user`, ask for a code; `candidate`, the name is free. @param {string} username
     * @returns {Promise<Enrolment>} */
    authStart(username: string): Promise<Enrolment>;
    /** Confirm an enrolment, and sign in. @param {string} username @param {string} code */
    register(username: string, code: string): Promise<any>;
    /** @param {string} username @param {string} code */
    login(username: string, code: string): Promise<any>;
    /** Enrol a new authenticator by the recovery phrase. @param {string} username @param {string} phrase
     * @returns {Promise<Enrolment>} */
    recover(username: string, phrase: string): Promise<Enrolment>;
    logout(): Promise<any>;
    /** Find out soon whether the server still answers: after sleep, or in another network. Pages do so by themselves. */
    check(): void;
    /** Close the connection for good. */
    close(): void;
    #private;
}
/**
 * One revision, or those from `from` to `rev` merged.
 */
export type Change = {
    rev: number;
    from?: number;
    seats: SeatState[];
    seat_types: SeatTypeCounts[];
};
/**
 * Whether the value may be old, and since when; when its last frame came; why there is nothing.
 */
export type Trust = {
    stale: boolean;
    staleSince: number | null;
    at: number | null;
    error: SeatsError | null;
};
/**
 * `change` is the last one; `null` after a snapshot.
 */
export type HallView = Trust & {
    hall: Hall | null;
    change: Change | null;
};
export type CinemasView = Trust & {
    cinemas: Cinema[] | null;
};
export type User = Guest | SignedIn;
/**
 * `since`: when the link was lost. `retryAt`: when the next attempt begins.
 */
export type LinkState = {
    link: "connecting" | "live" | "reconnecting" | "closed";
    since: number | null;
    retryAt: number | null;
    reason: string | null;
};
/**
 * `user`: `null` until it is known. `stale`: the server has lost the database.
 */
export type State = LinkState & {
    user: User | null;
    stale: boolean;
};
/**
 * A `candidate` enrols an authenticator: `qr_code` is the `src` of an image; `register` confirms it.
 */
export type Enrolment = KnownUser | Candidate;
/**
 * `auth`: sign in over HTTP, with cookies (what pages do by default), or over the WebSocket, with a token. `heartbeat`
 * is shorter than `patience`: without an answer for so long a link is dead.
 */
export type Options = {
    token?: string;
    auth?: "cookie" | "token";
    WebSocket?: typeof globalThis.WebSocket;
    fetch?: typeof globalThis.fetch;
    heartbeat?: number;
    patience?: number;
};
/**
 * A value, and whoever wants the next: `subscribe` calls `fn` with the value, now and after each change, until the
 * function that it returns is called. A loop gets the newest value after each change, until the client is closed.
 */
export type Store<T> = {
    readonly value: T;
    subscribe(fn: (value: T) => void): () => void;
    [Symbol.asyncIterator](): AsyncIterator<T>;
};
/**
 * A hall as it was, and what that revision changed.
 */
export type Moment = {
    hall: HallThen;
    events: SeatEvent[];
};
/**
 * A time (a `Date`, or a text in ISO 8601), or a revision.
 */
export type When = Date | string | number;
/**
 * A hall. `at`: as it was. `replay`: as it was at `from`, then after each revision up to `to`, now by default, `speed`
 * times as fast as then; without a speed as fast as they come.
 */
export type HallStore = Store<HallView> & {
    at(when: When): Promise<HallThen>;
    replay(from: When, to?: When, options?: {
        speed?: number;
    }): AsyncGenerator<Moment>;
};
import type { SeatChange } from "./protocol.js";
import type { SeatState } from "./protocol.js";
import type { SeatTypeCounts } from "./protocol.js";
import type { Hall } from "./protocol.js";
import type { Cinema } from "./protocol.js";
import type { Guest } from "./protocol.js";
import type { SignedIn } from "./protocol.js";
import type { KnownUser } from "./protocol.js";
import type { Candidate } from "./protocol.js";
import type { HallThen } from "./protocol.js";
import type { SeatEvent } from "./protocol.js";

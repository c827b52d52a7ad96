/** Undo of one's last change, for ten seconds and while nothing came between. */

import { $, write } from "/web/dom.js";
import { MAY } from "/web/actions.js";
import { STATUS } from "/web/words.js";

const OFFER_S = 10;

export class Undo {
  /** `on.changed()` when there is something else to undo, `on.failed(error)` when it could not be undone. */
  constructor(seats, on) {
    this.seats = seats;
    this.on = on;
    this.last = null;
    $("undo").addEventListener("click", () => this.run());
  }

  /** What can be undone, in words; empty without it. */
  get text() {
    return this.last ? `${this.last.where}: ${STATUS[this.last.status].word}.` : "";
  }

  /** A change was made: offer to undo it. `before` has the id, status and note of each seat before. */
  offer(change) {
    this.withdraw();
    this.last = { ...change, left: OFFER_S };
    this.#tick();
    this.on.changed();
  }

  #tick() {
    write($("undo"), `Undo (${this.last.left} s)`);
    this.timer = setTimeout(() => {
      this.last.left -= 1;
      if (this.last.left > 0) this.#tick();
      else this.withdraw();
    }, 1000);
  }

  /** A later change of these seats came between. */
  saw(hallId, { rev, from, seats }) {
    if (this.last?.hallId !== hallId || rev <= this.last.rev) return;
    const ids = new Set(this.last.before.map(({ id }) => id));
    const merged = from !== undefined; // it may hold this change itself
    if (seats.some(({ id, status }) => ids.has(id) && !(merged && status === this.last.status))) this.withdraw();
  }

  withdraw() {
    clearTimeout(this.timer);
    this.last = null;
    this.on.changed();
  }

  /** Set the seats back; a status that cannot be reached at once is reached by way of free. Returns whether there was one. */
  async run() {
    if (!this.last) return false;
    const { hallId, before, status } = this.last;
    this.withdraw();
    const back = ({ id, status: old, note }, expected) =>
      ({ seat_id: id, status: old, expected, note: old === "MAINTENANCE" ? (note ?? "") : undefined });
    const far = before.filter((seat) => seat.status !== status && !MAY[status].includes(seat.status));
    try {
      if (far.length) await this.seats.updateSeats(hallId, far.map(({ id }) => ({ seat_id: id, status: "VACANT", expected: status })));
      await this.seats.updateSeats(hallId, before.map((seat) => back(seat, far.includes(seat) ? "VACANT" : status)));
    } catch (error) {
      this.on.failed(error);
    }
    return true;
  }
}

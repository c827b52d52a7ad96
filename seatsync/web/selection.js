/** Which seats are selected, and how clicks, taps and keys change that. */

const adds = (event) => event.shiftKey || event.ctrlKey || event.metaKey || event.pointerType === "touch";

export class Selection {
  #ids = new Set();
  #anchor = null;

  /** `changed()` is called after each change. */
  constructor(plan, changed) {
    this.plan = plan;
    this.changed = changed;
  }

  get seats() {
    return [...this.#ids].map((id) => this.plan.seat(id)).filter(Boolean);
  }

  has = (seat) => this.#ids.has(seat.id);

  /** A click selects one seat, with shift the run in its row; a tap, or a click with Ctrl, adds or takes away one. */
  tap(seat, event) {
    const run = event.shiftKey ? this.#run(seat) : null;
    if (run) return this.set([...this.seats, ...run]);
    const others = adds(event) ? this.seats : this.#ids.size === 1 ? this.seats.filter((one) => one === seat) : [];
    const next = others.includes(seat) ? others.filter((one) => one !== seat) : [...others, seat];
    this.#anchor = seat.id;
    return this.set(next);
  }

  /** All of a row; once more, none of it. */
  row({ seats }, event) {
    const others = adds(event) ? this.seats.filter((seat) => !seats.includes(seat)) : [];
    this.set(seats.every(this.has) ? others : [...others, ...seats]);
  }

  rectangle(seats, event) {
    this.set(adds(event) ? [...this.seats, ...seats] : seats);
  }

  /** Shift and an arrow take the next seat in. */
  moved(from, to, event) {
    if (event.shiftKey) this.set([...this.seats, from, to]);
  }

  set(seats) {
    this.#ids = new Set(seats.map(({ id }) => id));
    this.changed();
  }

  clear() {
    this.#anchor = null;
    if (this.#ids.size) this.set([]);
  }

  /** The seats of a row from the one clicked before to this one; null in another row. */
  #run(seat) {
    const anchor = this.plan.seat(this.#anchor);
    const row = this.plan.layout.rowOf.get(seat.id);
    if (!anchor || this.plan.layout.rowOf.get(anchor.id) !== row) return null;
    const [from, to] = [row.seats.indexOf(anchor), row.seats.indexOf(seat)].sort((a, b) => a - b);
    return row.seats.slice(from, to + 1);
  }
}

/** One hall on the page: its title, plan, legend and changes follow the hall's store. */

import { $, h, write } from "/web/dom.js";
import { addChange, beginChanges } from "/web/changes.js";
import { showLegend } from "/web/legend.js";
import { percent, totals } from "/web/words.js";

export class HallView {
  /** `on.changed(change)` after each update, `on.shown()` after each value, `on.said(sentence)` for each change. */
  constructor(seats, plan, on) {
    Object.assign(this, { seats, plan, on });
    this.id = null;
    this.close = () => {};
  }

  /** Show the hall of that id from now on. */
  open(id) {
    if (id === this.id) return;
    this.close();
    this.id = id;
    this.hall = this.counts = null;
    this.isPast = false;
    this.store = this.seats.hall(id);
    this.close = this.store.subscribe((value) => this.#take(value));
  }

  /** The store's value: whether the picture may be old. */
  get picture() {
    return this.store?.value ?? { at: null, stale: false, staleSince: null };
  }

  /** The hall at present, also while another one is shown. */
  get live() {
    return this.store?.value.hall;
  }

  /** Show the hall as it was then, until `showNow`; what happens meanwhile is taken in, and not shown. */
  showThen(hall) {
    this.isPast = true;
    this.plan.show(hall);
    this.#count(hall);
  }

  showNow() {
    this.isPast = false;
    this.hall = null;
    this.#take(this.store.value);
  }

  #take({ hall, change, error }) {
    if (this.isPast && !error) return this.on.shown();
    if (hall && hall !== this.hall) {
      const isUpdate = this.hall && change?.rev === hall.rev;
      const changed = isUpdate ? this.plan.update(change.seats) : this.plan.show(hall);
      if (!this.hall) beginChanges(hall, this.plan.layout);
      else if (changed.length) this.on.said(addChange(changed, this.plan.layout));
      this.hall = hall;
      this.#count(hall);
      if (isUpdate) this.on.changed(change);
    }
    this.#explain(hall, error);
    return this.on.shown();
  }

  #count(hall) {
    const counts = showLegend(hall.seat_types, this.plan);
    const { seats, taken, share } = totals(counts);
    const repair = counts.MAINTENANCE ? ` · ${counts.MAINTENANCE.toLocaleString("en")} in repair` : "";
    write($("hall-name"), hall.name);
    write($("hall-total"), `${taken.toLocaleString("en")} of ${seats.toLocaleString("en")} taken${repair}`);
    $("seats").setAttribute("aria-label", `Seats of ${hall.name}`);
    document.title = `${hall.name} ${percent(share)} · Seats Sync`;
    this.counts = counts;
  }

  #explain(hall, error) {
    if (error) explain(error);
    else if (hall?.seats.length === 0) showEmpty(h("p", {}, "No seats yet: insert them by SQL."));
    else if (hall) showEmpty();
  }
}

const REASONS = {
  HallNotFound: "This hall does not exist any more. Choose another one.",
  Unauthorized: "Only who is signed in may see the halls here. Sign in to see them.",
};

/** Say in place of the plan why there is none, and what to do. */
export function explain({ code, message }) {
  showEmpty(h("p", {}, REASONS[code] ?? message));
}

/** Show that in place of the plan; without it, the plan. */
export function showEmpty(element) {
  $("empty").hidden = !element;
  $("empty").replaceChildren(...(element ? [element] : []));
}

/** The bar under the plan: what a writer can do with the selected seats, and what a refusal means. */

import { $, h, write } from "/web/dom.js";
import { capital, clock, count, places, seatName, seatPlace, STATUS } from "/web/words.js";

/** The changes that the server allows: from a status to others. */
export const MAY = {
  VACANT: ["RESERVED", "OCCUPIED", "MAINTENANCE"],
  RESERVED: ["VACANT", "OCCUPIED", "MAINTENANCE"],
  OCCUPIED: ["VACANT", "MAINTENANCE"],
  MAINTENANCE: ["VACANT"],
};

const BUTTONS = [
  { status: "VACANT", label: "Free", key: "f" },
  { status: "RESERVED", label: "Reserve", key: "r" },
  { status: "OCCUPIED", label: "Occupy", key: "o" },
  { status: "MAINTENANCE", label: "In repair", key: "m" },
];

const MOST = 1000; // seats of one change
const HOLDS = [["", "until sold"], ["300", "for 5 min"], ["900", "for 15 min"], ["1800", "for 30 min"]];

const touch = matchMedia("(pointer: coarse)");

export class Actions {
  /** `seats` is the client; `undo` is offered what has been done; `mayWrite()` says whether the user may change seats. */
  constructor({ seats, plan, selection, undo, mayWrite }) {
    Object.assign(this, { seats, plan, selection, undo, mayWrite });
    this.note = h("input", { id: "note", maxlength: 200, placeholder: "What is broken?", "aria-label": "Note" });
    this.noteForm = h("form", { id: "note-form", hidden: true, onsubmit: (event) => this.#submitNote(event) },
      this.note, h("button", { class: "main" }, "Set in repair"), h("button", { type: "button", onclick: () => this.#askNote(false) }, "Cancel"));
    this.hold = h("select", { "aria-label": "Reserve for how long", hidden: true }, ...HOLDS.map(([value, text]) => h("option", { value }, text)));
    this.buttons = new Map(BUTTONS.map(({ status, label, key }) => [status,
      h("button", { type: "button", "data-status": status, onclick: () => this.choose(status) }, label, h("kbd", { "aria-hidden": "true" }, key))]));
    this.clear = h("button", { type: "button", onclick: () => selection.clear() }, "Clear");
    this.row = h("div", { id: "choices" }, ...this.buttons.values(), this.hold, this.clear);
    $("actions").append(this.row, this.noteForm);
    $("refusal").addEventListener("keydown", ({ key }) => key === "Escape" && this.closeRefusal());
    $("actions").addEventListener("keydown", ({ key }) => key === "Escape" && this.#leave());
  }

  /** Write the bar anew: after changes of the selection, of the seats, or of the user. */
  show() {
    const hadFocus = $("actions").contains(document.activeElement);
    const selected = this.selection.seats;
    $("actions").dataset.count = selected.length;
    this.row.hidden = !this.mayWrite() || !selected.length || !this.noteForm.hidden;
    if (!selected.length) this.#askNote(false);
    write($("what"), this.#sentence(selected));
    for (const [status, button] of this.buttons) button.disabled = !this.#may(selected, status);
    this.hold.hidden = !selected.some((seat) => "hold_until" in seat) || !this.#may(selected, "RESERVED");
    $("undo").hidden = !this.undo.last;
    // What goes while it has the focus gives it back to the plan.
    if (hadFocus && !$("actions").querySelector(":focus:enabled")?.checkVisibility()) this.plan.twin.focus();
  }

  #sentence(selected) {
    if (this.busy) return "Sending…";
    if (selected.length === 1) return seatName(selected[0]);
    if (selected.length > MOST) return `${count(selected.length, "seat")}: at most ${MOST.toLocaleString("en")} change at once`;
    if (selected.length) return `${count(selected.length, "seat")}: ${places(selected, this.plan.layout.rowOf)}`;
    if (this.undo.text) return this.undo.text;
    if (this.looked) return `${seatName(this.looked)}, since ${clock(this.looked.updated_at)}`;
    if (touch.matches) return this.mayWrite() ? "Tap seats to change them, or a row's label." : "Tap a seat to see what it is.";
    return this.mayWrite() ? "Select seats to change them: click, drag, or a row's label." : "Click a seat to see what it is.";
  }

  /** Show what a seat is, to who does not change it. */
  look(seat) {
    this.looked = seat;
    this.show();
  }

  #may(selected, status) {
    const others = selected.filter((seat) => seat.status !== status);
    const isAllowed = others.every((seat) => MAY[seat.status].includes(status));
    const newNote = status === "MAINTENANCE" && selected.length > 0;
    return !this.busy && selected.length <= MOST && isAllowed && (others.length > 0 || newNote);
  }

  /** Do that with the selected seats, if it is offered; returns whether it is. */
  choose(status) {
    if (!this.mayWrite() || !this.#may(this.selection.seats, status)) return false;
    if (status === "MAINTENANCE") this.#askNote(true);
    else this.change(this.selection.seats, status);
    return true;
  }

  #askNote(isOpen) {
    if (isOpen === !this.noteForm.hidden) return;
    this.noteForm.hidden = !isOpen;
    this.note.value = isOpen && this.selection.seats.length === 1 ? (this.selection.seats[0].note ?? "") : "";
    this.show();
    if (isOpen) this.note.focus();
    else if (this.selection.seats.length) this.plan.focus(this.selection.seats[0]);
  }

  #submitNote(event) {
    event.preventDefault();
    const note = this.note.value.trim();
    this.#askNote(false);
    this.change(this.selection.seats, "MAINTENANCE", note);
  }

  /** Escape: no note, or back to the plan. */
  #leave() {
    if (this.noteForm.hidden) this.plan.twin.focus();
    else this.#askNote(false);
  }

  /** Move the keyboard's focus to the bar. */
  focus() {
    [...this.buttons.values()].find((button) => !button.disabled)?.focus();
  }

  /** Change seats that are not in that status yet, all or none, on the condition that they are as shown here. */
  async change(selected, status, note) {
    const hold = status === "RESERVED" && !this.hold.hidden && this.hold.value ? { hold_s: Number(this.hold.value) } : {};
    const seats = selected.filter((seat) => seat.status !== status || note !== undefined);
    const items = seats.map((seat) => ({ seat_id: seat.id, status, expected: seat.status, note, ...hold }));
    const before = seats.map(({ id, status, note }) => ({ id, status, note }));
    const hallId = this.plan.hallId;
    this.closeRefusal();
    this.busy = true;
    this.show();
    try {
      const { rev } = await this.seats.updateSeats(hallId, items);
      this.busy = false;
      this.selection.clear();
      this.undo.offer({ hallId, rev, before, status, where: capital(places(seats, this.plan.layout.rowOf)) });
    } catch (error) {
      this.busy = false;
      if (this.plan.hallId === hallId) this.#explain(error, seats, status, note);
    }
    this.show();
  }

  /** Say which seat refused, who made it what it is now and what to do, beside that seat; the selection stays. */
  async #explain(error, seats, status, note) {
    const [, id, now] = /Seat (\d+)(?: is ([A-Z]+))?/.exec(error.message) ?? [];
    const seat = seats.find((one) => one.id === Number(id)) ?? (seats.length === 1 ? seats[0] : undefined);
    if (!seat || !/^Seat/.test(error.code)) return this.#refuse(null, `${error.message} Nothing was changed.`, []);
    const word = STATUS[now ?? this.plan.seat(seat.id).status].word;
    const by = await this.#lastUser(seat);
    const text = `${capital(seatPlace(seat))} is ${word} now${by ? `, by ${by}` : ""}. Nothing was changed.`;
    const others = seats.filter((one) => one !== seat);
    const leaveOut = () => this.selection.set(this.selection.seats.filter((one) => one.id !== seat.id));
    const goOn = () => {
      leaveOut();
      this.change(others.map((one) => this.plan.seat(one.id)), status, note);
    };
    const offers = [h("button", { type: "button", onclick: () => (leaveOut(), this.closeRefusal()) }, `Leave ${seatPlace(seat)} out`)];
    const rest = others.length === 1 ? "seat" : count(others.length, "seat");
    if (others.length) offers.unshift(h("button", { type: "button", class: "main", onclick: goOn }, `Go on with the other ${rest}`));
    return this.#refuse(seat, text, offers);
  }

  /** Who changed a seat last; null for SQL, and where the history does not say. */
  async #lastUser(seat) {
    const asked = { id: this.plan.hallId, seat_id: seat.id, limit: 1 };
    const { events } = await this.seats.call("hall.history", asked).catch(() => ({ events: [] }));
    return events[0]?.by;
  }

  #refuse(seat, text, offers) {
    const close = h("button", { type: "button", onclick: () => this.closeRefusal() }, "Close");
    const box = $("refusal");
    box.replaceChildren(h("p", { id: "refusal-text" }, text), h("div", {}, ...offers, close));
    box.hidden = false;
    if (seat) {
      const { x, y } = this.plan.seatOnCanvas(seat);
      const { width, height } = this.plan.size;
      box.style.left = `${Math.max(8, Math.min(x - box.offsetWidth / 2, width - box.offsetWidth - 8))}px`;
      const below = y + 24 + box.offsetHeight < height;
      box.style.top = `${below ? y + 24 : Math.max(8, y - 24 - box.offsetHeight)}px`;
    } else box.style.left = box.style.top = "";
    box.querySelector("button").focus();
  }

  closeRefusal() {
    if ($("refusal").hidden) return;
    $("refusal").hidden = true;
    if (this.plan.twin.active) this.plan.focus(this.plan.twin.active);
  }
}

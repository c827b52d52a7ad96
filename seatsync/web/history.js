/** Looking back at a hall: a slider over a day under the curve of occupancy, and the changes up to what it shows. */

import { $, h, write } from "/web/dom.js";
import { clock, outcome, places, sumOf, totals } from "/web/words.js";

const SPEEDS = [1, 60, 600];
const TICK_MS = 250;
const ASK_MS = 1000; // between halls of then, while they are played for who may not read the changes
const PAGE = 500; // events
const PAGES = 20;
const LINES = 40;
const COLUMNS = 240; // of the curve
const HOURS = 5; // times under it
const STEPS = [60, 10]; // of the slider, in seconds; 1 where there is little to slide over
const LEAST = 10_000; // to slide over
const DAY = 86_400_000;

/** A day as a date field has it, of that time. */
const dayOf = (time) => new Date(time).toLocaleDateString("en-CA");
const isTaken = (status) => status === "RESERVED" || status === "OCCUPIED";

export class Past {
  isOpen = false;

  /** `seats` is the client, `view` shows halls, `mayRead()` says whether the user may see who changed what. `changed()` is
   * called whenever something else is shown, `said(sentence)` for each change that is played. */
  constructor({ seats, view, mayRead, changed, said }) {
    Object.assign(this, { seats, view, mayRead, changed, said });
    const button = (text, onclick, more = {}) => h("button", { type: "button", onclick, ...more }, text);
    this.speeds = SPEEDS.map((speed) =>
      button(`${speed}×`, () => (this.speed === speed ? this.#pause() : this.#play(speed)), { "aria-label": `Play at ${speed}×`, "data-speed": speed }));
    this.curve = h("i");
    this.slider = h("input", { type: "range", id: "moment", "aria-label": "Time", oninput: () => this.#slide() });
    this.hours = Array.from({ length: HOURS }, () => h("span"));
    this.day = h("input", { type: "date", "aria-label": "Day", onchange: () => this.day.value && this.#begin(this.day.value) });
    this.mark = h("p", { id: "then" });
    $("past").append(h("div", { id: "speeds", role: "group", "aria-label": "Play" }, h("span", { "aria-hidden": "true" }, "▶"), ...this.speeds),
      h("div", { id: "course" }, h("div", { id: "curve", "aria-hidden": "true" }, this.curve), this.slider, h("p", { "aria-hidden": "true" }, ...this.hours)),
      this.day, button("Now", () => this.close(), { id: "now", class: "main" }));
    $("now").append(h("kbd", { "aria-hidden": "true" }, "n"));
    $("title").append(this.mark);
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Show the present hall as one of then, from where the slider goes back. */
  open() {
    if (this.isOpen) return;
    this.isOpen = true;
    this.hall = this.seats.hall(this.view.id);
    this.made = Date.parse(this.view.live.created_at) + 1000; // with its seats
    $("past").hidden = this.mark.hidden = false;
    $("plan").classList.add("past");
    this.day.max = dayOf(Date.now());
    this.day.value = "";
    this.#begin(this.day.max);
    this.slider.focus();
    this.changed();
  }

  /** Show the present. */
  close() {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#pause();
    const hadFocus = $("past").contains(document.activeElement);
    $("past").hidden = this.mark.hidden = true;
    $("plan").classList.remove("past");
    write($("changes-title"), "Last changes");
    this.view.showNow();
    this.changed();
    if (hadFocus) this.view.plan.twin.focus();
  }

  #key(event) {
    const isElsewhere = event.target.closest("form, dialog, :popover-open") || event.ctrlKey || event.metaKey || event.altKey;
    if (!this.isOpen || isElsewhere || event.defaultPrevented || !["n", "N", "Escape"].includes(event.key)) return;
    event.preventDefault();
    this.close();
  }

  // -- a day

  /** Take that day, from its beginning or the hall's, to its end or now. */
  async #begin(day) {
    this.#pause();
    const midnight = new Date(`${day}T00:00`).getTime();
    this.isToday = day === dayOf(Date.now());
    this.end = this.isToday ? Date.now() : new Date(midnight + DAY + DAY / 2).setHours(0, 0, 0, 0);
    this.start = Math.min(Math.max(midnight, this.made), this.end - LEAST);
    this.day.value = day;
    const seconds = Math.ceil((this.end - this.start) / 1000);
    this.slider.step = STEPS.find((step) => seconds >= 240 * step) ?? 1;
    this.slider.max = seconds;
    this.hours.forEach((hour, i) => {
      const time = new Date(this.start + (i / (HOURS - 1)) * (this.end - this.start)).toLocaleTimeString("en-GB");
      write(hour, seconds < 1200 ? time : time.slice(0, 5));
    });
    this.events = this.averages = [];
    this.known = this.start;
    this.#draw(null);
    this.#seek(this.end);
    if (!this.mayRead()) return;
    const last = await this.hall.at(new Date(this.end)).catch(() => null);
    if (last) await this.#load(last, `${last.rev + 1}-0`).catch(({ message }) => this.#say(message));
  }

  /** The day's events, the newest first, as far as they are not too many; then the curve and the list. */
  async #load(last, cursor) {
    const { start, hall } = this;
    const events = [];
    for (let page = 0; page < PAGES && cursor && !(events.at(-1)?.at < new Date(start).toISOString()); page += 1) {
      const answer = await this.seats.call("hall.history", { id: last.id, limit: PAGE, cursor });
      events.push(...answer.events);
      cursor = answer.cursor;
    }
    const isPart = cursor && events.at(-1).at > new Date(start).toISOString();
    const span = { id: last.id, from: new Date(start).toISOString(), to: new Date(this.end).toISOString(), bucket: "hour" };
    const hours = isPart ? await this.seats.call("hall.report", span).catch(() => []) : []; // or the server has no reports
    if (!this.isOpen || this.start !== start || this.hall !== hall) return;
    this.events = events;
    this.averages = hours.map((hour) => ({ from: Date.parse(hour.from), taken: hour.occupied_avg + hour.reserved_avg }));
    this.known = isPart ? Date.parse(events.at(-1).at) : start;
    this.#draw(last);
    this.#list();
  }

  /** The curve, from the day's last hall backwards, and before the known events by the hour; without a hall nothing. */
  #draw(last) {
    const { taken, seats } = totals(sumOf(last?.seat_types ?? []));
    const points = [];
    let [left, now] = [0, taken];
    for (let column = COLUMNS; column > 0; column -= 1) {
      const time = this.start + (column / COLUMNS) * (this.end - this.start);
      for (; Date.parse(this.events[left]?.at) > time; left += 1) {
        const { old_status, new_status } = this.events[left];
        if (old_status && new_status) now -= isTaken(new_status) - isTaken(old_status);
      }
      if (time < this.known) now = this.averages.findLast(({ from }) => from < time)?.taken ?? 0;
      const y = `${100 - 100 * Math.min(1, now / seats)}%`;
      points.push(`${(100 * column) / COLUMNS}% ${y}`, `${(100 * (column - 1)) / COLUMNS}% ${y}`);
    }
    this.curve.style.clipPath = seats && this.events.length ? `polygon(100% 100%, ${points.join(", ")}, 0% 100%)` : "inset(100% 0 0)";
  }

  // -- a moment

  /** The slider goes by its steps, and to the end. */
  #slide() {
    const second = Number(this.slider.value);
    this.#pause();
    this.#seek(second + Number(this.slider.step) > Number(this.slider.max) ? this.end : this.start + 1000 * second);
  }

  /** Show the hall as it was at that time; while an answer is under way only the latest time counts. */
  async #seek(time) {
    this.#move(time);
    this.wanted = true;
    if (this.isAsking) return;
    this.isAsking = true;
    while (this.wanted && this.isOpen) {
      this.wanted = false;
      this.askedAt = Date.now();
      try {
        const hall = await this.hall.at(new Date(this.time));
        if (this.isOpen && !this.wanted) this.#show(hall);
      } catch ({ code, message }) {
        this.#say(code === "HistoryNotFound" ? `No history at ${clock(this.time)}` : message);
      }
    }
    this.isAsking = false;
  }

  /** The slider and the mark follow the time. */
  #move(time) {
    this.time = time;
    this.slider.value = (time - this.start) / 1000;
    this.slider.setAttribute("aria-valuetext", clock(time));
    this.#say(`As it was at ${clock(time)}`);
  }

  #say(text) {
    write(this.mark, `${text} · read only`);
  }

  #show(hall) {
    if (hall.id !== this.view.id) return;
    this.view.showThen(hall);
    this.rev = hall.rev;
    const { taken, seats } = totals(this.view.counts);
    this.slider.setAttribute("aria-valuetext", `${clock(this.time)}, ${taken} of ${seats} taken`);
    this.#list();
    this.changed();
  }

  // -- playing

  /** Play from what is shown; at the end of the day, all of it. */
  async #play(speed, from = this.time < this.end ? this.time : this.start) {
    this.#pause();
    const began = Date.now();
    const until = this.isToday ? began : this.end;
    const tick = () => {
      const time = from + (Date.now() - began) * speed;
      if (time >= until) return this.#reached(speed, until);
      this.#move(time);
      if (!this.mayRead() && Date.now() - this.askedAt > ASK_MS) this.#seek(time);
    };
    this.speed = speed;
    const run = (this.timer = setInterval(tick, TICK_MS));
    for (const button of this.speeds) button.setAttribute("aria-pressed", Number(button.dataset.speed) === speed);
    if (!this.mayRead()) return;
    try {
      for await (const { hall, events } of this.hall.replay(new Date(from), new Date(until), { speed })) {
        if (this.timer !== run) return;
        if (events[0]?.rev > (this.events[0]?.rev ?? 0)) this.events.unshift(...events.toReversed()); // it has just happened
        this.#show(hall);
        if (events.length) this.said($("latest").textContent);
      }
    } catch ({ message }) {
      if (this.timer !== run) return;
      this.#pause();
      this.#say(message);
    }
  }

  /** The day is over; or it was the present when the play began, and there is a little more by now. */
  #reached(speed, until) {
    this.#pause();
    if (!this.isToday) this.#seek(until);
    else if (Date.now() - until < 2 * TICK_MS) this.close();
    else this.#play(speed, until);
  }

  #pause() {
    clearInterval(this.timer);
    this.timer = this.speed = undefined;
    for (const button of this.speeds) button.setAttribute("aria-pressed", "false");
  }

  // -- what changed, by whom, when

  #list() {
    const lines = this.mayRead() ? this.#lines() : [h("li", { class: "hint" }, "Who may change seats sees here who changed what.")];
    write($("changes-title"), `Changes until ${clock(this.time)}`);
    $("change-list").replaceChildren(...lines);
    write($("latest"), [...lines[0].childNodes].map((node) => node.textContent).join(" "));
  }

  #lines() {
    const { layout } = this.view.plan;
    const first = this.events.findIndex(({ rev }) => rev <= this.rev);
    const none = this.known > this.start ? "The day has too many changes to list these." : "Nothing had changed on this day yet.";
    if (first < 0) return [h("li", { class: "hint" }, none)];
    const revisions = [...Map.groupBy(this.events.slice(first, first + 20 * PAGE), ({ rev }) => rev).values()].slice(0, LINES);
    return revisions.map((events) => {
      const seats = events.filter(({ kind }) => kind !== "layout").map((event) => ({ ...layout.seats[layout.number.get(event.seat_id)], ...event, status: event.new_status }));
      const known = seats.filter(({ id }) => id);
      const [{ at, by, note, kind }] = events;
      const what = !seats.length ? "layout changed" : outcome(seats) + (seats.length === 1 && note ? ` (${note})` : "") + (kind === "expired" ? ", hold over" : "");
      const time = h("button", { type: "button", class: "link", onclick: () => this.#seek(Date.parse(at)) }, h("time", { datetime: at }, clock(at, this.end - 1)));
      return h("li", {}, time, h("span", {}, known.length ? places(known, layout.rowOf) : "the hall"), h("b", {}, what), by && h("i", {}, `by ${by}`));
    });
  }
}

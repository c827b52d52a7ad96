/** The plan of a hall: two canvases (seats; what comes and goes over them), the view on them, and the readable twin. */

import { Layout } from "/web/layout.js";
import { paintBand, paintOver, pulseLength } from "/web/overlay.js";
import { colours, paintSeats, paintSurroundings } from "/web/paint.js";
import { followPointers } from "/web/pointer.js";
import { Twin } from "/web/twin.js";

const PATCHES = 24; // more changed seats are drawn with all others
const SLACK_PX = { mouse: 3, touch: 16, pen: 6 };

export class Plan {
  /**
   * `root` holds the canvases and the grid. `hands` is told what a person does: `tap(seat, event)`, `row(row, event)`,
   * `ground()`, `rectangle(seats, event)`, `moved(from, to, event)` by a key, `key(event, seat)` for any other key. It is
   * asked `mayBand()`, `selected()` and `isSelected(seat)` (null where nothing can be selected).
   */
  constructor(root, hands) {
    this.root = root;
    this.hands = hands;
    [this.base, this.over] = root.querySelectorAll("canvas");
    this.layout = new Layout([]);
    this.marks = new Map();
    this.view = { scale: 1, x: 0, y: 0 };
    this.size = { width: 0, height: 0 };
    this.fitted = true; // until a person moves the view
    this.pulses = [];
    this.band = null;
    this.labels = true; // of the seats, where they can be read
    this.changed = new Set(); // numbers of seats to draw anew
    this.all = false; // or all of them
    this.lit = null; // the seat with the focus, where it is to be seen
    this.twin = new Twin(root.querySelector("[role=grid]"), {
      keys: (event, seat) => this.#key(event, seat),
      focused: (seat) => this.#light(seat),
    });
    this.#listen();
  }

  #listen() {
    new ResizeObserver(([{ contentRect }]) => this.#resize(contentRect)).observe(this.root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
    followPointers(this.over, {
      mayBand: () => this.hands.mayBand(),
      pan: (dx, dy) => this.move({ ...this.view, x: this.view.x + dx, y: this.view.y + dy }),
      zoom: (factor, point) => this.zoom(factor, point),
      tap: (point, event) => this.#tap(point, event),
      band: (from, to) => this.#draw(() => (this.band = { from, to })),
      cancel: () => this.#draw(() => (this.band = null)),
      rectangle: (from, to, event) => {
        const [a, b] = [this.#onPlan(from), this.#onPlan(to)];
        const [left, right] = [a.x, b.x].sort((x, y) => x - y);
        const [top, bottom] = [a.y, b.y].sort((x, y) => x - y);
        this.hands.rectangle(this.layout.inside({ left, top, right, bottom }).sort((x, y) => x - y).map((i) => this.layout.seats[i]), event);
      },
    });
  }

  /** Show a hall anew; seats that differ from what was shown before pulse. Returns those. */
  show(hall) {
    const before = this.hallId === hall.id ? this.layout : null;
    this.layout = new Layout(hall.seats, hall.at && Date.parse(hall.at));
    this.marks = new Map(hall.seat_types.map((type, i) => [type.id, i]));
    const changed = before ? this.layout.seats.filter((seat) => differs(before.seats[before.number.get(seat.id)], seat)) : [];
    const same = before && JSON.stringify(before.bounds) === JSON.stringify(this.layout.bounds);
    this.hallId = hall.id;
    this.recolour();
    if (!same) this.fit();
    else this.look();
    this.pulse(changed);
    return changed;
  }

  /** Take over changed seats, as the protocol sends them; returns those that look different now. */
  update(changes) {
    const numbers = changes.map(({ id }) => this.layout.number.get(id)).filter((i) => i !== undefined);
    const before = new Map(numbers.map((i) => [i, { ...this.layout.seats[i] }]));
    for (const change of changes) Object.assign(this.layout.seats[this.layout.number.get(change.id)] ?? {}, change);
    const seats = numbers.map((i) => this.layout.seats[i]);
    for (const i of numbers) this.changed.add(i);
    this.twin.names(seats);
    const changed = numbers.filter((i) => differs(before.get(i), this.layout.seats[i])).map((i) => this.layout.seats[i]);
    this.pulse(changed);
    return changed;
  }

  seat(id) {
    return this.layout.seats[this.layout.number.get(id)];
  }

  recolour() {
    this.theme = colours(this.base);
    this.look();
  }

  // -- the view

  /** The whole hall in the middle. */
  fit() {
    const { left, top, right, bottom } = this.layout.bounds;
    const edge = this.layout.smallest * 1.3;
    const [width, height] = [right - left + 2 * edge, bottom - top + 2.2 * edge];
    const scale = Math.min((this.size.width - 8) / width, (this.size.height - 24) / height, 3);
    this.fitted = true;
    if (!(scale > 0)) return; // hidden: again when it has a size
    this.least = scale / 2;
    this.move({
      scale,
      x: (this.size.width - (left + right) * scale) / 2,
      y: (this.size.height + 16 - (top - 1.2 * edge + bottom + edge) * scale) / 2,
    }, true);
  }

  /** Larger or smaller around a point of the canvas, the middle of it by default. */
  zoom(factor, point = { x: this.size.width / 2, y: this.size.height / 2 }) {
    const scale = Math.min(8, Math.max(this.least ?? 0.01, this.view.scale * factor));
    const by = scale / this.view.scale;
    this.move({ scale, x: point.x - (point.x - this.view.x) * by, y: point.y - (point.y - this.view.y) * by });
  }

  /** Set the view; some of the hall always stays in sight. */
  move({ scale, x, y }, fitted = false) {
    const { left, top, right, bottom } = this.layout.bounds;
    const rim = 60;
    const clamp = (value, from, to, length) => Math.min(length - rim - from * scale, Math.max(rim - to * scale, value));
    this.view = { scale, x: clamp(x, left, right, this.size.width), y: clamp(y, top, bottom, this.size.height) };
    this.fitted = fitted;
    this.look();
  }

  /** Where a point of the plan is on the canvas. */
  onCanvas(x, y) {
    return { x: x * this.view.scale + this.view.x, y: y * this.view.scale + this.view.y };
  }

  /** The middle of a seat on the canvas. */
  seatOnCanvas(seat) {
    const i = this.layout.number.get(seat.id);
    return this.onCanvas(this.layout.centres[2 * i], this.layout.centres[2 * i + 1]);
  }

  #onPlan({ x, y }) {
    return { x: (x - this.view.x) / this.view.scale, y: (y - this.view.y) / this.view.scale };
  }

  #inView() {
    const [a, b] = [this.#onPlan({ x: 0, y: 0 }), this.#onPlan({ x: this.size.width, y: this.size.height })];
    return this.layout.within({ left: a.x, top: a.y, right: b.x, bottom: b.y });
  }

  #resize({ width, height }) {
    this.size = { width, height };
    for (const canvas of [this.base, this.over]) {
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
    }
    if (this.fitted) this.fit();
    this.look();
    this.#frame(); // a canvas that has a new size is empty
  }

  // -- focus and pointer

  /** Give a seat the focus, and bring it into view. */
  focus(seat) {
    const { x, y } = this.seatOnCanvas(seat);
    const rim = 30;
    const dx = Math.max(rim - x, 0) || Math.min(this.size.width - rim - x, 0);
    const dy = Math.max(rim - y, 0) || Math.min(this.size.height - rim - y, 0);
    this.twin.activate(seat);
    if (dx || dy) this.move({ ...this.view, x: this.view.x + dx, y: this.view.y + dy });
    if (!this.twin.cells.has(seat.id)) this.#drawTwin();
    this.twin.focus();
    this.#light(seat);
  }

  #light(seat) {
    const shown = seat && this.twin.cells.get(seat.id)?.matches(":focus-visible");
    this.#draw(() => (this.lit = shown ? seat : null));
  }

  #key(event, seat) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
    if (moves.includes(event.key)) {
      const next = this.layout.step(seat, event.key);
      if (next) this.focus(next);
      if (next) this.hands.moved(seat, next, event);
    } else if (event.key === "0") this.fit();
    else if ("+=-".includes(event.key)) this.zoom(event.key === "-" ? 1 / 1.4 : 1.4, this.seatOnCanvas(seat));
    else if (!this.hands.key(event, seat)) return;
    event.preventDefault();
  }

  #tap(point, event) {
    const { x, y } = this.#onPlan(point);
    const slack = (SLACK_PX[event.pointerType] ?? 3) / this.view.scale;
    const i = this.layout.at(x, y, Math.min(slack, this.layout.smallest));
    if (i >= 0) {
      this.focus(this.layout.seats[i]);
      return this.hands.tap(this.layout.seats[i], event);
    }
    const near = (end) => Math.hypot(end.x - x, end.y - y) < Math.max(this.layout.smallest / 2, 10 / this.view.scale);
    const row = this.layout.rows.find(({ ends }) => ends.some(near));
    return row ? this.hands.row(row, event) : this.hands.ground();
  }

  // -- drawing

  /** Draw everything, at the next frame; the twin follows when the view has come to rest. */
  look() {
    this.all = true;
    this.#request();
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.#drawTwin(), 150);
  }

  /** Draw the selection anew. */
  selectionChanged() {
    this.twin.grid.setAttribute("aria-multiselectable", this.hands.mayBand());
    this.#draw(() => this.twin.names(this.layout.seats.filter((seat) => this.twin.cells.has(seat.id))));
  }

  /** Make seats seen to change. */
  pulse(seats) {
    if (!seats.length) return this.#request();
    const numbers = seats.map((seat) => this.layout.number.get(seat.id));
    return this.#draw(() => this.pulses.push({ numbers, start: performance.now() }));
  }

  #drawTwin() {
    clearTimeout(this.resting);
    this.twin.draw(this.layout, this.#inView(), (seat) => this.hands.isSelected(seat));
  }

  #draw(change) {
    change();
    this.#request();
  }

  #request() {
    this.frame ??= requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    if (!this.size.width || !this.theme) return;
    if (this.all) this.twin.follow(this.view);
    if (this.all || this.changed.size > PATCHES) this.#paintAll();
    else for (const i of this.changed) this.#patch(i);
    this.all = false;
    this.changed.clear();
    this.#paintOver();
    if (this.pulses.length) this.#request();
  }

  #context(canvas, clear) {
    const context = canvas.getContext("2d");
    const ratio = devicePixelRatio;
    if (clear) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
    }
    const { scale, x, y } = this.view;
    context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
    return context;
  }

  get #style() {
    return { scale: this.view.scale, theme: this.theme, marks: this.marks, labels: this.labels };
  }

  #paintAll() {
    const context = this.#context(this.base, true);
    if (!this.layout.seats.length) return;
    if (!performance.getEntriesByName("first hall").length) performance.mark("first hall");
    paintSurroundings(context, this.layout, this.#style);
    paintSeats(context, this.layout, this.#inView(), this.#style);
  }

  /** Draw one seat, and what its neighbours have around it. */
  #patch(i) {
    const context = this.#context(this.base, false);
    const [x, y] = this.layout.centres.subarray(2 * i, 2 * i + 2);
    const half = this.layout.reach + 8;
    const box = [x - half, y - half, 2 * half, 2 * half];
    context.save();
    context.beginPath();
    context.rect(...box);
    context.clip();
    context.clearRect(...box);
    paintSurroundings(context, this.layout, this.#style);
    const around = { left: x - 2 * half, right: x + 2 * half, top: y - 2 * half, bottom: y + 2 * half };
    paintSeats(context, this.layout, this.layout.within(around), this.#style);
    context.restore();
  }

  #paintOver() {
    const context = this.#context(this.over, true);
    this.pulses = this.pulses.filter(({ start }) => performance.now() - start < pulseLength());
    paintOver(context, this.layout, { ...this.#style, selected: this.hands.selected(), lit: this.lit, pulses: this.pulses });
    if (this.band) paintBand(context, this.#onPlan(this.band.from), this.#onPlan(this.band.to), this.#style);
  }
}

function differs(before, after) {
  return !before || before.status !== after.status || before.note !== after.note || before.hold_until !== after.hold_until;
}

/** The geometry of a hall's seats, computed once a layout, and an index to find seats by where they are. */

import { rowLabel, placeLabel } from "/web/words.js";

const CELLS = 96; // of the spatial index, along the longer side

export class Layout {
  /** `time` is that of seats of then. */
  constructor(seats, time) {
    this.time = time;
    this.seats = seats.map((seat) => ({ ...seat }));
    this.number = new Map(seats.map((seat, i) => [seat.id, i]));
    this.corners = new Float64Array(8 * seats.length); // x, y clockwise from the upper left
    this.centres = new Float64Array(2 * seats.length);
    this.bounds = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
    this.reach = 0; // from the middle of the largest seat to its corner
    this.smallest = Infinity; // side of a seat
    this.seats.forEach((seat, i) => this.#place(seat, i));
    if (!seats.length) this.bounds = { left: 0, top: 0, right: 1, bottom: 1 };
    this.#index();
    this.#rows();
  }

  #place({ x, y, width, height, rotation = 0 }, i) {
    const [cx, cy, angle] = [x + width / 2, y + height / 2, (rotation * Math.PI) / 180];
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const box = this.bounds;
    this.centres.set([cx, cy], 2 * i);
    [[-1, -1], [1, -1], [1, 1], [-1, 1]].forEach(([h, v], corner) => {
      const [dx, dy] = [(h * width) / 2, (v * height) / 2];
      const [px, py] = [cx + dx * cos - dy * sin, cy + dx * sin + dy * cos];
      this.corners.set([px, py], 8 * i + 2 * corner);
      box.left = Math.min(box.left, px);
      box.right = Math.max(box.right, px);
      box.top = Math.min(box.top, py);
      box.bottom = Math.max(box.bottom, py);
    });
    this.reach = Math.max(this.reach, Math.hypot(width, height) / 2);
    this.smallest = Math.min(this.smallest, width, height);
  }

  /** A grid of cells; `order` has the seats cell by cell, `starts` where each cell begins in it. */
  #index() {
    const { left, top, right, bottom } = this.bounds;
    this.cell = Math.max(right - left, bottom - top, 1) / CELLS;
    this.columns = Math.floor((right - left) / this.cell) + 1;
    const cells = this.columns * (Math.floor((bottom - top) / this.cell) + 1);
    const cellOf = this.seats.map((_, i) => this.#cellAt(this.centres[2 * i], this.centres[2 * i + 1]));
    this.starts = new Uint32Array(cells + 1);
    for (const cell of cellOf) this.starts[cell + 1] += 1;
    for (let cell = 0; cell < cells; cell += 1) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.order = new Uint32Array(this.seats.length);
    cellOf.forEach((cell, i) => (this.order[next[cell]++] = i));
  }

  #cellAt(x, y) {
    const row = Math.floor((y - this.bounds.top) / this.cell);
    return row * this.columns + Math.floor((x - this.bounds.left) / this.cell);
  }

  /** Rows as people count them, each from left to right. */
  #rows() {
    this.rows = [];
    this.rowOf = new Map(); // by the seat's id
    let last = null;
    for (const seat of this.seats) {
      if (!last || seat.row !== last.seats[0].row || seat.section !== last.seats[0].section) {
        last = { number: this.rows.length, label: rowLabel(seat), seats: [] };
        this.rows.push(last);
      }
      last.seats.push(seat);
      this.rowOf.set(seat.id, last);
    }
    for (const row of this.rows) {
      if (row.seats[0].x > row.seats.at(-1).x) row.seats.reverse();
      row.ends = [this.#beyond(row.seats, 0, 1, -1), this.#beyond(row.seats, -1, -2, 1)];
    }
  }

  /** Where the label of a row stands: beside its last seat, in line with the one before. */
  #beyond(seats, last, before, direction) {
    const [a, b] = [last, before].map((n) => seats.at(n) && this.number.get(seats.at(n).id));
    const [x, y] = this.centres.subarray(2 * a, 2 * a + 2);
    const [dx, dy] = b === undefined ? [direction, 0] : [x - this.centres[2 * b], y - this.centres[2 * b + 1]];
    const away = (seats.at(last).width / 2 + this.smallest * 0.75) / (Math.hypot(dx, dy) || 1);
    return { x: x + dx * away, y: y + dy * away };
  }

  /** The numbers of the seats that may be seen in a rectangle of the plan, in no order. */
  within({ left, top, right, bottom }) {
    const found = [];
    const rows = (this.starts.length - 1) / this.columns;
    const cells = (value, origin, last) => Math.min(last, Math.max(0, Math.floor((value - origin) / this.cell)));
    const [from, to] = [left - this.reach, right + this.reach].map((x) => cells(x, this.bounds.left, this.columns - 1));
    const [above, below] = [top - this.reach, bottom + this.reach].map((y) => cells(y, this.bounds.top, rows - 1));
    for (let row = above; row <= below; row += 1) {
      const start = this.starts[row * this.columns + from];
      const end = this.starts[row * this.columns + to + 1];
      for (let n = start; n < end; n += 1) found.push(this.order[n]);
    }
    return found;
  }

  /** The number of the seat at a point, or of the nearest within `slack` of it; -1 where there is none. */
  at(x, y, slack = 0) {
    const around = { left: x - slack, right: x + slack, top: y - slack, bottom: y + slack };
    let [best, distance] = [-1, slack];
    for (const i of this.within(around)) {
      const away = this.#distance(i, x, y);
      if (away <= distance) [best, distance] = [i, away];
    }
    return best;
  }

  /** From a point to the edge of a seat, 0 inside it: in the seat's own turned axes. */
  #distance(i, x, y) {
    const { width, height, rotation = 0 } = this.seats[i];
    const angle = (-rotation * Math.PI) / 180;
    const [dx, dy] = [x - this.centres[2 * i], y - this.centres[2 * i + 1]];
    const across = Math.abs(dx * Math.cos(angle) - dy * Math.sin(angle)) - width / 2;
    const along = Math.abs(dx * Math.sin(angle) + dy * Math.cos(angle)) - height / 2;
    return Math.hypot(Math.max(across, 0), Math.max(along, 0));
  }

  /** The numbers of the seats whose middle is in a rectangle. */
  inside({ left, top, right, bottom }) {
    return this.within({ left, top, right, bottom }).filter((i) => {
      const [x, y] = this.centres.subarray(2 * i, 2 * i + 2);
      return x >= left && x <= right && y >= top && y <= bottom;
    });
  }

  /** The seat that a key leads to from another: arrows, Home and End; undefined at the edge. */
  step(seat, key) {
    const { seats } = this.rowOf.get(seat.id);
    const at = seats.indexOf(seat);
    switch (key) {
      case "ArrowLeft": return seats[at - 1];
      case "ArrowRight": return seats[at + 1];
      case "Home": return seats[0];
      case "End": return seats.at(-1);
      default: return this.#nearest(seat, key === "ArrowUp" ? -1 : 1);
    }
  }

  /** The nearest seat above or below, most of all straight above or below. */
  #nearest(seat, direction) {
    const from = this.number.get(seat.id);
    const [x, y] = this.centres.subarray(2 * from, 2 * from + 2);
    const own = this.rowOf.get(seat.id);
    let [best, cost] = [undefined, Infinity];
    for (let i = 0; i < this.seats.length; i += 1) {
      const down = direction * (this.centres[2 * i + 1] - y);
      const price = down + 2 * Math.abs(this.centres[2 * i] - x);
      if (down > 0 && price < cost && this.rowOf.get(this.seats[i].id) !== own) [best, cost] = [this.seats[i], price];
    }
    return best;
  }

  /** The first seat whose label is what somebody typed: "G12", "g 12", "row 7 seat 14". */
  find(text) {
    const words = (value) => value.toLowerCase().match(/\p{L}+|\d+/gu)?.filter((word) => !/^(row|seat)$/.test(word)) ?? [];
    const wanted = words(text).join(" ");
    if (!wanted) return undefined;
    const label = (seat) => words(`${rowLabel(seat)} ${placeLabel(seat)}`).join(" ");
    const full = (seat) => `${words(seat.section ?? "").join(" ")} ${label(seat)}`;
    return this.seats.find((seat) => label(seat) === wanted || full(seat) === wanted);
  }
}

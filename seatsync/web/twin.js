/**
 * The readable twin of the plan: a grid of what is in view, one stop of the tab order, with roving focus. Its cells lie
 * over their seats, unseen, so that a magnifier follows the focus and a finger that explores finds them.
 */

import { h } from "/web/dom.js";
import { seatName } from "/web/words.js";

const MOST_CELLS = 300;

export class Twin {
  /** `grid` has the role; `keys(event, seat)` gets what is typed; `focused(seat or null)` is told where the focus is. */
  constructor(grid, { keys, focused }) {
    this.grid = grid;
    this.cells = new Map(); // by the seat's id
    this.active = null;
    this.drawn = "";
    grid.addEventListener("keydown", (event) => this.active && keys(event, this.active));
    grid.addEventListener("focusin", () => focused(this.active));
    grid.addEventListener("focusout", () => focused(null));
  }

  /** Show the rows of these seats; the one with the focus is always among them. */
  draw(layout, numbers, isSelected) {
    this.layout = layout;
    this.isSelected = isSelected;
    if (!this.active || layout.seats[layout.number.get(this.active.id)] !== this.active) {
      this.active = this.active ? layout.seats[layout.number.get(this.active.id)] : undefined;
      this.active ??= layout.seats[Math.min(...numbers)] ?? layout.seats[0] ?? null;
    }
    const shown = this.#window(numbers);
    const name = `${shown.length} ${shown[0]} ${shown.at(-1)}`;
    if (name === this.drawn && this.cells.size) return this.names(layout.seats.filter((seat) => this.cells.has(seat.id)));
    this.drawn = name;
    const hadFocus = this.grid.contains(document.activeElement);
    this.cells.clear();
    const rows = new Map();
    for (const i of shown) {
      const seat = layout.seats[i];
      const row = layout.rowOf.get(seat.id);
      if (!rows.has(row)) rows.set(row, h("div", { role: "row", "aria-rowindex": row.number + 1 }));
      rows.get(row).append(this.#cell(seat, row));
    }
    this.grid.setAttribute("aria-rowcount", layout.rows.length);
    this.grid.replaceChildren(...rows.values());
    if (hadFocus) this.focus();
    return undefined;
  }

  /** At most so many cells, around the active one, in reading order. */
  #window(numbers) {
    const active = this.active ? this.layout.number.get(this.active.id) : -1;
    const all = [...new Set(active < 0 ? numbers : [...numbers, active])].sort((a, b) => a - b);
    const from = Math.max(0, Math.min(all.indexOf(active) - MOST_CELLS / 2, all.length - MOST_CELLS));
    return all.slice(from, from + MOST_CELLS);
  }

  #cell(seat, row) {
    const cell = h("div", { role: "gridcell", tabindex: seat === this.active ? 0 : -1, "aria-colindex": row.seats.indexOf(seat) + 1 });
    const { x, y, width, height, rotation = 0 } = seat;
    Object.assign(cell.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px`, rotate: `${rotation}deg` });
    this.cells.set(seat.id, cell);
    this.#name(seat, cell);
    return cell;
  }

  #name(seat, cell) {
    const name = seatName(seat);
    if (cell.textContent !== name) cell.textContent = name;
    const selected = this.isSelected(seat);
    if (selected === null) cell.removeAttribute("aria-selected");
    else cell.setAttribute("aria-selected", selected);
  }

  /** The cells move with the plan. */
  follow({ scale, x, y }) {
    this.grid.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
  }

  /** Write the names of seats that have changed, where they are shown. */
  names(seats) {
    for (const seat of seats) if (this.cells.has(seat.id)) this.#name(seat, this.cells.get(seat.id));
  }

  /** Make a seat the one stop, without moving the focus. */
  activate(seat) {
    this.cells.get(this.active?.id)?.setAttribute("tabindex", -1);
    this.active = seat;
    this.cells.get(seat.id)?.setAttribute("tabindex", 0);
  }

  focus() {
    this.cells.get(this.active?.id)?.focus({ preventScroll: true });
  }
}

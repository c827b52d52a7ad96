/** The last changes of a hall, in words. */

import { $, h, write } from "/web/dom.js";
import { capital, clock, outcome, places } from "/web/words.js";

const MOST = 40;
const SETTLING_MS = 5000; // what a hall is made with is no change
const TOGETHER_MS = 20; // between two seats of one statement, each of which has its own time

/** Forget what is shown, and show the last changes that a snapshot tells of: seats that were changed at the same time. */
export function beginChanges(hall, layout) {
  const made = Date.parse(hall.created_at) + SETTLING_MS;
  const changed = layout.seats.map((seat) => ({ seat, at: Date.parse(seat.updated_at) })).filter(({ at }) => at >= made);
  const groups = [];
  let last = -Infinity;
  for (const { seat, at } of changed.sort((a, b) => a.at - b.at)) {
    if (at - last > TOGETHER_MS) groups.push([]);
    groups.at(-1).push(seat);
    last = at;
  }
  $("change-list").replaceChildren(h("li", { class: "hint" }, "Nothing has changed yet: changes appear here as they happen."));
  write($("latest"), "Changes");
  for (const seats of groups.slice(-MOST / 4)) addChange(seats, layout);
}

/** Add a line for seats that changed together; returns it as a sentence. */
export function addChange(seats, layout) {
  const at = seats.reduce((latest, seat) => (seat.updated_at > latest ? seat.updated_at : latest), "");
  const [where, what] = [places(seats, layout.rowOf), outcome(seats)];
  const note = seats.length === 1 && seats[0].note ? ` (${seats[0].note})` : "";
  const list = $("change-list");
  list.querySelector(".hint")?.remove();
  list.prepend(h("li", {}, h("time", { datetime: at }, clock(at)), h("span", {}, where), h("b", {}, what + note)));
  while (list.children.length > MOST) list.lastChild.remove();
  write($("latest"), `${clock(at)} ${where} ${what}`);
  return `${capital(where)}: ${what}.`;
}

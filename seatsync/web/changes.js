/** The last changes of a hall, in words. */

import { $, h, write } from "/web/dom.js";
import { capital, clock, outcome, places } from "/web/words.js";

const MOST = 40;
const SETTLING_MS = 5000; // what a hall is made with is no change

/** Forget what is shown, and show the last changes that a snapshot tells of: seats that were changed at the same time. */
export function beginChanges(hall, layout) {
  const made = Date.parse(hall.created_at) + SETTLING_MS;
  const by = Map.groupBy(layout.seats.filter((seat) => Date.parse(seat.updated_at) >= made), (seat) => seat.updated_at);
  const times = [...by.keys()].sort().slice(-MOST / 4);
  $("change-list").replaceChildren(h("li", { class: "hint" }, "Nothing has changed yet: changes appear here as they happen."));
  write($("latest"), "Changes");
  for (const time of times) addChange(by.get(time), layout);
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

/** What the page says: names of seats, changes in words, times. No DOM, no state. */

export const STATUSES = ["VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE"];

/** The words and the CSS colour of each status. */
export const STATUS = {
  VACANT: { word: "free", color: "--free" },
  RESERVED: { word: "reserved", color: "--reserved" },
  OCCUPIED: { word: "occupied", color: "--occupied" },
  MAINTENANCE: { word: "in repair", color: "--repair" },
};

/** A server without labels has numbers. */
export const rowLabel = (seat) => String(seat.row_label ?? seat.row);
export const placeLabel = (seat) => String(seat.place_label ?? seat.place);

const section = (seat) => (seat.section ? `${seat.section}, ` : "");

/** "row G, seat 12", with the section before it where there is one. */
export const seatPlace = (seat) => `${section(seat)}row ${rowLabel(seat)}, seat ${placeLabel(seat)}`;

/** What a screen reader reads: "Row G, seat 12, VIP, occupied". */
export function seatName(seat) {
  const parts = [capital(seatPlace(seat)), seat.seat_type.name, STATUS[seat.status].word];
  if (seat.hold_until) parts.push(`until ${clock(seat.hold_until)}`);
  if (seat.note) parts.push(seat.note);
  return parts.join(", ");
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

/** The time of day, as on a wall clock; a time of another day than that of `beside` has its date. */
export function clock(time, beside = Date.now()) {
  const date = new Date(time);
  const text = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date(beside).toDateString() ? text : `${date.toLocaleDateString("en-CA")} ${text}`;
}

const BROWSERS = { Edge: /Edg/, Opera: /OPR/, Firefox: /Firefox|FxiOS/, Chrome: /Chrome|CriOS/, Safari: /Safari/ };
const SYSTEMS = { iPhone: /iPhone/, iPad: /iPad/, Android: /Android/, Windows: /Windows/, Mac: /Mac OS/, Linux: /Linux/ };

/** "Firefox on Windows", or the user agent's own words. */
export function device(agent) {
  const [browser, system] = [BROWSERS, SYSTEMS].map((table) => Object.keys(table).find((name) => table[name].test(agent)));
  return browser && system ? `${browser} on ${system}` : agent;
}

/** "row G, 12–14", "row A, 1, 3", "rows A–C, 40 seats", "120 seats": where these seats are, in a few words. */
export function places(seats, rows) {
  if (seats.length === 1) return `${section(seats[0])}row ${rowLabel(seats[0])}, ${placeLabel(seats[0])}`;
  const numbers = [...new Set(seats.map((seat) => rows.get(seat.id)))].sort((a, b) => a.number - b.number);
  if (numbers.length === 1) return `${section(seats[0])}row ${numbers[0].label}, ${runs(seats, numbers[0])}`;
  const [first, last] = [numbers[0], numbers.at(-1)];
  const together = last.number - first.number === numbers.length - 1;
  const which = together ? `rows ${first.label}–${last.label}` : count(numbers.length, "row");
  return `${which}, ${count(seats.length, "seat")}`;
}

/** "12–14, 17" of seats of one row; many pieces become a number. */
function runs(seats, row) {
  if (seats.length === row.seats.length) return "all of it";
  const wanted = new Set(seats.map((seat) => seat.id));
  const pieces = [];
  let piece = null;
  for (const seat of row.seats) {
    if (!wanted.has(seat.id)) piece = null;
    else if (piece) piece.push(seat);
    else pieces.push((piece = [seat]));
  }
  if (pieces.length > 4) return count(seats.length, "seat");
  const ends = (piece) => [...new Set([piece[0], piece.at(-1)].map(placeLabel))].join("–");
  return pieces.map(ends).join(", ");
}

/** The words for what seats became: "occupied", or "12 occupied, 3 free". */
export function outcome(seats) {
  const by = Map.groupBy(seats, (seat) => seat.status);
  if (by.size === 1) return STATUS[seats[0].status].word;
  return STATUSES.filter((status) => by.has(status))
    .map((status) => `${by.get(status).length.toLocaleString("en")} ${STATUS[status].word}`)
    .join(", ");
}

/** The counts of all of a hall's seat types together, by status. */
export const sumOf = (types) => Object.fromEntries(STATUSES.map((status) => [status, types.reduce((n, type) => n + type.seats[status], 0)]));

/** The counts of all statuses together: seats, taken, free, and the share taken, from 0 to 1. */
export function totals(counts) {
  const seats = STATUSES.reduce((sum, status) => sum + counts[status], 0);
  const taken = counts.RESERVED + counts.OCCUPIED;
  return { seats, taken, free: counts.VACANT, share: seats ? taken / seats : 0 };
}

/** A share as "82 %"; 100 % only when nothing is left, 0 % only when nothing is taken. */
export function percent(share) {
  const rounded = Math.round(100 * share);
  const honest = share < 1 ? Math.min(rounded, 99) : 100;
  return `${share > 0 ? Math.max(honest, 1) : 0} %`;
}

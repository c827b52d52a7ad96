/** The page: stores of the client on one side, parts of the page on the other. */

import { SeatsSync } from "/client.js";
import { Account, show } from "/web/account.js";
import { Actions } from "/web/actions.js";
import { $, h, write } from "/web/dom.js";
import { Halls, noHalls } from "/web/halls.js";
import { explain, HallView, showEmpty } from "/web/hallview.js";
import { Plan } from "/web/plan.js";
import { Selection } from "/web/selection.js";
import { trust } from "/web/trust.js";
import { Undo } from "/web/undo.js";
import { Wall } from "/web/wall.js";
import { clock, rowLabel, seatName } from "/web/words.js";

const KEYS = [
  ["← → ↑ ↓", "from seat to seat; with Shift, select them"], ["Home End", "first and last seat of the row"],
  ["/", "find a seat"], ["Space", "select"], ["Enter", "go to the actions"], ["Esc", "select nothing"],
  ["f r o m", "free, reserve, occupy, in repair"], ["u", "undo"], ["h", "the hall as it was"], ["n", "now"], ["+ − 0", "larger, smaller, all"], ["?", "this list"],
];

const seats = new SeatsSync();
const list = seats.cinemas();
const account = new Account(seats);
const halls = new Halls();
const hands = {
  tap: (seat, event) => (mayWrite() ? selection.tap(seat, event) : actions.look(seat)),
  row: (row, event) => mayWrite() && selection.row(row, event),
  rectangle: (found, event) => selection.rectangle(found, event),
  moved: (from, to, event) => (mayWrite() ? selection.moved(from, to, event) : actions.look(to)),
  ground: () => (selection.clear(), actions.look(null)),
  key: pressed,
  mayBand: mayWrite,
  selected: () => selection.seats,
  isSelected: (seat) => (mayWrite() ? selection.has(seat) : null),
};
let past = null; // once somebody looks back
const plan = new Plan($("plan"), hands);
const selection = new Selection(plan, () => {
  plan.selectionChanged();
  actions.show();
});
const undo = new Undo(seats, {
  changed: () => actions.show(),
  failed: (error) => show({ title: "Not undone", lead: error.message }),
});
const actions = new Actions({ seats, plan, selection, undo, mayWrite });
const view = new HallView(seats, plan, {
  changed: (change) => {
    undo.saw(view.id, change);
    actions.show();
  },
  shown: () => {
    followTrust();
    showWall();
  },
  said: say,
});
const wall = new Wall(openHall, halls.changedAt);

/** The past cannot be changed. */
function mayWrite() {
  return account.mayWrite && !past?.isOpen;
}

// -- which hall

/** `#/hall/3`, `#/hall/3?wall`, `#/hall/3,4?wall`, `#/halls?wall`: the halls' ids, and whether this is a wall. */
function route() {
  const [, ids, query] = /^#\/halls?\/?([\d,]*)(?:\?(.*))?$/.exec(location.hash) ?? [];
  return { ids: ids ? ids.split(",").map(Number) : null, isWall: query === "wall" };
}

function follow() {
  const { ids, isWall } = route();
  if (isWall) past?.close();
  if (isWall) wall.start(ids);
  else wall.stop();
  plan.labels = !isWall;
  plan.recolour(); // a wall is dark
  const { cinemas } = list.value;
  if (isWall && cinemas) wall.know(cinemas);
  else if (ids) openHall(ids[0]);
  else if (cinemas) {
    const all = cinemas.flatMap((cinema) => cinema.halls.map((hall) => hall.id));
    const last = Number(localStorage.getItem("hall"));
    openHall(all.includes(last) ? last : all[0]);
  }
}

function openHall(id) {
  if (!id || id === view.id) return;
  past?.close();
  selection.clear();
  undo.withdraw();
  actions.closeRefusal();
  actions.look(null);
  view.open(id);
  localStorage.setItem("hall", id);
  showCinemas(list.value); // marks the current one
}

function showCinemas({ cinemas, error }) {
  if (error && !view.id) explain(error);
  if (error || !cinemas) return;
  if (!cinemas.some((cinema) => cinema.halls.length)) showEmpty(noHalls());
  halls.show(cinemas, view.id);
  const own = cinemas.find((cinema) => cinema.halls.some((hall) => hall.id === view.id));
  if (own) document.body.style.setProperty("--cinema", own.color);
  if (route().isWall && !wall.know(cinemas)) showEmpty(noHalls());
  else if (!view.id) follow();
  followTrust();
}

function showWall() {
  if (!route().isWall || !view.counts) return;
  const latest = plan.layout.seats.reduce((last, seat) => (seat.updated_at > last ? seat.updated_at : last), "");
  wall.show(view.hall.name, view.counts, latest, plan.theme);
}

// -- trust

let trustTimer;
let saidLevel;

/** The link, the feed and the sign-in, in one place; a moment late, so that what passes at once is not shown. */
function followTrust() {
  trustTimer ??= setTimeout(() => {
    trustTimer = undefined;
    const picture = view.id ? view.picture : list.value;
    const { level, text, old } = trust(seats.state.value, picture, account.wasSignedOut);
    const isPast = past?.isOpen && level === "live";
    write($("trust"), isPast ? "◷ looking back" : text);
    $("trust").dataset.level = isPast ? "past" : level;
    $("plan").classList.toggle("old", old !== null);
    $("picture-of").hidden = old === null || !picture.at;
    write($("picture-of"), old === null ? "" : `picture of ${clock(old)}`);
    if (level !== saidLevel && saidLevel) say(text.replace(/^\S+ /, ""));
    saidLevel = level;
  }, 200);
}

// -- speaking, a sentence a second at most

let spokenAt = 0;
let speaking;
function say(sentence) {
  if (route().isWall) return;
  clearTimeout(speaking);
  const wait = Math.max(0, spokenAt + 1000 - Date.now());
  speaking = setTimeout(() => {
    spokenAt = Date.now();
    write($("live"), sentence);
  }, wait);
}

// -- keys and buttons

/** A key on a seat, apart from those that move and zoom; returns whether it means something. */
function pressed({ key }, seat) {
  const status = { f: "VACANT", r: "RESERVED", o: "OCCUPIED", m: "MAINTENANCE" }[key.toLowerCase()];
  if (key === "/") openFind();
  else if (key === "?") showKeys();
  else if (key === "h") lookBack();
  else if (past?.isOpen && (key === "n" || key === "Escape")) past.close();
  else if (key === "Escape") hands.ground();
  else if (!mayWrite()) return false;
  else if (key === " ") selection.tap(seat, { ctrlKey: true });
  else if (key === "u") undo.run();
  else if (key !== "Enter" && !status) return false;
  else {
    if (!selection.seats.length) selection.set([seat]);
    if (status) actions.choose(status);
    else actions.focus();
  }
  return true;
}

/** The hall as it was; what that takes is loaded by then. */
async function lookBack() {
  if (past?.isOpen) return past.close();
  if (account.user?.status !== "user" || !view.live) return undefined;
  const { Past } = await import("/web/history.js");
  past ??= new Past({ seats, view, mayRead: () => account.mayWrite, changed: showPast, said: say });
  selection.clear();
  undo.withdraw();
  actions.closeRefusal();
  return past.open();
}

function showPast() {
  $("legend").querySelector("[data-view=past]").setAttribute("aria-pressed", past.isOpen);
  actions.look(null);
  plan.selectionChanged();
  followTrust();
}

function showKeys() {
  const rows = KEYS.map(([keys, text]) => h("div", {}, h("dt", {}, ...keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, text)));
  show({ title: "Keys on the plan", fields: [h("dl", { class: "keys" }, ...rows)] });
}

function openFind() {
  $("find").hidden = false;
  $("find-label").value = "";
  write($("find-answer"), "");
  $("find-label").focus();
}

function closeFind() {
  $("find").hidden = true;
  if (plan.twin.active) plan.focus(plan.twin.active);
}

$("find").addEventListener("input", () => {
  const seat = plan.layout.find($("find-label").value);
  write($("find-answer"), seat ? seatName(seat) : $("find-label").value.trim() ? `No such seat; rows are ${rowLabel(plan.layout.seats[0])} to ${plan.layout.rows.at(-1).label}` : "");
});
$("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const seat = plan.layout.find($("find-label").value);
  if (!seat) return;
  $("find").hidden = true;
  if (plan.view.scale * plan.layout.smallest < 20) plan.zoom(20 / (plan.view.scale * plan.layout.smallest), plan.seatOnCanvas(seat));
  plan.focus(seat);
  if (mayWrite()) selection.set([seat]);
  else actions.look(seat);
});
$("find").addEventListener("keydown", ({ key }) => key === "Escape" && closeFind());
$("legend").addEventListener("click", ({ target }) => {
  const views = { in: () => plan.zoom(1.4), out: () => plan.zoom(1 / 1.4), fit: () => plan.fit(), find: openFind, keys: showKeys, past: lookBack };
  views[target.dataset?.view]?.();
});

// -- begin

let lastLink;
list.subscribe(showCinemas);
seats.state.subscribe(({ link, user }) => {
  if (account.show(user)) {
    if (user.status !== "user") past?.close();
    $("legend").querySelector("[data-view=past]").hidden = user.status !== "user";
    selection.clear();
    plan.selectionChanged(); // seats can be selected by who may change them
  }
  if (link === "live" && lastLink !== "live" && route().isWall) wall.cameBack();
  if (link === "closed") wall.wasClosed();
  lastLink = link;
  actions.show();
  followTrust();
});
setInterval(followTrust, 1000); // it counts seconds
setInterval(() => plan.layout.seats.some((seat) => seat.hold_until) && plan.look(), 1000); // holds run down
addEventListener("hashchange", follow);
follow();

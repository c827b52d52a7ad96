/** The wall display: plan and large figures, no controls, several halls in turn; it recovers by itself. */

import { $, h, write } from "/web/dom.js";
import { glyph } from "/web/paint.js";
import { clock, percent, STATUS, STATUSES, totals } from "/web/words.js";

const TURN_MS = 20_000;
const RELOAD_MS = 60_000; // a page that the server has told to stay away tries again, as a new page

export class Wall {
  /** `open(id)` shows a hall; `changedAt` has when each hall last changed. */
  constructor(open, changedAt) {
    Object.assign(this, { open, changedAt });
    this.shownAt = new Map();
    const figure = (id) => h("p", { id });
    this.counts = new Map(STATUSES.map((status) => [status, h("b")]));
    $("wall").append(h("h2", { id: "wall-name" }), figure("wall-share"), figure("wall-taken"),
      h("ul", {}, ...STATUSES.map((status) =>
        h("li", { "data-key": status }, h("canvas", { "aria-hidden": "true" }), this.counts.get(status), ` ${STATUS[status].word}`))),
      figure("wall-change"));
    document.addEventListener("visibilitychange", () => this.#keepScreenOn());
  }

  /** Begin, with these halls in turn: ids, or null for all there are. */
  start(ids) {
    this.ids = ids;
    document.documentElement.classList.add("wall");
    $("wall").hidden = false;
    clearInterval(this.timer);
    this.timer = setInterval(() => this.turn(), TURN_MS);
    this.#keepScreenOn();
    this.cameBack();
  }

  stop() {
    clearInterval(this.timer);
    document.documentElement.classList.remove("wall");
    $("wall").hidden = true;
  }

  /** The halls that there are; returns whether any of them is to be shown. */
  know(cinemas) {
    const all = cinemas.flatMap(({ halls }) => halls.map(({ id }) => id));
    this.halls = this.ids ? this.ids.filter((id) => all.includes(id)) : all;
    if (!this.halls.includes(this.current)) this.turn();
    return this.halls.length > 0;
  }

  /** Go on to the next hall: one that has changed since it was shown, else the one not shown for longest. */
  turn() {
    if (!this.halls?.length) return;
    const seen = (id) => this.shownAt.get(id) ?? 0;
    if (this.current) this.shownAt.set(this.current, Date.now());
    const hasChanged = (id) => id !== this.current && (this.changedAt.get(id) ?? 0) > seen(id);
    const [next] = [...this.halls].sort((a, b) => hasChanged(b) - hasChanged(a) || seen(a) - seen(b));
    this.current = next;
    this.open(next);
  }

  /** Show the figures of the hall, and each status as the plan draws it. */
  show(name, counts, lastChange, theme) {
    const { share, taken, seats, free } = totals(counts);
    write($("wall-name"), name);
    write($("wall-share"), free === 0 && share > 0 ? "full" : percent(share));
    write($("wall-taken"), `${taken.toLocaleString("en")} of ${seats.toLocaleString("en")} taken`);
    for (const [status, element] of this.counts) write(element, counts[status].toLocaleString("en"));
    write($("wall-change"), lastChange ? `last change ${clock(lastChange)}` : "");
    if (theme !== this.theme) $("wall").querySelectorAll("canvas").forEach((canvas, i) => glyph(canvas, theme, STATUSES[i]));
    this.theme = theme;
  }

  /** After an outage: load the page anew where the server has another version of it. */
  async cameBack() {
    const now = await version();
    if (this.version && now && now !== this.version) location.reload();
    this.version ??= now;
  }

  /** The server has told this page to stay away: load it anew as soon as there is an answer. */
  wasClosed() {
    this.reload ??= setInterval(async () => (await version()) && location.reload(), RELOAD_MS);
  }

  async #keepScreenOn() {
    if (document.visibilityState !== "visible" || $("wall").hidden) return;
    await navigator.wakeLock?.request("screen").catch(() => {}); // it may not
  }
}

/** The versions of all files of the page; null without an answer. */
async function version() {
  const files = [...document.querySelectorAll("link[href^='/'], script[src]")].map((element) => element.href || element.src);
  const tag = async (file) => (await fetch(file, { method: "HEAD", cache: "no-store" })).headers.get("ETag");
  return Promise.all(files.map(tag)).then(String, () => null);
}

/** The cinemas and their halls, each with its share. */

import { $, h, write } from "/web/dom.js";
import { percent, totals } from "/web/words.js";

const MARK_MS = 1500;

export class Halls {
  constructor() {
    this.entries = new Map(); // by the hall's id: its link, and the counts shown
    this.changedAt = new Map(); // by the hall's id: when its counts last changed
  }

  /** Show this list, with the hall of that id as the current one. */
  show(cinemas, current) {
    const names = JSON.stringify(cinemas.map(({ id, name, color, halls }) => [id, name, color, halls.map((hall) => [hall.id, hall.name])]));
    if (names !== this.names) this.#build(cinemas);
    this.names = names;
    for (const { halls } of cinemas) for (const hall of halls) this.#count(hall, hall.id === current);
  }

  #build(cinemas) {
    this.entries.clear();
    const lists = cinemas.map(({ name, color, halls }) => {
      const list = h("section", { class: "cinema" }, h("h2", {}, name), h("ul", {}, ...halls.map((hall) => h("li", {}, this.#entry(hall)))));
      list.style.setProperty("--cinema", color);
      if (!halls.length) list.append(h("p", { class: "hint" }, "No halls yet: add one by SQL."));
      return list;
    });
    if (!lists.length) lists.push(noHalls());
    $("halls").replaceChildren(...lists);
  }

  #entry({ id, name }) {
    const share = h("b");
    const bar = h("i", { "aria-hidden": "true" });
    const link = h("a", { href: `#/hall/${id}`, onclick: () => $("halls").matches(":popover-open") && $("halls").hidePopover() },
      h("span", {}, name), share, bar);
    this.entries.set(id, { link, share, bar, counts: "" });
    return link;
  }

  #count({ id, seats_count: counts }, isCurrent) {
    const entry = this.entries.get(id);
    const { share } = totals(counts);
    const text = JSON.stringify(counts);
    write(entry.share, share === 1 ? "full" : percent(share));
    entry.bar.style.setProperty("--share", share);
    if (isCurrent) entry.link.setAttribute("aria-current", "page");
    else entry.link.removeAttribute("aria-current");
    if (entry.counts && entry.counts !== text) this.#mark(id, entry);
    entry.counts = text;
  }

  #mark(id, { link }) {
    this.changedAt.set(id, Date.now());
    link.classList.add("changed");
    clearTimeout(link.timer);
    link.timer = setTimeout(() => link.classList.remove("changed"), MARK_MS);
  }
}

/** What to do where there is nothing to see. */
export function noHalls() {
  return h("p", { class: "hint" }, "No halls yet: ", h("code", {}, "seatsync seed demo"), ", or SQL.");
}

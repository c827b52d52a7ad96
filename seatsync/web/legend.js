/** The legend, which counts: seats by status, and by type. */

import { $, h, write } from "/web/dom.js";
import { glyph } from "/web/paint.js";
import { STATUS, STATUSES, sumOf, totals } from "/web/words.js";

/** Show the counts of a hall's seat types; `marks` numbers the types as the plan marks them. */
export function showLegend(types, { theme, marks }) {
  const sums = sumOf(types);
  fill($("statuses"), STATUSES.map((status) => ({ key: status, word: STATUS[status].word, number: sums[status] })));
  fill($("types"), types.map(({ id, name, seats }) => {
    const { free, seats: all } = totals(seats);
    return { key: id, word: name, number: `${free.toLocaleString("en")} of ${all.toLocaleString("en")} free` };
  }));
  const drawn = JSON.stringify([theme, [...marks]]);
  if ($("legend").dataset.drawn !== drawn) {
    $("statuses").querySelectorAll("canvas").forEach((canvas, i) => glyph(canvas, theme, STATUSES[i]));
    $("types").querySelectorAll("canvas").forEach((canvas, i) => glyph(canvas, theme, "VACANT", marks.size > 1 ? i : 0));
    $("legend").dataset.drawn = drawn;
  }
  return sums;
}

/** Rows are kept and only their numbers written: nothing moves when a seat changes. */
function fill(list, rows) {
  const keys = rows.map(({ key }) => key).join();
  if (list.dataset.keys !== keys) {
    list.dataset.keys = keys;
    $("legend").dataset.drawn = "";
    list.replaceChildren(...rows.map(({ key, word }) =>
      h("li", { "data-key": key }, h("canvas", { "aria-hidden": "true" }), h("span", {}, word), h("b"))));
  }
  rows.forEach(({ number, word }, i) => {
    const [, name, figure] = list.children[i].children;
    write(name, word);
    write(figure, number.toLocaleString("en"));
  });
}

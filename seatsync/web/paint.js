/** Seats on a canvas: shape carries the status, colour repeats it, dashes under a seat its type. */

import { placeLabel, STATUS, STATUSES } from "/web/words.js";
import { Layout } from "/web/layout.js";

const MOST_IN_A_PATH = 400; // longer paths take disproportionately long to fill
const LABEL_PX = 9; // smaller text cannot be read
const ROUND_PX = 9; // corners of smaller seats are not rounded
const DASH = 5; // from a seat's lower edge to the dashes of its type, in units of the plan

/** The colours of the page's theme, which CSS holds. */
export function colours(element) {
  const read = (name) => {
    element.style.color = `var(${name})`;
    return getComputedStyle(element).color;
  };
  const names = ["--free", "--reserved", "--occupied", "--repair", "--ground", "--ink", "--muted", "--on-fill", "--focus"];
  const found = Object.fromEntries(names.map((name) => [name, read(name)]));
  element.style.color = "";
  return found;
}

/** Draw these seats of a layout, under a transform that is set, with `scale` pixels for a unit of the plan. */
export function paintSeats(context, layout, numbers, { scale, theme, marks, labels }) {
  const size = layout.smallest * scale;
  const line = Math.min(2, Math.max(0.6, size * 0.08)) / scale;
  context.lineJoin = "round";
  context.lineCap = "butt";
  for (const status of STATUSES) {
    const colour = theme[STATUS[status].color];
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = line;
    const pen = { context, corners: layout.corners, round: size < ROUND_PX ? 0 : layout.smallest * 0.16 };
    const mine = numbers.filter((i) => layout.seats[i].status === status);
    for (let start = 0; start < mine.length; start += MOST_IN_A_PATH) {
      SHAPES[status](pen, mine.slice(start, start + MOST_IN_A_PATH));
    }
  }
  if (marks.size > 1 && scale > 0.35) paintTypes(context, layout, numbers, theme, marks);
  paintHolds(context, layout, numbers, theme, line);
  if (labels && size * 0.45 >= LABEL_PX) paintLabels(context, layout, numbers, theme, scale);
}

// Outlines, as points halfway between two corners each, clockwise from the upper left.
const WHOLE = [[0, 0], [1, 1], [2, 2], [3, 3]];
const LEFT_HALF = [[0, 0], [0, 1], [3, 2], [3, 3]];
const CROSS = [[[0, 0], [2, 2]], [[1, 1], [3, 3]]];

const SHAPES = {
  VACANT(pen, seats) {
    trace(pen, seats, WHOLE);
    pen.context.stroke();
  },
  RESERVED(pen, seats) {
    trace(pen, seats, LEFT_HALF);
    pen.context.fill();
    trace(pen, seats, WHOLE);
    pen.context.stroke();
  },
  OCCUPIED(pen, seats) {
    trace(pen, seats, WHOLE);
    pen.context.fill();
    pen.context.stroke();
  },
  MAINTENANCE(pen, seats) {
    for (const line of [WHOLE, ...CROSS]) {
      trace(pen, seats, line);
      pen.context.stroke();
    }
  },
};

/** The outline of each of these seats, as one path; its four corners are rounded where they are to be. */
function trace({ context, corners, round }, seats, points) {
  const [xs, ys] = [new Array(points.length), new Array(points.length)];
  context.beginPath();
  for (const i of seats) {
    points.forEach(([a, b], n) => {
      xs[n] = (corners[8 * i + 2 * a] + corners[8 * i + 2 * b]) / 2;
      ys[n] = (corners[8 * i + 2 * a + 1] + corners[8 * i + 2 * b + 1]) / 2;
    });
    const last = points.length - 1;
    if (!round || last < 3) {
      context.moveTo(xs[0], ys[0]);
      for (let n = 1; n <= last; n += 1) context.lineTo(xs[n], ys[n]);
    } else {
      context.moveTo((xs[last] + xs[0]) / 2, (ys[last] + ys[0]) / 2);
      for (let n = 0; n <= last; n += 1) context.arcTo(xs[n], ys[n], xs[(n + 1) % 4], ys[(n + 1) % 4], round);
    }
    context.closePath();
  }
}

/** Dashes under the seat, as many as the type's number in the hall; the first type has none. */
function paintTypes(context, layout, numbers, theme, marks) {
  context.strokeStyle = theme["--muted"];
  context.lineWidth = 2.5;
  context.beginPath();
  for (const i of numbers) {
    const dashes = marks.get(layout.seats[i].seat_type.id) ?? 0;
    const { width, height } = layout.seats[i];
    const [rightX, rightY, leftX, leftY] = layout.corners.subarray(8 * i + 4, 8 * i + 8);
    const [ux, uy] = [(rightX - leftX) / width, (rightY - leftY) / width];
    const length = Math.min(width / dashes - 3, height);
    const start = (width - dashes * length - (dashes - 1) * 3) / 2;
    for (let dash = 0; dash < dashes; dash += 1) {
      const from = start + dash * (length + 3);
      const [x, y] = [leftX + ux * from - uy * DASH, leftY + uy * from + ux * DASH];
      context.moveTo(x, y);
      context.lineTo(x + ux * length, y + uy * length);
    }
  }
  context.stroke();
}

/** A small clock in the empty half of a seat that is held: its arc is the time left. */
function paintHolds(context, layout, numbers, theme, line) {
  const radius = layout.smallest * 0.13;
  context.strokeStyle = theme["--ink"];
  context.lineWidth = 1.5 * line;
  for (const i of numbers) {
    const left = holdLeft(layout.seats[i], layout.time ?? Date.now());
    if (left === null) continue;
    const [x, y, cornerX, cornerY] = [...layout.centres.subarray(2 * i, 2 * i + 2), ...layout.corners.subarray(8 * i + 2, 8 * i + 4)];
    context.beginPath();
    context.arc(x + 0.52 * (cornerX - x), y + 0.52 * (cornerY - y), radius, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * left);
    context.stroke();
  }
}

/** The share of a hold that is left, or null. */
function holdLeft(seat, now) {
  if (!seat.hold_until) return null;
  const [start, end] = [Date.parse(seat.updated_at), Date.parse(seat.hold_until)];
  return Math.min(1, Math.max(0, (end - now) / Math.max(1, end - start)));
}

/** Labels stand upright whatever the seat's rotation, with an edge where there is a mark under them. */
function paintLabels(context, layout, numbers, theme, scale) {
  context.font = `${Math.min(14, layout.smallest * scale * 0.45) / scale}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.strokeStyle = theme["--ground"];
  context.lineWidth = 3 / scale;
  for (const i of numbers) {
    const { status } = layout.seats[i];
    const label = [placeLabel(layout.seats[i]), layout.centres[2 * i], layout.centres[2 * i + 1]];
    if (status === "RESERVED" || status === "MAINTENANCE") context.strokeText(...label);
    context.fillStyle = theme[status === "OCCUPIED" ? "--on-fill" : "--ink"];
    context.fillText(...label);
  }
}

/** The labels of the rows at both ends, where they can be read, and the screen. */
export function paintSurroundings(context, layout, { scale, theme }) {
  const size = layout.smallest * scale;
  const px = Math.min(14, Math.max(LABEL_PX, size * 0.5));
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = theme["--muted"];
  if (size > LABEL_PX) {
    context.font = `${px / scale}px system-ui, sans-serif`;
    for (const { label, ends } of layout.rows) for (const { x, y } of ends) context.fillText(label, x, y);
  }
  const { left, right } = layout.bounds;
  const y = layout.bounds.top - layout.smallest;
  context.font = `${11 / scale}px system-ui, sans-serif`;
  context.fillText("S C R E E N", (left + right) / 2, y - 9 / scale);
  context.strokeStyle = theme["--muted"];
  context.lineWidth = 2 / scale;
  context.beginPath();
  context.moveTo(left + (right - left) * 0.1, y);
  context.lineTo(right - (right - left) * 0.1, y);
  context.stroke();
}

/** One seat of that status, or of that many dashes, drawn as on the plan: for the legend. */
export function glyph(canvas, theme, status, dashes = 0) {
  const [size, ratio] = [canvas.clientWidth || 18, devicePixelRatio];
  const scale = size / 45;
  canvas.width = canvas.height = size * ratio;
  const context = canvas.getContext("2d");
  context.setTransform(scale * ratio, 0, 0, scale * ratio, 5 * scale * ratio, 2.5 * scale * ratio);
  const layout = new Layout([{ id: 1, row: 1, place: "", x: 0, y: 0, width: 34, height: 34, status, seat_type: { id: 1 } }]);
  paintSeats(context, layout, [0], { scale, theme, marks: new Map([[1, dashes], [0, 0]]) });
}

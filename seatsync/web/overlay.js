/** What comes and goes over the seats: the selection, the focus, pulses of changes, and the rectangle being drawn. */

const PULSE_MS = 300;
const STILL_MS = 2000; // of the mark instead, where motion is reduced
const RINGS = 200; // more changed seats pulse as one

const reduced = matchMedia("(prefers-reduced-motion: reduce)");

/** How long a change is marked. */
export const pulseLength = () => (reduced.matches ? STILL_MS : PULSE_MS);

export function paintOver(context, layout, { scale, theme, selected, lit, pulses }) {
  context.lineJoin = "round";
  const ring = (seat, away, colour) => paintRing(context, layout, layout.number.get(seat.id), { away, width: 2.5, scale, colour });
  for (const seat of selected) ring(seat, 2, theme["--ink"]);
  if (lit) ring(lit, 7, theme["--focus"]);
  for (const { numbers, start } of pulses) {
    const grown = reduced.matches ? 0.5 : Math.min(1, (performance.now() - start) / PULSE_MS);
    const away = numbers.length === 1 ? 3 + 9 * grown : 2 + grown; // rings of neighbours do not cross
    const style = { away, width: reduced.matches ? 2.5 : 4 - 2.5 * grown, scale, colour: theme["--focus"] };
    if (numbers.length > RINGS) paintFrame(context, layout, numbers, style);
    else for (const i of numbers) paintRing(context, layout, i, style);
  }
}

/** The outline of a seat, `away` pixels outside of it. */
function paintRing(context, { corners }, i, { away, width, scale, colour }) {
  if (i === undefined) return;
  const [ax, ay, bx, by, , , dx, dy] = corners.subarray(8 * i, 8 * i + 8);
  const [across, along] = [Math.hypot(bx - ax, by - ay), Math.hypot(dx - ax, dy - ay)].map((length) => away / scale / length);
  context.strokeStyle = colour;
  context.lineWidth = width / scale;
  context.beginPath();
  [[-1, -1], [1, -1], [1, 1], [-1, 1]].forEach(([h, v], corner) => {
    const [x, y] = corners.subarray(8 * i + 2 * corner, 8 * i + 2 * corner + 2);
    context.lineTo(x + h * across * (bx - ax) + v * along * (dx - ax), y + h * across * (by - ay) + v * along * (dy - ay));
  });
  context.closePath();
  context.stroke();
}

/** One frame around all of these seats. */
function paintFrame(context, { centres, reach }, numbers, { away, width, scale, colour }) {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (const i of numbers) {
    const [x, y] = centres.subarray(2 * i, 2 * i + 2);
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x);
    box.top = Math.min(box.top, y);
    box.bottom = Math.max(box.bottom, y);
  }
  const rim = reach + away / scale;
  context.strokeStyle = colour;
  context.lineWidth = width / scale;
  context.strokeRect(box.left - rim, box.top - rim, box.right - box.left + 2 * rim, box.bottom - box.top + 2 * rim);
}

export function paintBand(context, a, b, { scale, theme }) {
  context.strokeStyle = theme["--focus"];
  context.lineWidth = 1.5 / scale;
  context.setLineDash([6 / scale, 4 / scale]);
  context.strokeRect(a.x, a.y, b.x - a.x, b.y - a.y);
  context.setLineDash([]);
}

/** Mouse, pen, touch and wheel on the plan, turned into what a person means. */

const HOLD_MS = 400; // a finger that rests this long begins a rectangle

/**
 * Call `hands` for what is done on the element, with points in its pixels: `tap(point, event)`, `pan(dx, dy)`,
 * `zoom(factor, point)`, `band(from, to)` while a rectangle is drawn, `rectangle(from, to, event)` at its end,
 * `cancel()`. `hands.mayBand()` says whether a mouse draws rectangles or pans.
 */
export function followPointers(element, hands) {
  const down = new Map();
  let mode = null; // press, pan, band or pinch
  let start = null;
  let timer = 0;

  const point = (event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const set = (next) => {
    clearTimeout(timer);
    if (mode === "band" && next !== "band") hands.cancel();
    mode = next;
  };

  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    down.set(event.pointerId, point(event));
    if (down.size === 2) return set("pinch");
    if (down.size > 2) return undefined;
    start = point(event);
    set("press");
    if (event.pointerType === "touch" && hands.mayBand()) {
      timer = setTimeout(() => {
        set("band");
        hands.band(start, start);
      }, HOLD_MS);
    }
    return undefined;
  });

  element.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const now = point(event);
    if (mode === "pinch") pinch(event.pointerId, now);
    const touch = event.pointerType === "touch";
    if (mode === "press" && Math.hypot(now.x - start.x, now.y - start.y) > (touch ? 10 : 4)) {
      set(!touch && event.buttons === 1 && hands.mayBand() ? "band" : "pan");
    }
    if (mode === "pan") hands.pan(now.x - before.x, now.y - before.y);
    if (mode === "band") hands.band(start, now);
    down.set(event.pointerId, now);
  });

  function pinch(id, now) {
    const [first, second] = [...down.values()];
    const after = [...down].map(([key, value]) => (key === id ? now : value));
    const apart = (a, b) => Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
    const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
    const [old, next] = [middle(first, second), middle(after[0], after[1])];
    hands.pan(next.x - old.x, next.y - old.y);
    hands.zoom(apart(after[0], after[1]) / apart(first, second), next);
  }

  element.addEventListener("pointerup", (event) => {
    if (!down.delete(event.pointerId)) return;
    if (mode === "press" && event.button === 0) hands.tap(point(event), event);
    if (mode === "band") hands.rectangle(start, point(event), event);
    set(down.size ? "pan" : null);
  });
  element.addEventListener("pointercancel", (event) => {
    down.delete(event.pointerId);
    set(down.size ? "pan" : null);
  });
  element.addEventListener("contextmenu", (event) => event.preventDefault());

  element.addEventListener("wheel", (event) => {
    event.preventDefault(); // the page stays where it is
    // A mouse's wheel goes in large steps up and down; two fingers on a touchpad go anywhere.
    const touchpad = !event.ctrlKey && event.deltaMode === 0 && (event.deltaX !== 0 || Math.abs(event.deltaY) < 40);
    if (touchpad) return hands.pan(-event.deltaX, -event.deltaY);
    const steps = event.deltaY / (event.deltaMode ? 3 : 100);
    return hands.zoom(Math.exp(-steps * (event.ctrlKey ? 1 : 0.2)), point(event));
  }, { passive: false });
}

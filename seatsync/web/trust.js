/** The one place that says whether the picture can be trusted. */

import { clock } from "/web/words.js";

const PATIENCE_MS = 2000; // a phone that wakes does not cry

const opened = Date.now();

/**
 * What to say of the link's state and of the picture, which is a store's value: `{level, text, old}`. `old` is the time
 * from which on the picture may be wrong, or null while it is right.
 */
export function trust({ link, since, retryAt, reason, stale }, picture, wasSignedOut, now = Date.now()) {
  const lost = since ?? opened;
  const of = picture.at ? `, picture of ${clock(lost)}` : "";
  if (link === "closed") return { level: "down", text: `▲ disconnected${reason ? ` (${reason})` : ""}${of}: reload the page`, old: lost };
  if (link !== "live") {
    if (now - lost < PATIENCE_MS) return { level: picture.at ? "live" : "wait", text: picture.at ? "● live" : "", old: null };
    const wait = retryAt && retryAt > now ? ` in ${Math.ceil((retryAt - now) / 1000)} s` : "";
    const offline = navigator.onLine === false ? "this device is offline" : picture.at ? `reconnecting${wait}` : `connecting${wait}`;
    return { level: "wait", text: `◌ ${offline}${of}`, old: picture.at ? lost : null };
  }
  const from = picture.staleSince ?? now;
  if (stale) return { level: "old", text: `▲ database feed down, picture may be old since ${clock(from)}`, old: from };
  if (picture.stale) return { level: "wait", text: `◌ catching up, picture of ${clock(from)}`, old: from };
  return wasSignedOut ? { level: "out", text: "● live, signed out", old: null } : { level: "live", text: "● live", old: null };
}

// Runs what tests/support/javascript.py sends: a line of JSON for each piece of code, and one for its result.
// What the pieces share is in `shared`; each may wait for a condition with `until`.

import { createInterface } from "node:readline";
import { SeatsError, SeatsSync } from "../../seatsync/web/client.js";
import { Browser } from "./browser.mjs";

const AsyncFunction = async function () {}.constructor;
const shared = { SeatsSync, SeatsError, Browser, until, log: [] };

async function until(isReached) {
  while (!isReached()) await new Promise((resolve) => setTimeout(resolve, 5));
}

for await (const line of createInterface({ input: process.stdin })) {
  const { number, code, names } = JSON.parse(line);
  const scope = { shared, ...shared, ...names };
  new AsyncFunction(...Object.keys(scope), code)(...Object.values(scope)).then(
    (value) => console.log(JSON.stringify({ number, value })),
    (error) => console.log(JSON.stringify({ number, error: `${error.code}: ${error.stack}` })),
  );
}

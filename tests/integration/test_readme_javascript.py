"""The JavaScript client of the protocol's page, run as printed by Node.js against a real server with the demo cinemas.

Node lacks what a browser does with cookies and `Origin`; a few lines before the page's add that. A few lines after them
use the client, and report to the test on standard output, in JSON.
"""

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pyotp
import pytest
import trio
from attrs import define

from seatsync import seed
from tests.support.places import scratch_directory
from tests.support.readme import PROTOCOL, read_page
from tests.support.server import RunningServer

PATIENCE_S = 30.0

NEWEST_WITHOUT_WEBSOCKET = 19

BROWSER = """
const jar = new Map();
const plain = { fetch, WebSocket };
const fields = () => ({ origin: "http://localhost:8080", cookie: [...jar].map((pair) => pair.join("=")).join("; ") });
globalThis.fetch = async (url, options = {}) => {
  const response = await plain.fetch(url, { ...options, headers: { ...options.headers, ...fields() } });
  for (const line of response.headers.getSetCookie()) jar.set(...line.split(";")[0].split(/=(.*)/).slice(0, 2));
  return response;
};
globalThis.WebSocket = class extends plain.WebSocket {
  constructor(url) { super(url, { headers: fields() }); }
};
globalThis.crypto ??= require("node:crypto").webcrypto;
const report = (what) => console.log(JSON.stringify(what));
const line = () => new Promise((resolve) => process.stdin.once("data", (data) => resolve(String(data).trim())));
const until = async (condition) => { while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10)); };
(async () => {
await fetch("http://localhost:3000/api/user/login", { method: "POST" }); // Node shows no cookies of handshakes
"""

VISIT = """
await until(() => hall.seats.size === 24);
const guest = ws;
const user = await signIn("eve", (image, url) => report({ image, url }), line);
await until(() => ws !== guest && ws.readyState === WebSocket.OPEN);
report({ user: user.username, status: await call("user.status") });
const done = await setSeat(612, "RESERVED", "VACANT");
await until(() => hall.rev >= done.rev);
report({ rev: done.rev, seat: hall.seats.get(612) });
report(await setSeat(612, "OCCUPIED", "VACANT").catch((error) => error.code));
const lost = ws;
ws.close(); // what is sent from now on has to wait for the next connection
const late = await setSeat(612, "VACANT");
await until(() => hall.rev >= late.rev);
report({ reconnected: ws !== lost, rev: late.rev, status: hall.seats.get(612).status, stale: hall.stale });
await call("user.logout");
report(await call("user.status"));
process.exit();
})();
"""


def node_is_missing() -> bool:
    """Whether Node.js with WebSockets is missing."""
    if (node := shutil.which("node")) is None:
        return True
    version = subprocess.run([node, "--version"], capture_output=True, check=True, text=True).stdout
    return int(version.removeprefix("v").partition(".")[0]) <= NEWEST_WITHOUT_WEBSOCKET


@define
class Page:
    """The running page: its reports, and the input typed into it."""

    process: trio.Process
    _received: bytes = b""

    async def report(self) -> Any:
        """The next report; fails the test when the script has ended."""
        assert self.process.stdout is not None
        while b"\n" not in self._received:
            more = await self.process.stdout.receive_some()
            assert more, "the script has ended"
            self._received += more
        text, _, self._received = self._received.partition(b"\n")
        return json.loads(text)

    async def type(self, text: str) -> None:
        """Send the script a line of input."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(text.encode() + b"\n")


@asynccontextmanager
async def run_page(port: int) -> AsyncIterator[Page]:
    """Run the page's client against a server until the block ends."""
    script = "\n".join([BROWSER, *read_page(PROTOCOL).code("js"), VISIT])
    with scratch_directory() as directory:
        path = directory / "page.cjs"
        path.write_text(script.replace("http://localhost:3000", f"http://localhost:{port}"))
        process = await trio.lowlevel.open_process(
            ["node", "--no-warnings", "--experimental-websocket", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            with trio.fail_after(PATIENCE_S):
                yield Page(process)
                assert await process.wait() == 0
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                await stream.aclose()


@pytest.mark.skipif(node_is_missing(), reason="Node.js 20 or newer is not installed here")
async def test_the_client_watches_signs_in_and_writes(server: RunningServer) -> None:
    """The client watches, registers, reconnects with its cookie, writes, and handles a conflict and a loss."""
    await seed.demo(server.db)
    await server.sql("update seat set status = 'VACANT' where id = 612")
    async with run_page(server.port) as page:
        enrolment = await page.report()
        assert enrolment["image"].startswith("data:image/svg+xml")
        await page.type(pyotp.TOTP(enrolment["url"].rpartition("secret=")[2]).now())
        assert await page.report() == {
            "user": "eve",
            "status": {"status": "user", "username": "eve", "role": "admin"},
        }
        written = await page.report()
        assert written["seat"]["status"] == "RESERVED"
        assert {"row", "seat_type", "updated_at"} <= written["seat"].keys()
        assert await page.report() == "SeatConflict"
        assert await page.report() == {
            "reconnected": True,
            "rev": written["rev"] + 1,
            "status": "VACANT",
            "stale": False,
        }
        assert await page.report() == {"status": "guest"}

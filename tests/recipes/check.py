"""The recipes for Artillery and Locust, run as testers run them, against a server that is started for them.

They bring hundreds of packages from npm and PyPI, so they are no part of ``make test``: ``make recipes`` runs them.
"""

import os
import sys
from pathlib import Path

import trio

from seatsync import seed
from tests.support.readme import ROOT
from tests.support.server import RunningServer, running_server

RECIPES = ROOT / "seatsync/load/recipes"
TOOLS = Path(sys.prefix) / "recipes"
"""Where `make recipes` installs them."""
PATIENCE_S = 120.0


async def run(server: RunningServer, *command: str | Path) -> str:
    """The output of a tool that finds no fault; it has changed seats, and left none of them sold."""
    environ = {**os.environ, "PATH": f"{TOOLS / 'bin'}:{os.environ['PATH']}", "ARTILLERY_DISABLE_TELEMETRY": "true"}
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [*map(str, command)], check=False, capture_stdout=True, capture_stderr=True, env=environ
        )
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, output
    assert await server.value("select count(*) from app_user") >= 5, output
    assert await server.value("select count(*) from seat_event where kind = 'status'") >= 20, output
    return output


async def test_locust(database_url: str) -> None:
    """Users sign in, and see every change that they make."""
    async with running_server(database_url) as server:
        await seed.demo(server.db)
        how = (
            "--headless",
            "-u",
            "5",
            "-r",
            "5",
            "-t",
            "8s",
            "-H",
            f"http://localhost:{server.port}",
            "--only-summary",
        )
        output = await run(server, TOOLS / "bin/locust", "-f", RECIPES / "locustfile.py", *how)
        assert "update" in output


async def test_artillery(database_url: str) -> None:
    """Users sign in, and see every change that they make."""
    async with running_server(database_url) as server:
        await seed.demo(server.db)
        artillery = TOOLS / "node_modules/.bin/artillery"
        target = ("--target", f"http://localhost:{server.port}")
        output = await run(server, artillery, "run", *target, RECIPES / "artillery.yml")
        assert "seatsync.update" in output
        assert await server.value("select count(*) from seat where hall_id = 3 and status <> 'VACANT'") == 0, output


def test_recipes_are_short() -> None:
    """So that a tester reads them before the first run, and changes them."""
    for names in (("locustfile.py",), ("artillery.yml", "artillery.js")):
        assert sum(len((RECIPES / name).read_text().splitlines()) for name in names) <= 60

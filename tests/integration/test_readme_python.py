"""The Python client's examples, run as printed against a real server with the demo cinemas, and its tables."""

import os
import subprocess
import sys
from functools import partial

import attrs
import pytest
import trio

from seatsync import client, seed
from tests.support.client import PATIENCE_S
from tests.support.readme import CLIENT, FRONT, names, read_page
from tests.support.server import RunningServer


def script(page: str, heading: str, server: RunningServer) -> str:
    """The program under a heading, for this server."""
    (text,) = read_page(page).code("python", heading)
    return text.replace("http://localhost:3000", f"http://localhost:{server.port}")


@pytest.mark.parametrize(("page", "heading"), [(FRONT, "Clients"), (CLIENT, "Watching")])
async def test_the_client_prints_what_changes(server: RunningServer, page: str, heading: str) -> None:
    """The hall, then each change."""
    await seed.demo(server.db)
    async with trio.open_nursery() as nursery:
        command = [sys.executable, "-u", "-c", script(page, heading, server)]
        process = await nursery.start(partial(trio.run_process, command, stdout=subprocess.PIPE, check=False))
        received = b""

        async def line() -> str:
            nonlocal received
            with trio.fail_after(PATIENCE_S):
                while b"\n" not in received:
                    received += await process.stdout.receive_some()
            text, _, received = received.partition(b"\n")
            return text.decode()

        assert (await line()).count("(") == 24
        await server.sql("update seat set status = 'MAINTENANCE' where id = 612")
        assert (await line()).endswith(" [(612, 'MAINTENANCE')]")
        nursery.cancel_scope.cancel()


async def test_the_client_writes_or_says_why_not(server: RunningServer) -> None:
    """The first sale is made; the second finds the seat taken."""
    await seed.demo(server.db)
    await server.sql("update seat set status = 'VACANT' where id = 612")
    command = [sys.executable, "-c", script(CLIENT, "Calling and writing", server)]
    environ = os.environ | {"TOKEN": await server.token("eve")}
    for printed in ("sold at revision ", "Seat 612 is OCCUPIED"):
        with trio.fail_after(PATIENCE_S):
            process = await trio.run_process(command, env=environ, capture_stdout=True)
        assert process.stdout.decode().startswith(printed)


async def test_the_client_looks_back(server: RunningServer) -> None:
    """The hall at a revision, then what was changed since, and by whom."""
    await seed.demo(server.db)
    token = await server.token("eve")
    async with client.connect(f"http://localhost:{server.port}", token) as seats:
        await seats.update_seats(3, [{"seat_id": 612, "status": "MAINTENANCE"}])
    command = [sys.executable, "-c", script(CLIENT, "Looking back", server)]
    with trio.fail_after(PATIENCE_S):
        process = await trio.run_process(command, env=os.environ | {"TOKEN": token}, capture_stdout=True)
    assert process.stdout.decode().splitlines() == ["Salon", "2 []", "3 [(612, 'MAINTENANCE', 'eve')]"]


def test_the_tables_are_those_of_the_code() -> None:
    """Every field of a change, and every error with its docstring."""
    page = read_page(CLIENT)
    assert [names(name)[0] for name, _ in page.rows("Watching")] == [one.name for one in attrs.fields(client.Change)]
    exported = [vars(client)[name] for name in client.__all__]
    errors = {(one.__name__, one.__doc__) for one in exported if isinstance(one, type) and issubclass(one, Exception)}
    assert {(names(name)[0], meaning) for name, meaning in page.rows("What is raised")} == errors

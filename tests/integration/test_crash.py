"""A server process that is killed, and one that is stopped: answered writes are kept, and the next start works."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from attrs import define, field
from trio_websocket import ConnectionClosed

from tests.support.client import Client, http, parse
from tests.support.halls import Hall, make_hall
from tests.support.places import copy_cluster, scratch_directory
from tests.support.process import children, server_process
from tests.support.server import RunningServer, running_server
from tests.support.views import open_view
from tests.support.waiting import eventually

BULK = 20
"""Seats of one bulk write."""

AT_ONCE = 32
"""Writes in flight."""


@define
class Witness:
    """A client's writes, of one seat or `BULK` seats each, and their answers; no seat is written twice."""

    hall: Hall
    answered: set[int] = field(factory=set)
    """Seats whose write was answered."""

    async def has_answers(self) -> bool:
        """Some hundred seats are written, and many more are not."""
        return len(self.answered) > 300

    async def write(self, client: Client, seats: list[int], together: int) -> None:
        """Write these seats in requests of that size, many at a time, until the server is gone."""
        groups = [seats[start : start + together] for start in range(0, len(seats), together)]
        with suppress(ConnectionClosed):
            for number, group in enumerate(groups):
                changes = [{"seat_id": seat, "status": "OCCUPIED"} for seat in group]
                await client.send("hall.update_seats", {"hall_id": self.hall.id, "seats": changes}, number)
                if number >= AT_ONCE:
                    await self._read(client, groups)
            while True:
                await self._read(client, groups)

    async def _read(self, client: Client, groups: list[list[int]]) -> None:
        frame = parse(await client.ws.get_message())
        assert frame["error"] is None
        self.answered |= set(groups[int(frame["eid"])])


@pytest.fixture
async def elsewhere(database_url: str) -> AsyncIterator[RunningServer]:
    """A server in this process on the same database, for changes by the test."""
    async with running_server(database_url) as elsewhere:
        yield elsewhere


async def test_kill_in_the_middle_of_writes(database_url: str, elsewhere: RunningServer, tmp_path: Path) -> None:
    """After kill -9 every answered write is in the database, no bulk write is there by half, and a new start serves."""
    hall = await make_hall(elsewhere, rows=40, places=100)
    witness = Witness(hall)
    tokens = [await elsewhere.token(name) for name in ("anna", "bert")]
    async with elsewhere.client() as watcher:
        view = await open_view(watcher, hall.id)
        async with (
            server_process(tmp_path, database_url) as server,
            server.client(tokens[0]) as one,
            server.client(tokens[1]) as many,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(witness.write, one, hall.seats[:2000], 1)
            nursery.start_soon(witness.write, many, hall.seats[2000:], BULK)
            await eventually(witness.has_answers)
            server.send_signal(signal.SIGKILL)
            await server.wait()
        rows = await elsewhere.rows("select id from seat where hall_id = $1 and status = 'OCCUPIED'", hall.id)
        written = {row["id"] for row in rows}
        assert witness.answered <= written
        assert len(written) < len(hall.seats)
        for start in range(2000, len(hall.seats), BULK):
            assert len(written & set(hall.seats[start : start + BULK])) in {0, BULK}
        await view.reach(await elsewhere.value("select rev from hall where id = $1", hall.id))
        await view.is_true(elsewhere)
        async with server_process(tmp_path, database_url) as again, again.client(tokens[0]) as client:
            view = await open_view(client, hall.id)
            await view.is_true(elsewhere)
            data = {"hall_id": hall.id, "seat_id": next(iter(written)), "status": "VACANT"}
            await client.data("hall.update_seat_status", data)
            await view.reach(view.rev + 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signal_ends_it_cleanly(database_url: str, tmp_path: Path, number: signal.Signals) -> None:
    """A server of one process closes every connection with 1001 and advice, and ends with status 0.

    At SIGTERM, at Ctrl-C, and when its terminal goes away.
    """
    async with server_process(tmp_path, database_url) as server:
        assert children(server.pid) == []
        async with server.client() as client:
            await client.call("cinemas.subscribe")
            server.send_signal(number)
            code, reason = await client.closed()
        advice = json.loads(reason or "")
        assert (code, advice["reason"]) == (1001, "drain")
        assert 0 <= advice["retry_ms"][0] < advice["retry_ms"][1]
        assert await server.wait() == 0


async def test_embedded_database_survives_a_kill(new_cluster: Path) -> None:
    """kill -9 of a server with its own PostgreSQL: the next start finds every answered write."""
    with scratch_directory() as directory:
        copy_cluster(new_cluster, directory / "data" / "postgres")
        async with server_process(directory, "") as server:
            async with server.client() as client:
                assert await client.data("cinemas.get_cinemas") == []
            begun = await http(server.port, "POST", "/api/user/auth_start", {"username": "anna"})
            assert begun.json()["data"]["status"] == "candidate"
            server.send_signal(signal.SIGKILL)
            await server.wait()
        async with server_process(directory, "") as server:
            async with server.client() as client:
                again = await client.call("user.auth_start", {"username": "anna"})
            assert again["error"] == "RegistrationInProgress"
            assert (await http(server.port, "GET", "/readyz")).status == 200
            server.send_signal(signal.SIGTERM)
            assert await server.wait() == 0

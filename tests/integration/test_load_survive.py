"""The load generator through a restart: clients reconnect as advised, resume, and send unanswered changes again."""

import pytest
import trio

from seatsync.load.stats import Kind
from tests.support.halls import make_hall
from tests.support.load import Loaded, load_here
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually


async def changes(server: RunningServer) -> int:
    """The number of changes in the history."""
    count: int = await server.value("select count(*) from seat_event where kind = 'status'")
    return count


async def watch_through_a_restart(database_url: str, *arguments: object) -> Loaded:
    """Watch, while the server stops in the middle and another starts on its port."""
    results: list[Loaded] = []
    ended = trio.Event()

    async def load(first: RunningServer) -> None:
        few = ("-n", 4, "-d", 2, "--rate", 40, "--url", f"ws://localhost:{first.ws_port}/ws")
        results.append(await load_here("watch", *few, *arguments, server=first))
        ended.set()

    async with trio.open_nursery() as nursery:
        async with running_server(database_url) as first:
            await make_hall(first, rows=4, places=10)
            nursery.start_soon(load, first)
            await eventually(lambda: _more_than(first, 20))
        async with running_server(database_url, WS_PORT=str(first.ws_port)) as second:
            before = await changes(second)
            await eventually(lambda: _more_than(second, before + 20))
            await ended.wait()
    return results[0]


async def _more_than(server: RunningServer, count: int) -> bool:
    return await changes(server) > count


async def test_a_restart_is_survived(database_url: str) -> None:
    """Every subscriber resumes without a snapshot, every change is answered, and no fault is found."""
    loaded = await watch_through_a_restart(database_url, "--survive", "--json", "-")
    assert (loaded.status, loaded.errors) == (0, "")
    result = loaded.json()
    assert result["counts"]["lost"] == 5
    assert result["counts"]["resumed"] == result["counts"]["snapshots"] == 4
    assert result["timings"]["away"]["samples"] == 5
    assert result["counts"]["answered"] == pytest.approx(80, abs=2)


async def test_without_survive_a_lost_connection_is_a_fault(database_url: str) -> None:
    """With the server's close reason; the test goes on, and finds nothing else."""
    loaded = await watch_through_a_restart(database_url)
    assert loaded.status == 1
    assert f"{Kind.CONNECTION}." in loaded.text
    assert "lost its connection: 1001 drain." in loaded.text

"""The connection that hears notifications, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import trio

from seatsync.core.postgres.notifications import Disconnected, Notifications, address_fault

NAME = "seatsync test"
KILL = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Notifications]:
    """An open connection that nobody runs yet."""
    connection = await Notifications.connect(database_url, application_name=NAME)
    yield connection
    connection.close()


async def test_values_and_notifications_share_a_connection(connection: Notifications, nursery: trio.Nursery) -> None:
    """A query has its answer while notifications come, and they come in order."""
    heard: list[str] = []
    nursery.start_soon(connection.run, heard.append)
    assert await connection.value("listen odds") == ""
    for number in range(5):
        assert await connection.value("select pg_notify('odds', $1), $1", str(number)) == ""
    assert await connection.value("select $1::text", "Zwölf €") == "Zwölf €"
    assert heard == ["0", "1", "2", "3", "4"]
    nursery.cancel_scope.cancel()


async def test_others_have_their_turn_between_two_notifications(
    connection: Notifications, nursery: trio.Nursery
) -> None:
    """A thousand that come at once do not hold up the server, nor the answer to a query."""
    heard: list[str] = []
    heard_by_turn: list[int] = []

    async def take_turns() -> None:
        while len(heard) < 1000:
            heard_by_turn.append(len(heard))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(connection.run, heard.append)
    await connection.value("listen odds")
    async with trio.open_nursery() as others:
        others.start_soon(take_turns)
        await connection.value("select pg_notify('odds', n::text) from generate_series(1, 1000) n")
    assert max(after - before for before, after in pairwise(heard_by_turn)) <= 2
    nursery.cancel_scope.cancel()


async def test_failed_query_says_why(connection: Notifications, nursery: trio.Nursery) -> None:
    """In PostgreSQL's words."""
    nursery.start_soon(connection.run, lambda _: None)
    with pytest.raises(Disconnected, match="no_such_table"):
        await connection.value("select * from no_such_table")
    nursery.cancel_scope.cancel()


async def test_ended_connection_is_noticed_by_who_runs_it(connection: Notifications, database_url: str) -> None:
    """At once, without being asked anything."""
    other = await Notifications.connect(database_url, application_name="other")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.run, lambda _: None)
            await other.value(KILL, NAME)
            with pytest.raises(Disconnected):
                await connection.run(lambda _: None)
            nursery.cancel_scope.cancel()
    other.close()


async def test_refused_connection_says_why() -> None:
    """Nobody listens there."""
    with pytest.raises(Disconnected, match="refused"):
        await Notifications.connect("postgresql://127.0.0.1:1/nothing", application_name=NAME)


def test_addresses() -> None:
    """What libpq does not know is named; a password never is."""
    assert address_fault("postgresql://seats:hidden@[::1]:5432/seats?sslmode=require") is None
    fault = address_fault("postgresql://seats:hidden@db/seats?role=owner")
    assert fault is not None
    assert "role" in fault
    assert "hidden" not in fault

"""The connection that receives notifications, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import trio

from seatsync.core.postgres.notifications import Disconnected, Notifications, address_fault

NAME = "seatsync test"
KILL = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Notifications]:
    """An open connection, not yet running."""
    connection = await Notifications.connect(database_url, application_name=NAME)
    yield connection
    connection.close()


async def test_values_and_notifications_share_a_connection(connection: Notifications, nursery: trio.Nursery) -> None:
    """A query is answered while notifications arrive, and they arrive in order."""
    received: list[str] = []
    nursery.start_soon(connection.run, received.append)
    assert await connection.value("listen odds") == ""
    for number in range(5):
        assert await connection.value("select pg_notify('odds', $1), $1", str(number)) == ""
    assert await connection.value("select $1::text", "Zwölf €") == "Zwölf €"
    assert received == ["0", "1", "2", "3", "4"]
    nursery.cancel_scope.cancel()


async def test_other_tasks_run_between_two_notifications(connection: Notifications, nursery: trio.Nursery) -> None:
    """A thousand notifications at once delay neither other tasks nor the answer to a query."""
    received: list[str] = []
    received_by_turn: list[int] = []

    async def take_turns() -> None:
        while len(received) < 1000:
            received_by_turn.append(len(received))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(connection.run, received.append)
    await connection.value("listen odds")
    async with trio.open_nursery() as others:
        others.start_soon(take_turns)
        await connection.value("select pg_notify('odds', n::text) from generate_series(1, 1000) n")
    assert max(after - before for before, after in pairwise(received_by_turn)) <= 2
    nursery.cancel_scope.cancel()


async def test_failed_query_raises(connection: Notifications, nursery: trio.Nursery) -> None:
    """A failed query raises with PostgreSQL's message."""
    nursery.start_soon(connection.run, lambda _: None)
    with pytest.raises(Disconnected, match="no_such_table"):
        await connection.value("select * from no_such_table")
    nursery.cancel_scope.cancel()


async def test_ended_connection_ends_its_run(connection: Notifications, database_url: str) -> None:
    """`run` ends at once when the connection is terminated, without a query."""
    other = await Notifications.connect(database_url, application_name="other")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.run, lambda _: None)
            await other.value(KILL, NAME)
            with pytest.raises(Disconnected):
                await connection.run(lambda _: None)
            nursery.cancel_scope.cancel()
    other.close()


async def test_refused_connection_raises() -> None:
    """A refused connection raises with libpq's message."""
    with pytest.raises(Disconnected, match="refused"):
        await Notifications.connect("postgresql://127.0.0.1:1/nothing", application_name=NAME)


def test_addresses() -> None:
    """The message names what libpq does not know, and never a password."""
    assert address_fault("postgresql://seats:hidden@[::1]:5432/seats?sslmode=require") is None
    fault = address_fault("postgresql://seats:hidden@db/seats?role=owner")
    assert fault is not None
    assert "role" in fault
    assert "hidden" not in fault

"""The server needs the rights of its database's owner and no more: managed PostgreSQL gives no superuser."""

import os
from collections.abc import Iterator

import pytest

from seatsync import seed
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.migrate import migrate
from seatsync.core.postgres.pool import Database
from tests.support.database import DatabaseServer, execute, fetchval
from tests.support.server import running_server


@pytest.fixture
def owned_database_url(database_server: DatabaseServer, empty_database_url: str) -> Iterator[str]:
    """The DSN of an empty database, as the role that owns it and is no superuser."""
    owner = f"seatsync_test_owner_{os.getpid()}"
    name = fetchval(empty_database_url, "select current_database()")
    execute(database_server.dsn, f"create role {owner}")
    try:
        execute(database_server.dsn, f"alter database {name} owner to {owner}")
        yield f"{empty_database_url}{'&' if '?' in empty_database_url else '?'}options=-c%20role%3D{owner}"
    finally:
        execute(database_server.dsn, f"alter database {name} owner to current_user")
        execute(empty_database_url, f"drop owned by {owner} cascade")
        execute(database_server.dsn, f"drop role {owner}")


async def test_the_owner_of_the_database_may_do_everything(owned_database_url: str) -> None:
    """Make the schema, fill it, change seats through the protocol and by SQL: no superuser is needed."""
    async with Database.open(owned_database_url, size=1) as db:
        assert await migrate(db)
        assert await seed.demo(db)
    async with running_server(owned_database_url) as server, server.client(await server.token("ada")) as client:
        hall = await client.data("hall.subscribe", {"id": 3}, "h")
        seat = hall["seats"][0]["id"]
        write = {"hall_id": 3, "seat_id": seat, "status": "MAINTENANCE"}
        assert (await client.data("hall.update_seat_status", write))["rev"] == hall["rev"] + 1
        await server.sql(f"update seat set status = 'VACANT' where id = {seat}")
        assert [(await client.update("h"))["rev"] for _ in range(2)] == [hall["rev"] + 1, hall["rev"] + 2]


async def test_rights_are_granted_by_functions_of_the_owner_alone(db: Database) -> None:
    """A function of another role that is named as one of the owner's is not called: it would run as the owner."""
    async with db.session() as session:
        await session.script(
            "begin; create function grant_server_9999(server regrole) returns void"
            " language plpgsql as $$ begin raise exception 'called'; end $$"
        )
        await session.script("alter function grant_server_9999 owner to pg_monitor; select grant_server('pg_monitor')")
        await session.script("alter function grant_server_9999 owner to current_user")
        with pytest.raises(DatabaseRejected, match="called"):
            await session.script("select grant_server('pg_monitor')")

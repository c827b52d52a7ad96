"""The epoch of clients on a PostgreSQL that does not let its timeline be read."""

import json
import os
from collections.abc import Iterator

import pytest
import trio
from structlog.testing import capture_logs

from seatsync.core.postgres.pool import Database
from seatsync.serve.process import check_timeline
from tests.support.sql import Session, World


@pytest.fixture
def owner(world: World) -> Iterator[Session]:
    """A session of the role that owns the function; it is no superuser, as on a managed service."""
    role = f"seatsync_test_owner_{os.getpid()}"
    world.do(f"create role {role}; grant select on all tables in schema public to {role}")
    world.do(f"grant create on schema public to {role}; alter function wire_epoch(text) owner to {role}")
    session = world.session()
    session.do(f"set role {role}")
    try:
        yield session
    finally:
        session.do("reset role")
        world.do(f"reassign owned by {role} to current_user; drop owned by {role}; drop role {role}")


@pytest.mark.parametrize("function", ["pg_current_wal_lsn()", "pg_walfile_name(pg_lsn)"])
@pytest.mark.usefixtures("database_url")
def test_epoch_without_the_timeline(world: World, hall: int, owner: Session, function: str) -> None:
    """Where PostgreSQL's functions are not granted, halls are served with an epoch of their own alone."""
    epoch = world.value("select epoch from hall")
    snapshot = "select data from hall_snapshot($1)"
    assert json.loads(owner.value(snapshot, hall))["epoch"] == f"{epoch}-00000001"
    world.do(f"revoke execute on function {function} from public")
    assert json.loads(owner.value(snapshot, hall))["epoch"] == epoch
    assert owner.value("select whole from hall_changes($1, 0, $2)", hall, epoch) is False
    assert owner.value("select whole from hall_changes($1, $2, $3)", hall, world.rev(hall), epoch) is True


@pytest.mark.usefixtures("database_url")
def test_epoch_is_the_same_for_every_role(world: World, owner: Session) -> None:
    """It is that of the function's owner: what a trigger announces and what a server reads agree."""
    mine = world.value("select wire_epoch('e')")
    world.do("revoke execute on function pg_current_wal_lsn() from public")
    assert mine == "e-00000001"
    assert world.value("select wire_epoch('e')") == owner.value("select wire_epoch('e')") == "e"


def test_missing_timeline_is_logged(database_url: str, world: World, owner: Session) -> None:
    """A server says at its start that epochs have no timeline, and what follows from that."""

    async def logged() -> list[str]:
        with capture_logs() as logs:
            async with Database.open(database_url, size=1) as db:
                await check_timeline(db)
        return [line["event"] for line in logs]

    assert trio.run(logged) == []
    world.do("revoke execute on function pg_current_wal_lsn() from public")
    assert trio.run(logged) == ["no_timeline"]

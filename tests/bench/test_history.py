"""The history of the measure `history`, and that every query of it answers as it should."""

from collections.abc import Iterator

import pytest

from tests.bench.databases import Size, SizedDatabase
from tests.bench.history import OPERATIONS, SEATS, fill, occupied

SIZE = Size(1, 1000)
EVENTS = 6000


@pytest.fixture
def database(database_url: str) -> Iterator[SizedDatabase]:
    """A small one, filled as the large ones are."""
    with SizedDatabase.open(database_url, SIZE) as database:
        fill(database, EVENTS)
        yield database


def test_the_present_is_the_end_of_the_history(database: SizedDatabase) -> None:
    """The seats are as their last events say, and as the hall is at its last revision; no checkpoint is due."""
    session = database.session
    assert session.values("select * from unannounced()") == []
    hall = session.value("select id from hall where name = 'Looked at'")
    for rev in (0, 1, 1234, EVENTS - 1, EVENTS):
        found = session.values("select status::text from hall_at_rev($1, $2)", hall, rev)
        assert (len(found), found.count("OCCUPIED")) == (SEATS, occupied(rev))
    assert session.value("select keep_checkpoints(10)") == 0


def test_every_operation_has_a_figure(database: SizedDatabase) -> None:
    """Each checks its answer, however often it is measured."""
    for operation in OPERATIONS:
        assert all(operation.figure(database, turn) > 0 for turn in (0, 1, 1)), operation.name

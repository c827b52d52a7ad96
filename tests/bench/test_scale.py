"""The databases of the measure `scale`, and that every statement of it answers as it should."""

from collections.abc import Iterator

import pytest

from tests.bench.databases import BIG, BIGGEST, ORDINARY, Size, SizedDatabase
from tests.bench.scale import OPERATIONS, SIZES, pages

SIZE = Size(halls=7, events=60_000)


@pytest.fixture
def database(database_url: str) -> Iterator[SizedDatabase]:
    """A small one, filled as the large ones are."""
    with SizedDatabase.open(database_url, SIZE) as database:
        database.fill()
        yield database


@pytest.mark.parametrize("size", SIZES.values())
def test_events_are_shared_without_a_rest(size: Size) -> None:
    """The databases have as many events, and each hall the same as others of its kind."""
    assert size.halls * size.ordinary_events + 2 * size.big_events == size.events


def test_another_hall_in_each_turn() -> None:
    """The turns of a round are spread over the halls."""
    for size in SIZES.values():
        assert len({size.pick(ORDINARY, turn).id for turn in range(100)}) == 100


def test_pages_are_counted_wherever_they_were() -> None:
    """A page in PostgreSQL's memory counts as one that had to be read."""
    assert pages([{"Plan": {"Shared Hit Blocks": 3, "Shared Read Blocks": 4}}]) == 7


def test_database_is_filled_as_its_size_says(database: SizedDatabase) -> None:
    """Halls, seats where they are looked for, revisions with their events, and a partition for each day."""
    session = database.session
    assert session.value("select count(*) from seat") == SIZE.seats
    events = SIZE.halls * SIZE.ordinary_events + 2 * SIZE.big_events
    assert session.value("select count(*) from seat_event") == events == session.value("select sum(rev) from hall")
    assert session.value("select count(*) from seat_event_default") == 0
    assert session.value("select count(distinct tableoid) from seat_event") in {30, 31}
    assert session.values("select * from unannounced()") == []
    for seats in (ORDINARY, BIG, BIGGEST):
        for turn in (0, 1, 99, 12_345):
            hall = database.size.pick(seats, turn, 10)
            of_hall = session.values("select id from seat where hall_id = $1 order by id", hall.id)
            assert len(of_hall) == seats
            assert set(hall.seats) <= set(of_hall)
            assert len(hall.seats) == 10


def test_every_operation_has_a_figure(database: SizedDatabase) -> None:
    """Each checks its answer, however often it is measured."""
    for operation in OPERATIONS:
        assert all(operation.figure(database, turn) > 0 for turn in (0, 1, 1)), operation.name

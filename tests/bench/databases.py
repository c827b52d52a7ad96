"""Databases of several sizes: halls, seats and a month of history, made by SQL with the triggers off."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import trio
from attrs import define, field, frozen
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from seatsync.core.embedded.server import EmbeddedPostgres
from seatsync.core.postgres.migrate import migrate
from seatsync.core.postgres.pool import Database
from tests.bench.account import family
from tests.bench.machine import Cores, move
from tests.bench.processes import BenchError
from tests.bench.site import Hall
from tests.support.places import VOLATILE
from tests.support.sql import Session

DAYS = 30

#: Seats of an ordinary hall, and of the two beside them.
ORDINARY, BIG, BIGGEST = 100, 10_000, 50_000

#: A prime, so that successive halls are far apart.
_STRIDE = 7919

_HALLS = """
set session_replication_role = replica;

insert into app_user (username, role, totp_secret) values ('bench', 'operator', 'ABCDEFGHIJKLMNOP');
insert into session (user_id) select id from app_user;
insert into seat_type (name) values ('Standard'), ('VIP');
insert into cinema (name) select 'Cinema ' || n from generate_series(1, 1 + {halls} / 10) n;

insert into hall (cinema_id, name, rows, places, rev)
select 1 + (n - 1) / 10, 'Hall ' || n, 10, 10, {ordinary} from generate_series(1, {halls}) n;

insert into hall (cinema_id, name, rows, places, rev)
values (1, 'Big', 100, 100, {big}), (1, 'Biggest', 200, 250, {big});

insert into seat (hall_id, seat_type_id, row, place, x, y)
select hall.id, case when row = 1 then 2 else 1 end, row, place, 40 * (place - 1), 40 * (row - 1)
from hall, generate_series(1, hall.rows) row, generate_series(1, hall.places) place
order by hall.id, row, place;

select recount_seats(array_agg(id)) from hall;
"""

# An event of each of the past days, which keep_history makes a partition for, and removed again.
_DAYS = """
insert into seat_event (hall_id, rev, kind, at)
select 1, 0, 'layout', now() - n * interval '1 day' from generate_series(0, {days}) n;

select keep_history({days} + 1);

delete from seat_event;
"""

_EVENTS = """
insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, at)
select
    hall.id, n, s.first + n % (hall.rows * hall.places), 'status', 'OCCUPIED', 'VACANT',
    now() - interval '{days} days' * (hall.rev - n) / hall.rev
from hall
join (select hall_id, min(id) as first from seat group by hall_id) s on s.hall_id = hall.id
cross join generate_series(1, hall.rev) n;

set session_replication_role = origin;
"""


@frozen
class Size:
    """What a database is filled with."""

    halls: int
    """Those of `ORDINARY` seats; after them come the two others."""
    events: int

    @property
    def seats(self) -> int:
        """All of them."""
        return self.halls * ORDINARY + BIG + BIGGEST

    @property
    def big_events(self) -> int:
        """How many of the events each of the two others has: as many at any number of halls."""
        return self.events // 50

    @property
    def ordinary_events(self) -> int:
        """How many of the events each ordinary hall has."""
        return (self.events - 2 * self.big_events) // self.halls

    def pick(self, seats: int, turn: int, count: int = 1) -> Hall:
        """A hall of so many seats, of which there may be many, and some that follow one another of its seats.

        It is another hall, or there are other seats, in each turn.
        """
        start = turn * count % (seats - count + 1)
        if seats == ORDINARY:
            number = turn * _STRIDE % self.halls
            first = number * ORDINARY + 1
        else:
            number = self.halls + (seats == BIGGEST)
            first = self.halls * ORDINARY + 1 + BIG * (seats == BIGGEST)
        return Hall(number + 1, list(range(first + start, first + start + count)))


@define(eq=False)
class SizedDatabase:
    """One of the databases, with a session."""

    size: Size
    session: Session
    _dsn: str
    _names: dict[str, bytes] = field(factory=dict)

    @classmethod
    @contextmanager
    def open(cls, dsn: str, size: Size) -> Iterator[Self]:
        """Open a session, in which no plan has been made yet."""
        session = Session.connect(dsn)
        try:
            yield cls(size, session, dsn)
        finally:
            session.connection.close()

    def opened_again(self) -> AbstractContextManager[Self]:
        """The same with another session."""
        return self.open(self._dsn, self.size)

    def run(self, sql: str) -> PGresult:
        """Run a statement as psql does. Raises `BenchError`."""
        return _checked(self.session.connection.pgconn.exec_(sql.encode()))

    def query(self, sql: str, *args: Any) -> PGresult:
        """Run a query as the server does, prepared once in the session. Raises `BenchError`."""
        libpq = self.session.connection.pgconn
        if sql not in self._names:
            name = b"bench_%d" % len(self._names)
            _checked(libpq.prepare(name, sql.encode()))
            self._names[sql] = name
        values = Transformer(self.session.connection).dump_sequence(args, [PyFormat.TEXT] * len(args))
        return _checked(libpq.exec_prepared(self._names[sql], values))  # type: ignore[arg-type] # a value may be None

    def fill(self) -> None:
        """Make the days of the history, halls with their seats, and events; a user with a session, too."""
        numbers = {
            "halls": self.size.halls,
            "ordinary": self.size.ordinary_events,
            "big": self.size.big_events,
            "days": DAYS,
        }
        for statements in (_HALLS, _DAYS, _EVENTS, "vacuum analyze"):
            self.session.do(statements.format_map(numbers))


def _checked(result: PGresult) -> PGresult:
    if result.status == ExecStatus.FATAL_ERROR:
        raise BenchError(result.get_error_message())
    return result


@contextmanager
def open_databases(
    cores: Cores,
    sizes: Mapping[str, Size],
    fill: Callable[[str, SizedDatabase], None] = lambda _, database: database.fill(),
) -> Iterator[dict[str, SizedDatabase]]:
    """Databases of these names and sizes, on a PostgreSQL of their own on the server's core; gone at the end.

    It does not wait for the disk: what a commit waits for there does not depend on the size.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seatsync-bench-", dir="/var/tmp")))
        directory.chmod(0o711)
        postgres = stack.enter_context(EmbeddedPostgres(directory / "data", VOLATILE))
        assert postgres.pid is not None
        move(family(postgres.pid), cores.all)
        trio.run(_prepare, postgres.dsn, list(sizes))
        databases = {
            name: stack.enter_context(
                SizedDatabase.open(urlsplit(postgres.dsn)._replace(path=f"/{name}").geturl(), size)
            )
            for name, size in sizes.items()
        }
        with ThreadPoolExecutor() as threads:
            list(threads.map(fill, databases, databases.values()))
        move(family(postgres.pid), {cores.server})
        yield databases


async def _prepare(dsn: str, names: Sequence[str]) -> None:
    """Create empty databases with the schema."""
    for name in names:
        async with Database.open(dsn, size=1) as db, db.session() as session:
            await session.script(f"create database {name}")
        async with Database.open(urlsplit(dsn)._replace(path=f"/{name}").geturl(), size=1) as db:
            await migrate(db)

"""The hall at any revision is the snapshot that a client had there.

Each example is a list of changes to two halls, by plain SQL and by a user: statuses, notes, holds, layouts, names,
epochs, several statements in one transaction; and what happens to a history meanwhile: days begin, checkpoints are
made, old days are dropped. A day of a real history is a moment here: a partition that takes the events until then, with
the name of a day long ago.
"""

import json
from typing import Any

from attrs import define, field
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import errors

from seatsync.core.postgres.queries import load
from tests.support.database import DatabaseServer
from tests.support.examples import examples
from tests.support.sql import User, World, open_world
from tests.support.steps import run_step, some_seats
from tests.support.writes import write_seat

KEEP = load("hall")["keep_history"].sql

STATUSES = ["VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE"]

#: Statements, with the ids of some seats, of a hall and of another one, and a number that differs from step to step.
STATEMENTS = {
    "vacate": "update seat set status = 'VACANT' where id = any('{{{seats}}}')",
    "occupy": "update seat set status = 'OCCUPIED' where id = any('{{{seats}}}')",
    "mend": "update seat set status = 'MAINTENANCE', note = 'note {n}' where id = any('{{{seats}}}')",
    "note": "update seat set note = 'note {n}' where id = any('{{{seats}}}') and status = 'MAINTENANCE'",
    "hold": "select hold_seats('{{{seats}}}', 1 + {n})",
    "end holds": "update seat set hold_until = null where id = any('{{{seats}}}')",
    "all": "update seat set status = 'RESERVED'",
    "move": "update seat set x = x + {n}, rotation = {n} where id = any('{{{seats}}}')",
    "shift a row": "update seat set place = place + 1 where hall_id = {hall} and row = 1",
    "label": "update seat set section = 'Part {n}', row_label = 'R{n}', place_label = 'P' || id "
    "where id = any('{{{seats}}}')",
    "swap labels": "update seat set section = case when section is null then 'Part' end where hall_id = {hall}",
    "move and occupy": "update seat set y = {n}, status = 'OCCUPIED' where id = any('{{{seats}}}')",
    "to the other hall": "update seat set hall_id = {other}, row = 100 + {n} where id = {seat}",
    "another type": "update seat set seat_type_id = 3 - seat_type_id where id = any('{{{seats}}}')",
    "all of one type": "update seat set seat_type_id = 1",
    "add": "insert into seat (hall_id, seat_type_id, row, place, status, updated_at) values "
    "({hall}, 2, 50, {n}, 'OCCUPIED', '2020-01-01'), ({hall}, 1, 51, {n}, 'VACANT', default)",
    "add again": "insert into seat (id, hall_id, seat_type_id, row, place) values (1, {hall}, 1, 60, {n}) "
    "on conflict (id) do update set status = 'OCCUPIED'",
    "remove": "delete from seat where id = any('{{{seats}}}')",
    "truncate": "truncate seat",
    "rename": "update hall set name = 'Hall {n}', rows = {n} where id = {hall}",
    "rename a type": "update seat_type set name = 'type {n}' where id = 2",
    "renew the epoch": "update hall set epoch = default where id = {hall}",
    "unseen": "alter table seat disable trigger user; update seat set status = 'VACANT', note = null, "
    "hold_until = null where hall_id = {hall}; alter table seat enable trigger user; "
    "update hall set epoch = default where id = {hall}",
    "transaction": "begin; update seat set status = 'VACANT' where hall_id = {hall}; delete from seat "
    "where id = {seat}; update seat set status = 'MAINTENANCE' where hall_id = {hall}; commit",
    "rollback": "begin; update seat set status = 'OCCUPIED'; rollback",
    "merge": "merge into seat using (values (1), (2), (3)) s (id) on seat.id = s.id "
    "when matched and s.id = 1 then delete when matched then update set status = 'OCCUPIED', note = null "
    "when not matched then insert (id, hall_id, seat_type_id, row, place) values (s.id, {hall}, 1, 70 + s.id, {n})",
    "another plan": "select replace_plan({hall}, (select jsonb_build_object("
    "'format', 'seatsync.plan', 'version', 1, 'seats', jsonb_agg(to_jsonb(s))) from ("
    "(select row, place, 'type {n}' as type, x + {n} as x from seat where hall_id = {hall} and section is null limit 3)"
    " union all select 80, {n}, 'one', 0) s))",
    "a new plan": """select replace_plan({hall}, '{{"format": "seatsync.plan", "version": 1, "name": "Plan {n}",
        "seats": [{{"row": 90, "place": {n}}}]}}', keep_status => false)""",
    "checkpoint": "select checkpoint_halls('{{{hall}}}')",
}

STEPS = st.lists(
    st.tuples(
        st.sampled_from([*STATEMENTS, "write", "write", "new day", "prune"]),
        st.integers(0, 1),
        st.sets(st.integers(0, 11), min_size=1, max_size=4),
        st.sampled_from(STATUSES),
    ),
    min_size=3,
    max_size=25,
)


@define(eq=False)
class Witness:
    """A client that has seen every snapshot, and remembers when."""

    world: World
    halls: list[int]
    user: User
    seen: dict[tuple[int, int], dict[str, Any]] = field(factory=dict)
    """By hall and revision."""
    times: list[tuple[int, str, int]] = field(factory=list)
    """Of each hall a time, and its revision then."""
    step: int = 0
    days: int = 0
    day_begins: str = "2020-01-01"

    def look(self) -> None:
        """Take the snapshots of all halls."""
        for hall in self.halls:
            snapshot = json.loads(self.world.value("select data from hall_snapshot($1)", hall))
            self.seen[hall, snapshot["rev"]] = snapshot
            now = self.world.value("select clock_timestamp()::text")
            self.times.append((hall, now, snapshot["rev"]))

    def play(self, name: str, number: int, places: set[int], status: str) -> None:
        """Make one step."""
        self.step += 1
        if name == "new day":
            self.begin_day()
        elif name == "prune":
            self.world.value(KEEP, 30)
            self.world.value("select keep_checkpoints(10)")
        else:
            hall, other = self.halls[number], self.halls[1 - number]
            seats = some_seats(self.world, places)
            if name == "write":
                write_seat(self.world, self.user, hall, seats[0], status, note=f"note {self.step}")
                return
            run_step(self.world, STATEMENTS[name], seats=seats, hall=hall, other=other, n=self.step)

    def begin_day(self) -> None:
        """Move all events so far to a partition of their own."""
        self.days += 1
        now, part = self.world.value("select clock_timestamp()::text"), f"seat_event_{20010000 + self.days}"
        self.world.do(
            f"create table {part} (like seat_event including defaults including constraints); "
            f"with moved as (delete from seat_event_default where at < '{now}' returning *) "
            f"insert into {part} select * from moved; "
            f"alter table seat_event attach partition {part} for values from ('{self.day_begins}') to ('{now}')"
        )
        self.day_begins = now

    def find(self, hall: int, rev: int) -> dict[str, Any] | None:
        """The hall at a revision, if the history goes there."""
        try:
            data: dict[str, Any] = json.loads(self.world.value("select data from hall_snapshot_at($1, $2)", hall, rev))
        except errors.NoDataFound:
            return None
        assert data.pop("at").startswith("20")
        return data

    def check(self) -> None:
        """Every revision of every hall is what was seen there, as far back as the first checkpoint that is left."""
        for hall in self.halls:
            begin, last = self.world.row(
                "select min(c.rev), max(h.rev) from hall h "
                "left join hall_checkpoint c on c.hall_id = h.id and c.epoch = h.epoch where h.id = $1",
                hall,
            )
            assert begin is not None
            for rev in range(last + 2):
                found = self.find(hall, rev)
                assert (found is not None) == (begin <= rev <= last), (hall, rev)
                if found is not None and (hall, rev) in self.seen:
                    assert found == self.seen[hall, rev]
                    assert list(found) == list(self.seen[hall, rev])
            for of, time, rev in self.times:
                if of == hall:
                    found_rev = self.world.value("select hall_rev_at($1, $2::text::timestamptz)", hall, time)
                    assert found_rev == rev if found_rev is not None else rev <= begin
            assert self.world.value("select count(*) from hall_at($1, clock_timestamp())", hall) == len(
                self.seen[hall, last]["seats"]
            )


def begin(world: World) -> Witness:
    """Two small halls, and no partition that would be made by day."""
    world.do(
        "do $$ begin for n in 0..7 loop execute format('create table seat_event_%s ()', "
        "to_char((now() at time zone 'UTC')::date + n, 'YYYYMMDD')); end loop; end $$"
    )
    halls = [world.hall(2, 3, kind="one"), world.hall(2, 3, kind="two")]
    return Witness(world, halls, world.user("alice"))


@examples(30)
@given(steps=STEPS)
@example(steps=[(name, 1, {6}, "VACANT") for name in ("all of one type", "rename a type", "occupy")])
@example(steps=[(name, 0, {0}, "VACANT") for name in ("occupy", "checkpoint", "vacate", "new day", "prune", "occupy")])
@example(steps=[(name, 0, {0}, "VACANT") for name in ("mend", "truncate", "add", "occupy")])
@example(steps=[(name, 0, {0}, "VACANT") for name in ("occupy", "another plan", "another plan", "occupy")])
@example(steps=[(name, 0, {0}, "VACANT") for name in ("occupy", "a new plan", "occupy", "another plan", "checkpoint")])
def test_the_hall_at_a_revision_is_the_snapshot_there(
    database_server: DatabaseServer, template_database: str, steps: list[tuple[str, int, set[int], str]]
) -> None:
    """For every revision and time that the history has; it has all that no day that was dropped takes part in."""
    with database_server.database(template_database) as name, open_world(database_server.url(name)) as world:
        witness = begin(world)
        witness.look()
        for step in steps:
            witness.play(*step)
            witness.look()
        witness.check()

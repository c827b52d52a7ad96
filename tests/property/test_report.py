"""The roll-up of occupancy is what a plain count over the events gives, whoever rolls up, when, and how often.

Each example is a list of changes to two halls, whose events get times of long ago: hours apart, within an hour, and
before those of the revision before. Meanwhile the history is rolled up a few events at a time, by one server or two,
and some of that is rolled back.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import define, field
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.database import DatabaseServer
from tests.support.examples import examples
from tests.support.sql import World, at_once, open_world
from tests.support.steps import run_step, some_seats

HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)

ROLL_UP = "select roll_up_occupancy($1)"

#: Statements, with the ids of some seats, of a hall and of another one, and a number that differs from step to step.
STATEMENTS = {
    "vacate": "update seat set status = 'VACANT' where id = any('{{{seats}}}')",
    "occupy": "update seat set status = 'OCCUPIED' where id = any('{{{seats}}}')",
    "mend": "update seat set status = 'MAINTENANCE', note = 'note {n}' where id = any('{{{seats}}}')",
    "hold": "select hold_seats('{{{seats}}}', 600)",
    "all": "update seat set status = 'RESERVED'",
    "move and occupy": "update seat set y = {n}, status = 'OCCUPIED' where id = any('{{{seats}}}')",
    "to the other hall": "update seat set hall_id = {other}, row = 100 + {n}, status = 'MAINTENANCE' where id = {seat}",
    "add": "insert into seat (hall_id, seat_type_id, row, place, status) values "
    "({hall}, 1, 50, {n}, 'OCCUPIED'), ({hall}, 1, 51, {n}, 'VACANT')",
    "remove": "delete from seat where id = any('{{{seats}}}')",
    "truncate": "truncate seat",
    "rename": "update hall set name = 'Hall {n}' where id = {hall}",
    "rename the type": "update seat_type set name = 'type {n}'",
    "unseen": "alter table seat disable trigger user; update seat set status = 'OCCUPIED', note = null, "
    "hold_until = null where id = any('{{{seats}}}'); alter table seat enable trigger user; "
    "update hall set epoch = default where id in ({hall}, {other})",
    "transaction": "begin; update seat set status = 'OCCUPIED' where hall_id = {hall}; delete from seat "
    "where id = {seat}; update seat set status = 'VACANT' where hall_id = {hall}; commit",
    "replace the plan": "select replace_plan({hall}, jsonb_build_object('format', 'seatsync.plan', 'version', 1, "
    "'name', 'Plan ' || {n} / 3, 'seats', (select jsonb_agg(jsonb_build_object('row', 1, 'place', p, 'x', {n}, "
    "'y', p)) from generate_series(1, 1 + {n} % 4) p)), keep_status => {n} % 2 = 0)",
    "checkpoint": "select checkpoint_halls('{{{hall}}}')",
}

STEPS = st.lists(
    st.tuples(
        st.sampled_from([*STATEMENTS, "roll up", "roll up", "roll back", "two at once"]),
        st.integers(0, 1),
        st.sets(st.integers(0, 11), min_size=1, max_size=4),
        st.integers(-20, 150),
    ),
    min_size=3,
    max_size=25,
)


@define(eq=False)
class Ledger:
    """Two halls, and what their seats were after each step."""

    world: World
    halls: list[int]
    now: datetime = datetime(2020, 3, 1, 12, 10, tzinfo=UTC)
    seats: dict[tuple[int, int], dict[int, str]] = field(factory=dict)
    """By hall and revision: the status of each seat."""
    step: int = 0

    def play(self, name: str, number: int, places: set[int], minutes: int) -> None:
        """Make one step, so many minutes after the one before."""
        self.step += 1
        if name in STATEMENTS:
            self.now += timedelta(minutes=minutes)
            hall, other = self.halls[number], self.halls[1 - number]
            seats = some_seats(self.world, places)
            run_step(self.world, STATEMENTS[name], seats=seats, hall=hall, other=other, n=self.step)
            self.look()
        elif name == "roll back":
            self.world.do("begin")
            self.world.value(ROLL_UP, 5)
            self.world.do("rollback")
        elif name == "two at once":
            self.world.do("begin")
            self.world.value(ROLL_UP, 3)
            assert self.world.session().value(ROLL_UP, 3) == 0
            self.world.do("commit")
        else:
            self.world.value(ROLL_UP, 1 + len(places))

    def look(self) -> None:
        """Note the seats; give what is new its time: revisions some minutes apart, forward and back."""
        for hall in self.halls:
            rows = self.world.rows("select id, status::text as status from seat where hall_id = $1", hall)
            self.seats[hall, self.world.rev(hall)] = {row["id"]: row["status"] for row in rows}
        self.world.rows(
            "update seat_event set at = $1::text::timestamptz + (rev * 7 % 5 - 2) * interval '13 min' + "
            "seat_id * interval '1.000001 s' where at > '2025-01-01'",
            self.now.isoformat(),
        )
        self.world.rows(
            "update hall_checkpoint set at = $1::text::timestamptz where at > '2025-01-01'", self.now.isoformat()
        )

    def finish(self) -> None:
        """Roll up what is left, in two sessions."""

        def roll_up() -> None:
            session = self.world.session()
            while session.value(ROLL_UP, 4):
                pass

        at_once(roll_up, roll_up)
        while self.world.value(ROLL_UP, 4):
            pass

    def check(self) -> None:
        """Every hour of every hall."""
        for hall in self.halls:
            expected = self.count(hall)
            found = self.world.rows(
                "select * from hall_occupancy($1, '-infinity', $2::text::timestamptz)",
                hall,
                (max(expected) + HOUR).isoformat(),
            )
            assert {row["hour"]: dict(zip(row.keys(), row, strict=True)) for row in found} == expected

    def count(self, hall: int) -> dict[datetime, dict[str, Any]]:
        """The hours of a hall, from its events alone, with some in which nothing happens behind them."""
        begins = datetime(2020, 3, 1, 12, tzinfo=UTC)
        states: list[tuple[datetime, Counter[str], int]] = [(begins, Counter(), 0)]
        seats: dict[int, str] = {}
        for rev in range(1, self.world.rev(hall) + 1):
            events = self.world.rows(
                "select at, kind::text as kind, seat_id, old_status::text as old, new_status::text as new, "
                "before is null as empty from seat_event where hall_id = $1 and rev = $2",
                hall,
                rev,
            )
            laid = self.world.rows(
                "select (s.seat).id, (s.seat).status::text as status "
                "from (select unnest(seats) as seat from hall_checkpoint where hall_id = $1 and rev = $2) s",
                hall,
                rev,
            )
            if any(event["seat_id"] == 0 and event["empty"] for event in events):
                seats = {}  # truncated
            for event in events:
                if event["kind"] == "layout":
                    seats.pop(event["seat_id"], None)
                else:
                    seats[event["seat_id"]] = event["new"]
            for seat in laid:
                if seat["status"] is not None:
                    seats[seat["id"]] = seat["status"]
            changes = sum(event["old"] != event["new"] for event in events)
            assert self.seats.get((hall, rev), seats) == seats, (hall, rev)
            states.append((max(states[-1][0], *(event["at"] for event in events)), Counter(seats.values()), changes))
        ends = states[-1][0].replace(minute=0, second=0, microsecond=0) + 4 * HOUR
        hours = (begins + n * HOUR for n in range((ends - begins) // HOUR))
        return {hour: hour_of(states, hour) for hour in hours}


def hour_of(states: list[tuple[datetime, Counter[str], int]], hour: datetime) -> dict[str, Any]:
    """What is known of one hour."""
    until = hour + HOUR
    lasts = dict.fromkeys(("RESERVED", "OCCUPIED", "MAINTENANCE"), timedelta())
    shown, changes = [], 0
    for (at, counts, changed), (following, *_) in zip(states, [*states[1:], (until, None, 0)], strict=True):
        begins, ends = max(at, hour), min(max(following, hour), until)
        if at < until and (following >= hour or at >= hour):
            shown.append((at, counts))
            changes += changed if at >= hour else 0
            for status in lasts:
                lasts[status] += counts[status] * max(ends - begins, timedelta())
    opening = max((n for n, (at, _) in enumerate(shown) if at < hour), default=0)
    shown = shown[opening:]
    return {
        "hour": hour,
        "us": HOUR // MICROSECOND,
        "seats": shown[-1][1].total(),
        **{f"{status.lower()}_us": total // MICROSECOND for status, total in lasts.items()},
        "occupied_peak": max(counts["OCCUPIED"] for _, counts in shown),
        "changes": changes,
    }


@examples(30)
@given(steps=STEPS)
@example(steps=[(name, 0, {0}, 9) for name in ("occupy", "roll up", "occupy", "replace the plan", "checkpoint")])
@example(steps=[(name, 0, {0}, 61) for name in ("occupy", "roll up", "unseen", "roll up", "unseen", "vacate")])
def test_the_roll_up_is_a_plain_count(
    database_server: DatabaseServer, template_database: str, steps: list[tuple[str, int, set[int], int]]
) -> None:
    """For every hour, to the microsecond; what is rolled back or done by two at once leaves no trace."""
    with database_server.database(template_database) as name, open_world(database_server.url(name)) as world:
        ledger = Ledger(world, [world.hall(2, 3), world.hall(2, 3)])
        ledger.look()
        for step in steps:
            ledger.play(*step)
        ledger.finish()
        ledger.check()

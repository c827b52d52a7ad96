"""Random changes by two users and plain SQL, against the table of the seats as a model."""

from typing import Any

from attrs import define, field, frozen
from hypothesis import strategies as st

from tests.support.client import Client
from tests.support.examples import for_all
from tests.support.halls import Hall, make_hall
from tests.support.server import RunningServer
from tests.support.views import open_view

STATUSES = ("VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE")
USERS = ("anna", "bert")
SQL = "sql"
SEATS = 3


@frozen
class Item:
    """A change of one seat."""

    place: int
    status: str
    expected: str | None = None
    note: str | None = None
    hold_s: int | None = None


@frozen
class Step:
    """One request, or one statement of SQL, which takes neither ``expected`` nor notes."""

    who: str
    items: list[Item]


statuses = st.sampled_from(STATUSES)
items = st.builds(
    Item, st.integers(0, SEATS - 1), statuses, st.none() | statuses, st.none() | st.sampled_from(["", "wet", "dry"])
)
holds = st.builds(Item, st.integers(0, SEATS - 1), st.just("RESERVED"), hold_s=st.sampled_from([600, 3600]))
plain_items = st.builds(Item, st.integers(0, SEATS - 1), statuses)
steps = st.builds(
    Step,
    st.sampled_from(USERS),
    st.lists(items | plain_items | holds, min_size=1, max_size=SEATS, unique_by=lambda item: item.place),
) | st.builds(Step, st.just(SQL), st.lists(plain_items, min_size=1, max_size=1))


@define
class Seat:
    """A seat of the model."""

    status: str = "VACANT"
    note: str | None = None
    owner: str | None = None
    held: bool = False

    def refusal(self, who: str, item: Item) -> str | None:
        """The protocol table's error code for a change; ``None`` where it is allowed or already the case."""
        if item.expected not in {None, self.status}:
            return "SeatConflict"
        own = self.owner == who
        return {
            ("RESERVED", "RESERVED"): None if own else "SeatReserved",
            ("OCCUPIED", "RESERVED"): "SeatOccupied",
            ("OCCUPIED", "OCCUPIED"): None if own else "SeatOccupied",
            ("MAINTENANCE", "RESERVED"): "SeatConflict",
            ("MAINTENANCE", "OCCUPIED"): "SeatConflict",
        }.get((self.status, item.status))

    def change(self, who: str, item: Item) -> bool:
        """Apply the change; returns whether the seat differs now."""
        note = item.note or None
        if item.status != "MAINTENANCE":
            note = None
        elif item.note is None and self.status == "MAINTENANCE":
            note = self.note
        held = self.held if who == SQL and item.status == self.status else item.hold_s is not None
        if (item.status, note, held) == (self.status, self.note, self.held) and item.hold_s is None:
            return False
        self.status, self.note, self.owner = item.status, note, who if who != SQL else None
        self.held = held
        return True


@define
class Model:
    """A hall of the model."""

    seats: list[Seat] = field(factory=lambda: [Seat() for _ in range(SEATS)])
    rev: int = 1

    def take(self, step: Step) -> str | None:
        """Apply a step as a whole, or return the code of its first failing item."""
        if step.who != SQL:
            for item in step.items:
                if (code := self.seats[item.place].refusal(step.who, item)) is not None:
                    return code
        changed = [self.seats[item.place].change(step.who, item) for item in step.items]
        self.rev += any(changed)
        return None

    def states(self, places: list[int]) -> list[tuple[str, str | None, bool]]:
        """Status and note of these seats, and whether they are held."""
        return [(self.seats[place].status, self.seats[place].note, self.seats[place].held) for place in places]


def shown(seats: list[dict[str, Any]]) -> list[tuple[str, str | None, bool]]:
    """The same, as a client sees it."""
    return [(seat["status"], seat["note"], seat["hold_until"] is not None) for seat in seats]


def request(hall: Hall, step: Step) -> tuple[str, dict[str, Any]]:
    """A step as a request: the method for one seat where it is one."""
    seats = [
        {
            "seat_id": hall.seats[item.place],
            "status": item.status,
            **({"expected": item.expected} if item.expected is not None else {}),
            **({"note": item.note} if item.note is not None else {}),
            **({"hold_s": item.hold_s} if item.hold_s is not None else {}),
        }
        for item in step.items
    ]
    if len(seats) == 1:
        return "hall.update_seat_status", {"hall_id": hall.id, **seats[0]}
    return "hall.update_seats", {"hall_id": hall.id, "seats": seats}


async def test_seat_table(server: RunningServer) -> None:
    """Answers, updates and the database table equal the model after each step."""
    tokens = [await server.token(name) for name in USERS]
    async with server.client(tokens[0]) as anna, server.client(tokens[1]) as bert, server.client() as watcher:
        clients = {"anna": anna, "bert": bert}

        async def is_kept(sequence: list[Step]) -> None:
            hall, model = await make_hall(server, places=SEATS), Model()
            view = await open_view(watcher, hall.id, f"hall {hall.id}")
            for step in sequence:
                await take(server, clients, hall, model, step)
            await view.reach(model.rev)
            assert view.merged == 0
            await view.is_true(server)
            assert shown(view.data["seats"]) == model.states(list(range(SEATS)))
            await watcher.data("hall.unsubscribe", {"sub_eid": view.eid})

        await for_all(st.lists(steps, min_size=1, max_size=12), is_kept, 80)


async def take(server: RunningServer, clients: dict[str, Client], hall: Hall, model: Model, step: Step) -> None:
    """Apply a step to the model and the server, and compare the answers."""
    code = model.take(step)
    if step.who == SQL:
        (item,) = step.items
        await server.sql(f"update seat set status = '{item.status}' where id = {hall.seats[item.place]}")
        return
    method, data = request(hall, step)
    answer = await clients[step.who].call(method, data)
    assert answer["error"] == code
    if code is None:
        assert (answer["data"]["id"], answer["data"]["rev"]) == (hall.id, model.rev)
        places = [item.place for item in step.items]
        assert [seat["id"] for seat in answer["data"]["seats"]] == [hall.seats[place] for place in places]
        assert shown(answer["data"]["seats"]) == model.states(places)

"""What the schemas admit as parameters, the server admits, and nothing else."""

from collections.abc import Callable
from functools import cache
from typing import Any

import attrs
import fastjsonschema
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from seatsync import errors
from seatsync.cli.protocol import methods
from seatsync.core.connections.connection import SubEid
from seatsync.core.protocol.params import structure
from seatsync.core.protocol.wire import REQUIRED
from seatsync.hall.messages import MAX_SEATS, UpdateSeats
from seatsync.schema.types import Schemas

PARAMETERS = sorted({method.params for method in methods()} - {SubEid}, key=lambda cls: cls.__name__)

NUMBERS = [-1, 0, 1, 2**63 - 1, 2**63, True, 0.5]
TEXTS = ["", "abc", "ab", "x" * 32, "x" * 33, "abc\n", "a b", "123456", "12345", "12345x", "\u0661" * 6, "123456\n"]
LONG_TEXTS = ["x" * 200, "x" * 201, "x" * 256, "x" * 257, "a\0b"]
NAMES = ["VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE", "SOLD", "6f1c2b6e-7d0f-4c8e-9a43-1f1f3f6d2a10"]
VALUES: st.SearchStrategy[Any] = st.sampled_from([None, *NUMBERS, *TEXTS, *LONG_TEXTS, *NAMES, [], {}])


def objects(cls: type, depth: int = 1) -> st.SearchStrategy[Any]:
    """Objects with the fields of a class, each of them absent, right or wrong."""
    fields = {field.name: values(field, depth) for field in attrs.fields(cls)}
    return st.fixed_dictionaries({}, optional=fields) | VALUES


def values(field: "attrs.Attribute[Any]", depth: int) -> st.SearchStrategy[Any]:
    """Values for a field; those that are likely to be right come more often."""
    if field.name == "seats" and depth:
        item = next(iter(field.type.__args__))  # type: ignore[union-attr]  # a list of parameters
        number = st.integers(1, 10**6)
        right = st.builds(lambda id_, status: {"seat_id": id_, "status": status}, number, st.sampled_from(NAMES[:4]))
        lists: st.SearchStrategy[Any] = st.lists(right, max_size=3) | st.lists(objects(item, 0), max_size=2)
        return lists | VALUES
    likely: dict[str, list[Any]] = {
        "status": NAMES[:4],
        "expected": [None, *NAMES[:4]],
        "key": [None, NAMES[-1]],
        "note": [None, "x" * 200],
    }
    guesses = likely.get(field.name, [1] if field.name.endswith("id") else ["abc", "123456"])
    return st.sampled_from(guesses) | VALUES


def admits(data: Any, cls: type) -> bool:
    """The server takes the parameters. What is about several fields, or several seats, is in no schema."""
    try:
        params = structure(data, cls)
    except errors.SeatSyncError as error:
        if "only once" in error.message or "only a RESERVED" in error.message:
            reject()
        return False
    return not any(field.metadata == REQUIRED and getattr(params, field.name) is None for field in attrs.fields(cls))


@pytest.mark.parametrize("cls", PARAMETERS, ids=lambda cls: cls.__name__)
@settings(deadline=None)
@given(data=st.data())
def test_the_schema_admits_what_the_server_admits(cls: type, data: st.DataObject) -> None:
    """Patterns, bounds, enumerations, and what is required or may be null."""
    sent = data.draw(objects(cls))
    if sent is not None:  # stands for {}
        assert is_valid(sent, cls) == admits(sent, cls)


@pytest.mark.parametrize("seats", [0, 1, MAX_SEATS, MAX_SEATS + 1])
def test_a_list_has_bounds(seats: int) -> None:
    """As many seats as the server takes at once."""
    listed = [{"seat_id": number + 1, "status": "VACANT"} for number in range(seats)]
    sent = {"hall_id": 1, "seats": listed}
    assert is_valid(sent, UpdateSeats) == admits(sent, UpdateSeats) == (1 <= seats <= MAX_SEATS)


def is_valid(data: Any, cls: type) -> bool:
    """The schema of the class admits the data."""
    try:
        validator(cls)(data)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


@cache
def validator(cls: type) -> Callable[[Any], Any]:
    """Checks data against the schema of the class."""
    schemas = Schemas()
    schema = schemas.of(cls) | {"$defs": schemas.named}
    compiled: Callable[[Any], Any] = fastjsonschema.compile(schema, use_default=False)
    return compiled

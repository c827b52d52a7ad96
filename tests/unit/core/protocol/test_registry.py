"""The methods by name, who may call them, and what their parameters have to look like."""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from attrs import Attribute, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from seatsync import errors
from seatsync.core.protocol.call import Call, Client, Identity
from seatsync.core.protocol.registry import Access, Id, Json, Kind, Method, NoParams, Registry, encode, structure


def _no_seven(_: Any, __: "Attribute[Any]", value: int) -> None:
    if value == 7:
        raise errors.InvalidUsername


@frozen
class Inner:
    """One of several."""

    id: Id
    name: str | None = None


@frozen
class Params:
    """Every kind of field."""

    id: Id
    number: int = field(default=0, validator=_no_seven)
    text: str = ""
    key: UUID | None = None
    many: list[Inner] = field(factory=list)


# Parameters


def test_parameters_are_structured() -> None:
    """Into the types that the class declares, unknown fields ignored."""
    key = uuid4()
    data = {"id": 1, "number": 2, "text": "x", "key": str(key), "many": [{"id": 3, "name": "y"}], "more": {}}
    assert structure(data, Params) == Params(Id(1), 2, "x", key, [Inner(Id(3), "y")])


def test_no_data_is_an_empty_object() -> None:
    """``null`` and absent are the same as ``{}``."""
    assert structure(None, NoParams) == structure({}, NoParams) == NoParams()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "data: an object is needed."),
        ("x", "data: an object is needed."),
        (7, "data: an object is needed."),
        ({}, "id: is missing."),
        ({"id": "1"}, "id: a positive integer is needed."),
        ({"id": 0}, "id: a positive integer is needed."),
        ({"id": -1}, "id: a positive integer is needed."),
        ({"id": True}, "id: a positive integer is needed."),
        ({"id": 1.0}, "id: a positive integer is needed."),
        ({"id": 2**63}, "id: a positive integer is needed."),
        ({"id": None}, "id: a positive integer is needed."),
        ({"id": 1, "number": True}, "number: an integer is needed."),
        ({"id": 1, "text": 1}, "text: a string is needed."),
        ({"id": 1, "text": None}, "text: a string is needed."),
        ({"id": 1, "key": "x"}, "key: a UUID is needed."),
        ({"id": 1, "key": 7}, "key: a UUID is needed."),
        ({"id": 1, "many": {}}, "many: a list is needed."),
        ({"id": 1, "many": "ab"}, "many: a list is needed."),
        ({"id": 1, "many": [{"id": 1}, 5]}, "many[1]: an object is needed."),
        ({"id": 1, "many": [{"id": 1}, {"id": 1}, {}]}, "many[2].id: is missing."),
        ({"id": 1, "many": [{"id": 1, "name": 3}]}, "many[0].name: a string is needed."),
    ],
)
def test_wrong_shape_names_the_field(data: Any, message: str) -> None:
    """The path of the first offender, and what is needed there; nothing is coerced."""
    with pytest.raises(errors.ValidationError) as caught:
        structure(data, Params)
    assert caught.value.message == message


def test_error_of_a_rule_passes_through() -> None:
    """A field's own validator knows better than "wrong shape"."""
    with pytest.raises(errors.InvalidUsername):
        structure({"id": 1, "number": 7}, Params)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["id", "number", "text", "key", "many", "name"]), x),
        max_leaves=12,
    )
)
def test_any_data_are_structured_or_refused(data: Any) -> None:
    """Nothing else is raised, whatever stands where."""
    with suppress(errors.ValidationError, errors.InvalidUsername):
        assert isinstance(structure(data, Params), Params)


# Answers


def test_answers_are_encoded() -> None:
    """Attrs instances and plain data; JSON of PostgreSQL's passes through byte for byte."""
    assert encode(b'{"a":  1}') == b'{"a":  1}'
    assert orjson.loads(encode({"a": [1, None]})) == {"a": [1, None]}
    assert orjson.loads(encode(Inner(Id(1), "x"))) == {"id": 1, "name": "x"}


# Rights


def call(method: Method, client: Client) -> Call:
    """A call of it by that client."""
    return Call(client, method, "e", "http")


def client(role: str | None = None, *, ended: bool = False) -> Client:
    """A guest, or a user with that role."""
    identity = None if role is None else Identity(1, "ann", role, uuid4(), math.inf)  # type: ignore[arg-type]  # any
    return Client("192.0.2.1", "v", identity=identity, ended=ended)


async def nothing(_: Call, __: NoParams) -> Json:
    """A method's work."""
    return Json(b"null")


async def outcome(registry: Registry, one: Call) -> str | None:
    """The code of the error that a call ends in, if it does."""
    try:
        await registry.answer(one, None)
    except errors.SeatSyncError as error:
        return error.code
    return None


ENDED = "ended"


@pytest.mark.parametrize(
    ("access", "public_view", "outcomes"),
    [
        (Access.ANYONE, True, {None: None, "viewer": None, "operator": None, ENDED: None}),
        (Access.READ, True, {None: None, "viewer": None, "operator": None, ENDED: None}),
        (Access.READ, False, {None: "Unauthorized", "viewer": None, "operator": None, ENDED: "SessionExpired"}),
        (Access.USER, True, {None: "Unauthorized", "viewer": None, "operator": None, ENDED: "SessionExpired"}),
        (Access.WRITE, True, {None: "Unauthorized", "viewer": "Forbidden", "operator": None, ENDED: "SessionExpired"}),
        (Access.WRITE, False, {None: "Unauthorized", "viewer": "Forbidden", "admin": None, ENDED: "SessionExpired"}),
    ],
)
async def test_who_may_call(access: Access, public_view: bool, outcomes: dict[str | None, str | None]) -> None:
    """Guests, roles and sessions that have ended, for every kind of access."""
    method = Method("m", NoParams, nothing, access)
    registry = Registry([method], public_view=public_view)
    for role, expected in outcomes.items():
        who = client("operator", ended=True) if role == ENDED else client(role)
        assert await outcome(registry, call(method, who)) == expected, role


async def test_rights_come_before_the_data() -> None:
    """Who may not call a method learns nothing of its parameters."""
    method = Method("m", Params, nothing, Access.WRITE)
    with pytest.raises(errors.Unauthorized):
        await Registry([method], public_view=True).answer(call(method, client()), {"id": "nonsense"})


async def test_token_that_could_not_be_checked_is_checked_again() -> None:
    """Until the database answers, once; then the client is who it is."""
    method = Method("m", NoParams, nothing, Access.USER)
    registry, who = Registry([method], public_view=True), client()
    asked: list[Identity | None] = []

    async def recheck() -> Identity | None:
        asked.append(None)
        if len(asked) < 3:
            raise errors.ServiceUnavailable
        return client("viewer").identity

    who.recheck = recheck
    for _ in range(2):
        with pytest.raises(errors.ServiceUnavailable):
            await registry.answer(call(method, who), None)
    for _ in range(2):
        await registry.answer(call(method, who), None)
    assert len(asked) == 3


# The table


def test_methods_are_found_by_name_and_alias() -> None:
    """And listed once each, in order."""
    first, second = Method("a.b", NoParams, nothing, aliases=("c.d",)), Method("e.f", NoParams, nothing)
    registry = Registry([first, second], public_view=True)
    assert registry.find("c.d") is registry.find("a.b") is first
    assert list(registry) == [first, second]
    with pytest.raises(errors.UnknownMessageType) as caught:
        registry.find("x" * 1000)
    assert len(caught.value.message) < 100


def test_name_is_given_once() -> None:
    """Two methods of one name are a fault of ours, found at the start."""
    method = Method("a.b", NoParams, nothing)
    with pytest.raises(ValueError, match=r"a\.b"):
        Registry([method, Method("c", NoParams, nothing, aliases=("a.b",))], public_view=True)


@pytest.mark.parametrize("kind", list(Kind))
def test_subscriptions_need_a_websocket(kind: Kind) -> None:
    """Everything else is served over HTTP too."""
    expected = kind in {Kind.CALL, Kind.WRITE}
    assert Method("m", NoParams, nothing, kind=kind).over_http is expected


async def test_write_is_waited_for() -> None:
    """Over HTTP an answer is one response: it comes when the write has committed."""

    class Pending:
        def on_done(self, callback: Callable[[Any], None]) -> None:
            raise AssertionError(callback)

        def result(self) -> Json:
            raise AssertionError

        async def wait(self) -> Json:
            return Json(b'"written"')

    method = Method("m", NoParams, lambda *_: Pending(), kind=Kind.WRITE)
    assert await Registry([method], public_view=True).answer(call(method, client()), {}) == b'"written"'

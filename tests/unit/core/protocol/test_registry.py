"""The methods by name, their access rights, and how each kind is run."""

import math
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from attrs import frozen

from seatsync import errors, jsontext
from seatsync.core.protocol.call import Call, Client, Identity, Login, Reply, Session
from seatsync.core.protocol.params import Id, NoParams
from seatsync.core.protocol.registry import Access, Json, Kind, Method, Registry, encode


@frozen
class Params:
    """Parameters with a required field."""

    id: Id


# Answers


def test_answers_are_encoded() -> None:
    """JSON of PostgreSQL's passes through byte for byte."""
    assert encode(b'{"a":  1}') == b'{"a":  1}'
    assert jsontext.loads(encode({"a": [1, None]})) == {"a": [1, None]}


# Rights


def client(role: str | None = None, *, ended: bool = False) -> Client:
    """A guest, or a user with that role."""
    if role is None:
        return Client("192.0.2.1", "v")
    identity = Identity(1, "ann", role, uuid4(), may_write=role != "viewer")  # type: ignore[arg-type]  # any role
    return Client("192.0.2.1", "v", session=Session(uuid4(), 2e9, None, identity, ended))


async def run(registry: Registry, method: Method, who: Client, data: Any = None) -> Reply:
    """The reply to that client's call."""
    return await registry.run(method, Call(who, method.name, "e", "http"), data)


async def nothing(_: Call, __: NoParams) -> Json:
    """A method without effect."""
    return Json(b"null")


async def outcome(registry: Registry, method: Method, who: Client) -> str | None:
    """The code of the error that a call ends in, ``None`` for success."""
    try:
        await run(registry, method, who)
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
async def test_rights_of_each_kind_of_access(
    access: Access, public_view: bool, outcomes: dict[str | None, str | None]
) -> None:
    """Guests, roles and sessions that have ended, for every kind of access."""
    method = Method("m", NoParams, nothing, access)
    registry = Registry([method], public_view=public_view)
    for role, expected in outcomes.items():
        who = client("operator", ended=True) if role == ENDED else client(role)
        assert await outcome(registry, method, who) == expected, role


@pytest.mark.parametrize("access", Access)
async def test_what_is_for_people_is_not_for_services(access: Access) -> None:
    """Forbidden, whoever else may call the method, and before the service has been identified."""

    async def find() -> Identity:
        return Identity(1, "door-3", "admin", uuid4(), may_write=True)

    for people_only, expected in ((True, "Forbidden"), (False, None)):
        method = Method("m", NoParams, nothing, access, people_only=people_only)
        session = Session(uuid4(), math.inf, find, is_service=True)
        who = Client("192.0.2.1", "v", session=session)
        assert await outcome(Registry([method], public_view=True), method, who) == expected


async def test_session_that_ends_before_its_token() -> None:
    """It is known once the session is identified; a session that lasts longer than its token does not matter."""
    for ends_at, expected in ((1e9, 1e9), (3e9, 2e9)):

        async def find(ends_at: float = ends_at) -> Identity:
            return Identity(1, "ann", "viewer", uuid4(), expires_at=ends_at)

        session = Session(uuid4(), 2e9, find)
        await session.identify()
        assert session.expires_at == expected


async def test_rights_come_before_the_data() -> None:
    """A client without the right learns nothing of a method's parameters."""
    method = Method("m", Params, nothing, Access.WRITE)
    with pytest.raises(errors.Unauthorized):
        await run(Registry([method], public_view=True), method, client(), {"id": "nonsense"})


async def test_token_that_could_not_be_verified_is_verified_later() -> None:
    """A token not verified yet is verified by the calls that need it; then the identity is kept."""
    method = Method("m", NoParams, nothing, Access.USER)
    registry, queries = Registry([method], public_view=True), 0

    async def find() -> Identity:
        nonlocal queries
        queries += 1
        if queries < 3:
            raise errors.ServiceUnavailable
        return Identity(1, "ann", "viewer", uuid4())

    who = Client("192.0.2.1", "v", session=Session(uuid4(), 2e9, find))
    for _ in range(2):
        with pytest.raises(errors.ServiceUnavailable):
            await run(registry, method, who)
    for _ in range(2):
        await run(registry, method, who)
    assert (queries, who.username) == (3, "ann")


async def test_session_that_has_ended_meanwhile_has_no_rights() -> None:
    """A token whose session turns out to have ended at a later verification has no rights."""
    method = Method("m", NoParams, nothing, Access.USER)

    async def find() -> None:
        return None

    who = Client("192.0.2.1", "v", session=Session(uuid4(), 2e9, find))
    assert await outcome(Registry([method], public_view=True), method, who) == "SessionExpired"


@pytest.mark.parametrize("refusal", [errors.TokenInvalid, errors.TokenExpired, errors.SessionExpired])
async def test_a_guest_with_a_bad_token_learns_what_is_wrong_with_it(refusal: type[errors.NotAllowed]) -> None:
    """Where a user is needed; elsewhere it is a guest like any other."""
    who = Client("192.0.2.1", "v", refusal=refusal)
    for access in Access:
        method, needs_user = Method("m", NoParams, nothing, access), access in {Access.USER, Access.WRITE}
        for public_view in (True, False):
            refused = needs_user or (access is Access.READ and not public_view)
            expected = refusal.code if refused else None
            assert await outcome(Registry([method], public_view=public_view), method, who) == expected


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
    """Two methods of one name are rejected at the start."""
    method = Method("a.b", NoParams, nothing)
    with pytest.raises(ValueError, match=r"a\.b"):
        Registry([method, Method("c", NoParams, nothing, aliases=("a.b",))], public_view=True)


@pytest.mark.parametrize("kind", list(Kind))
def test_subscriptions_need_a_websocket(kind: Kind) -> None:
    """Subscriptions need a WebSocket; all other methods are served over HTTP too."""
    expected = kind in {Kind.CALL, Kind.WRITE}
    assert Method("m", NoParams, nothing, kind=kind).over_http is expected


async def test_write_is_waited_for() -> None:
    """Over HTTP a write is answered when it has committed."""

    class Pending:
        def on_done(self, callback: Callable[[Any], None]) -> None:
            raise AssertionError(callback)

        def result(self) -> Json:
            raise AssertionError

        async def wait(self) -> Json:
            return Json(b'"written"')

    method = Method("m", NoParams, lambda *_: Pending(), kind=Kind.WRITE)
    assert (await run(Registry([method], public_view=True), method, client(), {})).data == b'"written"'


async def test_reply_is_data_or_a_reply() -> None:
    """Data alone becomes a reply without further effects."""
    full = Reply(data={"a": 1}, login=Login("token", "visitor"), announcement={"b": 2})

    async def login(_: Call, __: NoParams) -> Reply:
        return full

    method = Method("m", NoParams, login)
    assert await run(Registry([method], public_view=True), method, client()) is full
    method = Method("m", NoParams, nothing)
    assert await run(Registry([method], public_view=True), method, client()) == Reply(data=b"null")

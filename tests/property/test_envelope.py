"""Any text leaves the connection open and causes no InternalServerError."""

import json
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.support.client import Client, Frame
from tests.support.examples import for_all
from tests.support.halls import make_hall
from tests.support.server import RunningServer

METHODS = (
    *("user.status", "user.subscribe", "user.unsubscribe", "user.auth_start", "user.auth_reset", "user.register"),
    *("user.login", "user.recovery_phrase", "user.save_recovery_phrase", "user.recover"),
    *("cinemas.get_cinemas", "cinema.get_cinemas", "cinemas.subscribe", "cinemas.unsubscribe"),
    *("hall.get", "hall.subscribe", "hall.unsubscribe", "hall.update_seat_status", "hall.update_seats"),
)
"""All but user.logout, which closes the connection by design."""

FIELDS = (
    *("id", "since", "epoch", "sub_eid", "username", "code", "phrase"),
    *("hall_id", "seat_id", "status", "expected", "note", "key", "seats"),
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    texts,
    st.integers(-(2**70), 2**70),
    st.integers(0, 8),
    st.floats(),
    st.sampled_from(["VACANT", "reserved", "OCCUPIED", "MAINTENANCE", "anna", "123456", "e", "1"]),
    st.uuids().map(str),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | texts, inner, max_size=5),
    max_leaves=12,
)
requests = st.fixed_dictionaries(
    {"type": st.sampled_from(METHODS), "data": st.dictionaries(st.sampled_from(FIELDS), values, max_size=7)},
    optional={"eid": st.sampled_from(["e", "f", 1]) | values, "ts": values},
)
misshapen = st.dictionaries(st.sampled_from(["type", "data", "eid", "ts"]) | texts, values, max_size=5)
messages = texts | (values | misshapen | requests | requests | requests).map(json.dumps)


async def frames_until(client: Client, eid: str) -> list[Frame]:
    """All frames up to the answer under that eid."""
    frames = [await client.frame()]
    while frames[-1]["eid"] != eid:
        frames.append(await client.frame())
    return frames


def check(frame: Frame) -> None:
    """A frame has the protocol's envelope."""
    assert {"type", "status", "data", "error", "eid", "ts"} <= set(frame) <= {*frame, "message", "retry_after"}
    assert frame["status"] in {"success", "snapshot", "update", "error"}
    assert isinstance(frame["eid"], str)
    assert isinstance(frame["type"], str)
    assert frame["error"] != "InternalServerError"
    assert (frame["error"] is not None) == (frame["status"] == "error") == ("message" in frame)


@pytest.mark.parametrize("signed_in", [True, False])
async def test_arbitrary_messages(server: RunningServer, signed_in: bool) -> None:
    """Any text, any JSON, any request however misshapen is answered with valid frames, and what follows it as well."""
    await make_hall(server)
    async with server.client(await server.token("anna") if signed_in else None) as client:
        count = 0

        async def is_survived(message: str) -> None:
            nonlocal count
            count += 1
            await client.raw(message)
            await client.send("user.status", eid=f"after {count}")
            for frame in await frames_until(client, f"after {count}"):
                check(frame)

        await for_all(messages, is_survived, 150)


async def test_arbitrary_eids(server: RunningServer) -> None:
    """Any string of at most 128 bytes and any integer is echoed; anything else is a ValidationError."""
    async with server.client() as client:

        async def is_echoed(eid: Any) -> None:
            await client.raw(json.dumps({"type": "user.status", "eid": eid}))
            frame = await client.frame()
            if isinstance(eid, str):
                fits = len(eid.encode()) <= 128
            else:
                fits = isinstance(eid, int) and not isinstance(eid, bool)
            assert frame["error"] == (None if fits else "ValidationError")
            assert not fits or frame["eid"] == str(eid)

        sizes = st.integers(0, 140).flatmap(lambda size: st.text("aé€🎬", min_size=size, max_size=size))
        finite = st.floats(allow_nan=False, allow_infinity=False)
        others = st.none() | st.booleans() | st.lists(texts, max_size=2)
        await for_all(
            texts | sizes | st.integers() | st.integers(-(10**120), 10**120) | finite | others, is_echoed, 100
        )

"""The standard library's JSON in the place of orjson: as strict, and the same bytes."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatsync import jsontext

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_both_write_the_same(value: Any) -> None:
    """A client cannot tell which of them wrote its message."""
    text = jsontext.plain_dumps(value)
    assert text == jsontext.dumps(value)
    assert jsontext.plain_loads(text) == jsontext.loads(text)


def test_times_and_uuids_are_strings() -> None:
    """They are written as the rest of the world writes them."""
    value = {"at": datetime(2026, 11, 27, 5, 30, tzinfo=UTC), "id": UUID(int=1)}
    assert jsontext.plain_dumps(value) == jsontext.dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b"",
        b"{",
        b"[1,]",
        b"NaN",
        b"1e400",
        b"[-Infinity]",
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b"[" * 100_000,
        b"1" * 5000,
    ],
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    """One error for everything that is malformed, not UTF-8 or too deep; numbers of any length do no harm."""
    for loads in (jsontext.loads, jsontext.plain_loads):
        with pytest.raises(jsontext.JSONDecodeError):
            loads(text)


@pytest.mark.parametrize("value", [object(), "\ud800", float("nan") + 0j])
def test_what_json_cannot_express_is_an_error(value: Any) -> None:
    """A value without a JSON form is a `TypeError`."""
    for dumps in (jsontext.dumps, jsontext.plain_dumps):
        with pytest.raises(TypeError):
            dumps(value)

"""The parameters of methods: structured, or refused with the path of the bad field."""

from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import Attribute, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from seatsync import errors
from seatsync.core.protocol.params import Id, NoParams, structure


def _no_seven(_: Any, __: "Attribute[Any]", value: int) -> None:
    if value == 7:
        raise errors.InvalidUsername


@frozen
class Inner:
    """An item of a list."""

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


@frozen
class Span:
    """A field of which Python has a keyword."""

    from_: int


def test_parameters_are_structured() -> None:
    """Parameters are structured into the declared types; unknown fields are ignored."""
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
    """The message has the path of the first bad field and the type it needs; nothing is coerced."""
    with pytest.raises(errors.ValidationError) as caught:
        structure(data, Params)
    assert caught.value.message == message


def test_a_keyword_of_python_is_a_name_on_the_wire() -> None:
    """The field has an underscore behind it, which no client sends or reads."""
    assert structure({"from": 3}, Span).from_ == 3
    with pytest.raises(errors.ValidationError, match=r"^from: is missing\.$"):
        structure({"from_": 3}, Span)
    with pytest.raises(errors.ValidationError, match=r"^from: an integer is needed\.$"):
        structure({"from": "3"}, Span)


def test_error_of_a_rule_passes_through() -> None:
    """The error of a field's own validator is raised unchanged."""
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
    """Any data are structured, or refused with the error of a field."""
    with suppress(errors.ValidationError, errors.InvalidUsername):
        assert isinstance(structure(data, Params), Params)

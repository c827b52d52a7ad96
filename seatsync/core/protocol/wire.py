"""The vocabulary of declarations: what is received and sent, as attrs classes from which the schemas are made.

A class declares of a field: its name, with an underscore behind it if Python has a keyword of that name; its type, and
in ``Annotated`` further `Keywords` of JSON Schema, where ``title`` names a type that several fields share; a `Rule` as
its validator; and what it means, in the string below it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import attrs

from seatsync import errors

#: Declares an object that is sent. It has no `__init__`: PostgreSQL makes most of that JSON, and nothing an instance.
sent = partial(attrs.define, init=False, repr=False, eq=False, slots=False, kw_only=True)

#: The default of a field that may be absent from what is sent, and is never null.
OPTIONAL: Any = None

#: The metadata of a parameter that has a default only so that a missing one ends in an error of its own.
REQUIRED = {"required": True}


class Keywords:
    """Keywords of JSON Schema, for ``Annotated``."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords


Count = Annotated[int, Keywords(minimum=0)]

Timestamp = Annotated[
    str,
    Keywords(
        title="Timestamp",
        description="ISO 8601 in UTC with milliseconds, as JavaScript's toISOString.",
        format="date-time",
        pattern=r"^\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
    ),
]

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


@attrs.frozen
class Rule:
    """A validator of attrs that states what it checks."""

    check: Validator
    keywords: Mapping[str, Any]
    """Keywords of JSON Schema: what they admit, the check admits."""

    def __call__(self, instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        """Check a value."""
        self.check(instance, attribute, value)


def rule(**keywords: Any) -> Callable[[Validator], Rule]:
    """Make a function a `Rule` with these keywords."""
    return lambda check: Rule(check, keywords)


def needs(holds: Callable[[Any], object], sentence: str, **keywords: Any) -> Rule:
    """A `Rule` for a value that is given; where it does not hold, the sentence follows the field's name."""

    @rule(**keywords)
    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is not None and not holds(value):
            raise errors.ValidationError(f"{attribute.name.rstrip('_')}: {sentence}")

    return check


@sent
class Done:
    """It is done."""

    success: Literal[True]

"""Check the values of a plan by the keywords of `seatsync.plan.model`."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

import attrs
from attrs import frozen

from seatsync.core.protocol.wire import Keywords
from seatsync.plan.model import Plan, Seat

#: Of a value that is refused, so many characters are shown.
_SHOWN = 40


@frozen
class Rule:
    """The rule for a number or a text."""

    kind: type
    keywords: Mapping[str, Any]

    def refusal(self, value: Any) -> str | None:
        """The fault of the value, or ``None``."""
        return None if self._admits(value) else f"{self._needed()} is needed, not {shown(value)}"

    def _admits(self, value: Any) -> bool:
        keywords = self.keywords
        if self.kind is str:
            return (
                type(value) is str
                and len(value) <= keywords["maxLength"]
                and re.fullmatch(keywords["pattern"], value) is not None
            )
        if type(value) is not int and (self.kind is int or type(value) is not float):
            return False
        above = value > keywords["exclusiveMinimum"] if "exclusiveMinimum" in keywords else value >= keywords["minimum"]
        return bool(above and value <= keywords["maximum"])

    def _needed(self) -> str:
        keywords = self.keywords
        if self.kind is str:
            return f"a text of 1 to {keywords['maxLength']} characters, without control characters or blanks at an end,"
        what = "a whole number" if self.kind is int else "a number"
        if "exclusiveMinimum" in keywords:
            return f"{what} above {keywords['exclusiveMinimum']} and up to {keywords['maximum']}"
        return f"{what} from {keywords['minimum']} to {keywords['maximum']}"


def shown(value: Any) -> str:
    """The beginning of a value, as JSON."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _rules(cls: type) -> dict[str, Rule]:
    """The rules of the fields that are a number or a text."""
    found = {}
    for one in attrs.fields(cls):
        for type_ in (one.type, *get_args(one.type)):
            if get_origin(type_) is Annotated and get_args(type_)[0] in {int, float, str}:
                kind, keywords = get_args(type_)
                assert isinstance(keywords, Keywords)  # noqa: S101 - for mypy; it is declared so
                found[one.name] = Rule(kind, keywords.keywords)
    return found


SEAT = _rules(Seat)
PLAN = _rules(Plan)

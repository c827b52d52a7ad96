"""The lines of a JSON text on which its values begin."""

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed does not know it

from seatsync.plan.faults import Path

_SPACE = re.compile(r"[ \t\r\n]*")


class Lines:
    """Finds values in a text that is known to be JSON. An object's members and a list's items are looked up once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._skip = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
        self._members: dict[int, dict[str | int, int]] = {}

    def locate(self, path: Path) -> str:
        """The place of a value, for a person: ``line 43, seats[14].row``; of a missing one, where it belongs."""
        if not path:
            return ""
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        try:
            return f"line {self._line(path)}, {steps.lstrip('.')}"
        except RecursionError:  # something is nested too deep to be skipped
            return steps.lstrip(".")

    def _line(self, path: Path) -> int:
        at = self._past_space(0)
        for step in path:
            if at not in self._members:
                self._members[at] = dict(self._found(at))
            if step not in self._members[at]:
                break
            at = self._members[at][step]
        return self._text.count("\n", 0, at) + 1

    def _found(self, at: int) -> Iterator[tuple[str | int, int]]:
        """The members of the object or the items of the list that begins there, and where their values begin."""
        if self._text[at] not in "{[":
            return
        is_object, index = self._text[at] == "{", 0
        at = self._past_space(at + 1)
        while self._text[at] not in "}]":
            key: str | int = index
            if is_object:
                key, at = scanstring(self._text, at + 1, True)
                at = self._past_space(self._past_space(at) + 1)
            yield key, at
            at = self._past_space(self._skip(self._text, at)[1])
            if self._text[at] == ",":
                at = self._past_space(at + 1)
            index += 1

    def _past_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return at if found is None else found.end()

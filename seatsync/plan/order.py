"""Numbers for rows and places that a file has names for only."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from seatsync.plan.draft import Entry


def number(entries: Iterable[Entry], name: str, group: Callable[[Entry], Hashable]) -> None:
    """Number the rows, or the places, of each group in their order there, where any of them is no number.

    What stood there becomes the label. Where any has a label, all have to be numbers.
    """
    label = f"{name}_label"
    groups: dict[Hashable, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(group(entry), []).append(entry)
    for members in groups.values():
        found = [entry.values.get(name) for entry in members]
        if all(type(value) is not str for value in found) or any(entry.values.get(label) for entry in members):
            continue
        numbers: dict[Any, int] = {}
        for entry, value in zip(members, map(_text, found), strict=True):
            if value is not None:
                order = numbers.setdefault(value, len(numbers) + 1)
                entry.values = {**entry.values, name: order, label: None if value == str(order) else value}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)

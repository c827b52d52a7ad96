"""Where a channel reads from: the full state of something, and what has changed since a revision of it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import frozen


@frozen
class Snapshot:
    """The full state at one revision."""

    rev: int
    epoch: str
    data: bytes


@frozen
class Changes:
    """What the database has after a revision."""

    rev: int
    epoch: str
    data: bytes | None
    """``None`` when it no longer has everything, or the layout changed: only a snapshot helps."""


class Source(Protocol):
    """Where a channel reads from. Each method raises the domain's not-found error, or `ServiceUnavailable`."""

    async def snapshot(self, key: int) -> Snapshot:
        """The full state now."""

    async def changes(self, key: int, since: int, epoch: str) -> Changes:
        """What came after a revision of an epoch."""

    async def revs(self, keys: Sequence[int]) -> Mapping[int, tuple[int, str]]:
        """The revision and epoch of each of these that still exists."""

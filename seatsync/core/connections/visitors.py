"""The logins and logouts of the last seconds: which ids name one visitor, and what handshakes under way have missed."""

import trio
from attrs import define, field

from seatsync.core.protocol.registry import Json
from seatsync.core.timing import Timing


@define(eq=False)
class Visitors:
    """Visitors by alias. Each login gives a visitor another id, so an old id means that a request was under way."""

    _timing: Timing
    _links: dict[frozenset[str], float] = field(factory=dict)
    """When an id replaced another, for each such pair; the oldest first."""
    _missed: dict[str, tuple[float, Json]] = field(factory=dict)
    """When a visitor was last announced something, and what, for its ids that were replaced; the oldest first."""

    def changed(self, visitor: str, successor: str | None, state: Json) -> set[str]:
        """A visitor has a new login state, and another id if there is a ``successor``; returns all its ids."""
        now = trio.current_time()
        self._forget(now)
        if successor is not None:
            self._links[frozenset((visitor, successor))] = now
            self._missed[visitor] = now, state
        ids = self._ids(visitor)
        for old in ids & self._missed.keys():
            del self._missed[old]
            self._missed[old] = now, state
        return ids

    def missed(self, visitor: str) -> Json | None:
        """The login state that was announced while a handshake with that id was under way."""
        self._forget(trio.current_time())
        found = self._missed.get(visitor)
        return None if found is None else found[1]

    def _ids(self, visitor: str) -> set[str]:
        ids, links = {visitor}, set(self._links)
        while found := {link for link in links if not ids.isdisjoint(link)}:
            ids.update(*found)
            links -= found
        return ids

    def _forget(self, now: float) -> None:
        while self._links and now - next(iter(self._links.values())) > self._timing.former_visitor_s:
            del self._links[next(iter(self._links))]
        while self._missed and now - next(iter(self._missed.values()))[0] > self._timing.announced_s:
            del self._missed[next(iter(self._missed))]

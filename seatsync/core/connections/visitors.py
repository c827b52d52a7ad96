"""The logins and logouts of the last seconds: which ids name one visitor, and what handshakes under way have missed."""

import trio
from attrs import define, field

from seatsync.core.protocol.registry import Json
from seatsync.core.timing import Timing


@define(eq=False)
class Visitors:
    """Visitors by alias. Each login gives a visitor another id, so an old id means that a request was under way."""

    _timing: Timing
    _links: dict[tuple[str, str], float] = field(factory=dict)
    """When an id was replaced by another, for each such pair; the oldest first."""
    _linked: dict[str, set[str]] = field(factory=dict)
    """The ids that each id of a pair is paired with."""
    _missed: dict[str, tuple[float, Json]] = field(factory=dict)
    """When a visitor was last announced something, and what, for its ids that were replaced; the oldest first."""

    def changed(self, visitor: str, successor: str | None, state: Json) -> set[str]:
        """A visitor has a new login state, and another id if there is a ``successor``; returns all its ids."""
        now = trio.current_time()
        self._forget(now)
        if successor is not None:
            self._links[visitor, successor] = now
            self._linked.setdefault(visitor, set()).add(successor)
            self._linked.setdefault(successor, set()).add(visitor)
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
        ids, found = {visitor}, [visitor]
        while found:
            new = self._linked.get(found.pop(), set()) - ids
            ids |= new
            found += new
        return ids

    def _forget(self, now: float) -> None:
        while self._links and now - next(iter(self._links.values())) > self._timing.former_visitor_s:
            pair = next(iter(self._links))
            del self._links[pair]
            for one, other in (pair, pair[::-1]):
                self._linked[one].discard(other)
                if not self._linked[one]:
                    del self._linked[one]
        while self._missed and now - next(iter(self._missed.values()))[0] > self._timing.announced_s:
            del self._missed[next(iter(self._missed))]

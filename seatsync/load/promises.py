"""Changes that were answered with success: whatever happens afterwards, they have to be in the hall."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from seatsync.load.view import View


@frozen
class Promise:
    """A seat as an answer had it."""

    rev: int
    status: str
    updated_at: str


@define
class Promises:
    """The newest answer about each seat of a hall that this process has changed."""

    rev: int = 0
    """The highest revision among the answers."""
    _by_seat: dict[int, Promise] = field(factory=dict)

    def __len__(self) -> int:
        return len(self._by_seat)

    def keep(self, rev: int, seats: Sequence[Mapping[str, Any]]) -> None:
        """An answer; answers about one seat may come in any order."""
        self.rev = max(self.rev, rev)
        for seat in seats:
            known = self._by_seat.get(seat["id"])
            if known is None or known.rev <= rev:
                self._by_seat[seat["id"]] = Promise(rev, seat["status"], seat["updated_at"])

    def broken(self, view: View) -> Iterator[str]:
        """The seats, in words, that neither are as was promised nor were changed since then.

        The times are the database's, in ISO 8601, so their order is that of the text.
        """
        for seat_id, promise in self._by_seat.items():
            status, updated_at, _ = view.seats.get(seat_id, ("not there", "", None))
            if (status, updated_at) != (promise.status, promise.updated_at) and updated_at <= promise.updated_at:
                yield (
                    f"Seat {seat_id} was made {promise.status} at {promise.updated_at} (revision {promise.rev}), "
                    f"so it was answered, and is {status} since {updated_at or 'never'}"
                )

"""Frames of a small hall, for tests of the verifier."""

import json
from typing import Any

from attrs import define, field

from seatsync.load.stats import Stats
from seatsync.load.verifier import Verifier
from seatsync.load.view import Views

SEATS = (1, 2, 3)


def seat(number: int, status: str, rev: int) -> dict[str, Any]:
    """A seat as updates have it."""
    return {
        "id": number,
        "status": status,
        "updated_at": f"2026-01-01T00:00:{rev:02}.000Z",
        "note": None,
        "hold_until": None,
    }


def counts(occupied: int) -> list[dict[str, Any]]:
    """The only seat type's counts."""
    total = len(SEATS)
    each = {"VACANT": total - occupied, "RESERVED": 0, "OCCUPIED": occupied, "MAINTENANCE": 0}
    return [{"id": 1, "seats_count": total, "seats": each}]


def envelope(status: str, data: Any, eid: str = "e", **more: Any) -> bytes:
    """A message as the server writes it."""
    message = {"type": "hall.subscribe", "status": status, "data": data, "error": None, "eid": eid}
    return json.dumps({**message, **more, "ts": 1767225600000}, separators=(",", ":")).encode()


def update(rev: int, *numbers: int, first: int | None = None, status: str = "OCCUPIED", **more: Any) -> dict[str, Any]:
    """The data of an update: these seats got the status."""
    covers = {} if first is None else {"from": first}
    seats = [seat(number, status, rev) for number in numbers]
    return {"id": 7, **covers, "rev": rev, "seats": seats, "seat_types": counts(len(numbers)), **more}


def snapshot(rev: int, occupied: tuple[int, ...] = (), epoch: str = "a", since: int = 0) -> dict[str, Any]:
    """The data of a snapshot: these seats are taken since a revision."""
    seats = [seat(number, *(("OCCUPIED", since) if number in occupied else ("VACANT", 0))) for number in SEATS]
    return {"id": 7, "rev": rev, "epoch": epoch, "seats": seats, "seat_types": counts(len(occupied))}


@define
class Verification:
    """Verifiers that share views, and the faults they find."""

    views: Views = field(factory=Views)
    stats: Stats = field(factory=Stats)

    def verifier(self, name: str = "Subscriber 1", eid: str = "e") -> Verifier:
        """A subscriber's verifier."""
        return Verifier(name, eid, self.views, self.stats)

    def faults(self) -> dict[str, int]:
        """How many faults of each kind were found."""
        return {kind.name: count for kind, count in self.stats.faults.items() if count}

    def sentences(self) -> list[str]:
        """The faults as sentences."""
        return [fault.text for fault in self.stats.first_faults]


def feed(verifier: Verifier, *messages: bytes, now: float = 0.0) -> None:
    """Pass messages to a verifier as a connection does: as parts of what it received."""
    for message in messages:
        data = b"\x81\x7e" + message + b"\x81"
        verifier.text(data, 2, 2 + len(message), now)

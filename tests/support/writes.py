"""Requests to change seats, as the server passes them to PostgreSQL."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from attrs import frozen

from seatsync.core.postgres.queries import load
from tests.support.sql import Row, Session, User

WRITE = load("hall")["write"].sql


@frozen
class Item:
    """One seat of a request."""

    seat: int
    status: str
    expected: str | None = None
    note: str | None = None
    hold: int | None = None


@frozen
class Request:
    """One request: some seats of a hall, all or none."""

    user: User
    hall: int
    items: Sequence[Item]
    key: UUID | None = None
    digest: bytes = b"parameters"


@frozen
class Outcome:
    """The outcome of a request."""

    code: str | None
    message: str | None
    data: dict[str, Any] | None


def arguments(requests: Sequence[Request]) -> list[list[Any]]:
    """The parameters of the query."""
    items = [(number, item) for number, request in enumerate(requests, 1) for item in request.items]
    return [
        [request.hall for request in requests],
        [request.user.id for request in requests],
        [request.user.session for request in requests],
        [request.key for request in requests],
        [request.digest if request.key else None for request in requests],
        [number for number, _ in items],
        [item.seat for _, item in items],
        [item.status for _, item in items],
        [item.expected for _, item in items],
        [item.note for _, item in items],
        [item.hold for _, item in items],
    ]


def outcomes(rows: Sequence[Row]) -> list[Outcome]:
    """The outcome of each request, in order."""
    assert [row["request"] for row in rows] == list(range(1, len(rows) + 1))
    return [Outcome(row["code"], row["message"], json.loads(row["data"]) if row["data"] else None) for row in rows]


def write(session: Session, *requests: Request) -> list[Outcome]:
    """Send requests in one batch."""
    return outcomes(session.rows(WRITE, *arguments(requests)))


def write_seat(session: Session, user: User, hall: int, seat: int, status: str, **more: Any) -> Outcome:
    """Change one seat."""
    (outcome,) = write(session, Request(user, hall, [Item(seat, status, **more)]))
    return outcome

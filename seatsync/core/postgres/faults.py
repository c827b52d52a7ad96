"""The errors of PostgreSQL, by what a caller can do about them.

::

    ServiceUnavailable
    └── DatabaseUnavailable
        ├── DatabaseGone       there is no connection, or none any more, or the server cannot serve
        ├── DatabaseTooSlow    no answer by the deadline
        └── DatabaseFull       the server has no room for the answer or the change
    InternalServerError
    └── DatabaseRejected       the answer is an error
"""

from typing import ClassVar

from seatsync import errors

# SQLSTATE classes of faults of the values: data exceptions, integrity constraints, check options, errors raised by
# triggers (PostgreSQL, appendix A).
_DATA = ("22", "23", "44", "P0")


class DatabaseUnavailable(errors.ServiceUnavailable, code="ServiceUnavailable"):
    """No answer from PostgreSQL. ``str`` is the reason, in one line, for logs; clients read ``for_clients``.

    ``sqlstate`` is PostgreSQL's, ``""`` where the fault has none.
    """

    for_clients: ClassVar[str] = errors.ServiceUnavailable.sentence()

    def __init__(self, reason: str, sqlstate: str = "") -> None:
        super().__init__(self.for_clients, retry_after=1.0)
        self.reason = " ".join(reason.split()) or "no reason was given"
        self.sqlstate = sqlstate

    def __str__(self) -> str:
        return self.reason


class DatabaseGone(DatabaseUnavailable, code="ServiceUnavailable"):
    """There is no connection, or none any more, or the server cannot serve. The session is closed."""


class DatabaseTooSlow(DatabaseUnavailable, code="ServiceUnavailable"):
    """No answer by the deadline; a statement may have been executed."""

    for_clients = "The database took too long; try again in a moment."


class DatabaseFull(DatabaseUnavailable, code="ServiceUnavailable"):
    """The server has no disk, memory or notification queue left for a statement, which is rolled back."""

    for_clients = "The database has no room for that just now; try again in a moment."


class DatabaseRejected(errors.InternalServerError, code="InternalServerError"):
    """PostgreSQL rejected a statement. ``detail`` is its DETAIL line, ``""`` without one."""

    def __init__(self, sqlstate: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.detail = detail

    @property
    def is_about_data(self) -> bool:
        """The values violate a constraint or a trigger's rule; the same statement may succeed with others."""
        return self.sqlstate.startswith(_DATA)

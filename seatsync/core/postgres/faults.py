"""The errors of PostgreSQL, by what a caller can do about them.

::

    ServiceUnavailable
    └── DatabaseUnavailable
        ├── DatabaseGone       there is no connection, or none any more, or the server cannot serve
        └── DatabaseTooSlow    no answer by the deadline
    InternalServerError
    └── DatabaseRejected       the answer is an error
"""

from seatsync import errors

# SQLSTATE classes of faults of the values: data exceptions, integrity constraints, check options, errors raised by
# triggers (PostgreSQL, appendix A).
_DATA = ("22", "23", "44", "P0")


class DatabaseUnavailable(errors.ServiceUnavailable, code="ServiceUnavailable"):
    """No answer from PostgreSQL. ``str`` is the reason, for logs; clients read the message of `ServiceUnavailable`."""

    def __init__(self, reason: str) -> None:
        super().__init__(errors.ServiceUnavailable.sentence(), retry_after=1.0)
        self.reason = reason.strip()

    def __str__(self) -> str:
        return self.reason


class DatabaseGone(DatabaseUnavailable, code="ServiceUnavailable"):
    """There is no connection, or none any more, or the server cannot serve. The session is closed."""


class DatabaseTooSlow(DatabaseUnavailable, code="ServiceUnavailable"):
    """No answer by the deadline; a statement may have been executed."""


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

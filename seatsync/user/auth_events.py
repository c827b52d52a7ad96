"""Events of accounts: recorded in the table ``auth_event`` by the database, logged and counted from there.

Triggers record what changes a row, whoever changes it. A failure changes none and is recorded by the server. Each event
is handed to one server, which writes its line and counts it; no sampling leaves it out.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

import structlog
import trio
from attrs import define, field

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.session import Row
from seatsync.core.protocol.call import Call
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.telemetry.sampling import REFUSALS, Lines
from seatsync.core.timing import Timing
from seatsync.user.store import QUERIES, digest

#: The events, and the reasons that they may have. Another reason, which SQL may invent, is counted as ``other``.
REASONS: Final[dict[str, tuple[str, ...]]] = {
    "auth.login_failed": ("wrong_code", "wrong_phrase", "unknown_user", "waiting", "locked_out", "flood"),
    "auth.locked": ("unknown_clients", "device", "network"),
    "auth.registered": ("registration", "command", "sql"),
    "auth.recovered": ("recovery", "command", "sql"),
    "auth.role_changed": ("command", "sql"),
    "auth.disabled": ("command", "sql"),
    "auth.enabled": ("command", "sql"),
    "auth.deleted": ("command", "sql"),
    "auth.session_ended": (
        *("logout", "ended", "login", "registration", "recovery", "role", "disabled", "deletion", "expiry", "idle"),
        *("command", "sql"),
    ),
    "auth.key_used_first": ("key",),
}

#: Events of one query.
BATCH = 500

_FAILURES: Final[dict[type[errors.SeatSyncError], str]] = {
    errors.InvalidCode: "wrong_code",
    errors.InvalidRecoveryPhrase: "wrong_phrase",
    errors.UserNotFound: "unknown_user",
}

logger = structlog.get_logger(__name__)


def failures_recorded(
    db: Database, run: Callable[[Call, Any], Awaitable[Any]]
) -> Callable[[Call, Any], Awaitable[Any]]:
    """The method ``run``, with its failed attempts recorded; those that are not looked at are by the queries.

    Raises what ``run`` does, and `ServiceUnavailable` for a failure that cannot be recorded.
    """

    @wraps(run)
    async def recorded(call: Call, params: Any) -> Any:
        try:
            return await run(call, params)
        except tuple(_FAILURES) as error:
            client = call.client
            username = getattr(params, "username", client.username)
            args = (username, _FAILURES[type(error)], client.address, digest(client.visitor))
            await db.execute(QUERIES["record_failure"], *args)
            raise

    return recorded


@define(eq=False)
class AuthLog:
    """Logs and counts the events that no server has yet, those of plain SQL included."""

    _db: Database
    _metrics: Metrics
    _timing: Timing = Timing()
    _lines: Lines = field(factory=lambda: Lines(*REFUSALS))

    async def run(self) -> None:
        """Look for events every `Timing.auth_log_s` until cancelled; a cancellation may lose the lines of a batch."""
        while True:
            try:
                while len(rows := await self._db.fetch(QUERIES["take_auth_events"], BATCH)) == BATCH:
                    self._write(rows)
                self._write(rows)
            except errors.ServiceUnavailable:
                pass  # the pool reports it, and nothing is lost
            except DatabaseRejected as error:
                self._lines.write(logger.warning, "auth_events_not_logged", error=str(error))
            await trio.sleep(self._timing.auth_log_s)

    def _write(self, rows: list[Row]) -> None:
        for row in rows:
            event, reason, times = row["event"], row["reason"], row["times"]
            known = reason if reason in REASONS.get(event, ()) else "other"
            self._metrics.auth_events[event if event in REASONS else "other", known] += times
            fields = {name: row[name] for name in ("address", "device", "detail") if row[name] is not None}
            if times > 1:
                fields["times"] = times
            write = logger.warning if event == "auth.locked" else logger.info
            write(
                event,
                user=row["username"],
                user_id=row["user_id"],
                reason=reason,
                **fields,
                db_role=row["db_role"],
                at=row["at"].isoformat(timespec="milliseconds"),
            )

"""A user's sessions: ``user.sessions`` and ``user.end_sessions``, and the same for the command line."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
import trio
from attrs import Attribute, define, field, frozen

from seatsync import errors
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.session import Row
from seatsync.core.protocol.call import Call, Client, Identity
from seatsync.core.protocol.params import NoParams
from seatsync.core.protocol.registry import Access, Method
from seatsync.core.protocol.wire import rule
from seatsync.user.last_seen import LastSeen
from seatsync.user.messages import SessionsEnded, UserSession
from seatsync.user.store import QUERIES, digest

#: Ids in one request at most: as many as ``user.sessions`` shows.
MAX_IDS = 1000

#: For the notes of this server to be written first, in seconds: without the latest the list is right, too.
NOTES_S = 0.5

logger = structlog.get_logger(__name__)


async def sessions_of(db: Database, user_id: int, idle_hours: int) -> list[Row]:
    """A user's live sessions as ``user.sessions`` shows them, but for ``current``: the newest first, 1,000 at most.

    ``idle_hours`` is `Settings.session_idle_hours`. The user agent is the client's word: print it with
    `seatsync.terminal.write_lines`.
    """
    return await db.fetch(QUERIES["sessions_of"], user_id, idle_hours)


async def end_sessions(
    db: Database,
    user_id: int,
    idle_hours: int,
    *,
    ids: Sequence[str] | None = None,
    keep: UUID | None = None,
    client: Client | None = None,
) -> int:
    """End a user's live sessions, all or those with these ids, but for ``keep``; returns their number.

    Their sockets are closed with 4001, on every server. It is recorded as done by ``client``, without one by a command.
    """
    wanted = None if ids is None else [*_session_ids(ids)]
    origin = (None, None, "command") if client is None else (client.address, digest(client.visitor), "ended")
    return int(await db.fetchval(QUERIES["end_sessions"], user_id, idle_hours, wanted, keep, *origin))


def _session_ids(ids: Sequence[str]) -> Iterator[UUID]:
    """Those that can be ids; the database takes no others, such as one with a NUL in it."""
    for one in ids:
        with suppress(ValueError):
            yield UUID(one)


async def identity_of(call: Call) -> Identity:
    """The identity behind a call of an `Access.USER` method."""
    identity = await call.client.identify()
    if identity is None:
        raise errors.Unauthorized
    return identity


@rule(maxItems=MAX_IDS)
def _few(_: Any, attribute: "Attribute[Any]", ids: list[str] | None) -> None:
    if ids is not None and len(ids) > MAX_IDS:
        raise errors.ValidationError(f"{attribute.name}: at most {MAX_IDS} at once.")


@frozen
class Chosen:
    """Sessions by the ids that ``user.sessions`` shows; without ids all but the caller's."""

    ids: list[str] | None = field(default=None, validator=_few)


@define(eq=False)
class SessionMethods:
    """The API of a user's own sessions."""

    _db: Database
    _seen: LastSeen
    _idle_hours: int

    def table(self) -> tuple[Method, ...]:
        """The methods of sessions."""
        return (
            Method("user.sessions", NoParams, self.show, Access.USER, people_only=True, result=list[UserSession]),
            Method("user.end_sessions", Chosen, self.end, Access.USER, people_only=True, result=SessionsEnded),
        )

    async def show(self, call: Call, _: NoParams) -> list[dict[str, Any]]:
        """The sessions of the caller's user, with what has been noted here until now."""
        identity = await identity_of(call)
        with trio.move_on_after(NOTES_S):
            await self._seen.write()
        sessions = await sessions_of(self._db, identity.user_id, self._idle_hours)
        return [{**row, "current": row["id"] == str(identity.session_id)} for row in sessions]

    async def end(self, call: Call, params: Chosen) -> dict[str, int]:
        """End some of them, or all but the caller's own; ids that are none of them are passed over."""
        identity = await identity_of(call)
        keep = identity.session_id if params.ids is None else None
        ended = await end_sessions(
            self._db, identity.user_id, self._idle_hours, ids=params.ids, keep=keep, client=call.client
        )
        if ended:
            logger.info("sessions_ended", user=identity.username, sessions=ended, address=call.client.address)
        return {"ended": ended}

"""A user's sessions: ``user.sessions`` and ``user.end_sessions``."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
import trio
from attrs import define, field, frozen

from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.session import Row
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.params import NoParams
from seatsync.core.protocol.registry import Access, Method
from seatsync.core.protocol.wire import needs
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


_few = needs(lambda ids: len(ids) <= MAX_IDS, f"at most {MAX_IDS} at once.", maxItems=MAX_IDS)


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
        identity = call.identity
        with trio.move_on_after(NOTES_S):
            await self._seen.write()
        sessions = await sessions_of(self._db, identity.user_id, self._idle_hours)
        return [{**row, "current": row["id"] == str(identity.session_id)} for row in sessions]

    async def end(self, call: Call, params: Chosen) -> dict[str, int]:
        """End some of them, or all but the caller's own; ids that are none of them are passed over."""
        identity = call.identity
        wanted, keep = (None, identity.session_id) if params.ids is None else ([*_uuids(params.ids)], None)
        args = (identity.user_id, self._idle_hours, wanted, keep, call.client.address, digest(call.client.visitor))
        ended = await self._db.fetchval(QUERIES["end_sessions"], *args)
        if ended:
            logger.info("sessions_ended", user=identity.username, sessions=ended, address=call.client.address)
        return {"ended": ended}


def _uuids(ids: Sequence[str]) -> Iterator[UUID]:
    """Those that can be ids; the database takes no others, such as one with a NUL in it."""
    for one in ids:
        with suppress(ValueError):
            yield UUID(one)

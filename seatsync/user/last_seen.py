"""When each session was used last: noted without waiting, and written in batches, so that no handshake waits for it."""

from collections.abc import Callable, Iterable
from itertools import islice
from uuid import UUID

import structlog
import trio
from attrs import define, field

from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from seatsync.core.timing import Timing
from seatsync.errors import ServiceUnavailable
from seatsync.user.store import QUERIES

#: Sessions that one statement marks at most: it takes milliseconds.
MAX_ROWS = 500

logger = structlog.get_logger(__name__)

#: An address and a user agent; neither for a socket that is still open.
_Use = tuple[str | None, str | None]


@define(eq=False)
class LastSeen:
    """The uses of sessions on this server that the database does not have yet, the last of each session.

    A session that has been out of use for ``idle_hours`` meanwhile has ended, unless its socket is open. The database
    is written to once in four minutes for each session, and when its address or user agent is another than before.
    """

    _db: Database
    _idle_hours: int
    _timing: Timing = Timing()
    _noted: dict[UUID, _Use] = field(factory=dict)

    def note(self, session_id: UUID, address: str, user_agent: str | None) -> None:
        """The session is used just now, from that address by a client that calls itself so."""
        self._noted[session_id] = address, user_agent

    async def run(self, open_sessions: Callable[[], Iterable[UUID]]) -> None:
        """Write what is noted, and count the sessions of open sockets as used, until cancelled."""
        next_round = trio.current_time() + self._timing.seen_open_s
        while True:
            await trio.sleep(self._timing.seen_write_s)
            if trio.current_time() >= next_round:
                next_round = trio.current_time() + self._timing.seen_open_s
                for session_id in open_sessions():
                    self._noted.setdefault(session_id, (None, None))
            await self.write()

    async def write(self) -> None:
        """Write what is noted; without the database it stays noted. Raises nothing."""
        while self._noted:
            batch = dict(islice(self._noted.items(), MAX_ROWS))
            addresses, agents = ([use[part] for use in batch.values()] for part in (0, 1))
            try:
                await self._db.execute(QUERIES["mark_seen"], list(batch), addresses, agents, self._idle_hours)
            except ServiceUnavailable:
                return
            except DatabaseRejected as error:
                logger.warning("last_seen_rejected", error=str(error))
            for session_id, use in batch.items():
                if self._noted.get(session_id) is use:  # else it was used again meanwhile
                    del self._noted[session_id]

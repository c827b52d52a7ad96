"""The methods ``cinemas.*``."""

from seatsync.cinema.live_list import SUBSCRIBE, LiveList
from seatsync.cinema.messages import Cinema, CinemasStale, CinemaUpdate
from seatsync.core.connections.connection import subscribing, unsubscribing
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.params import NoParams
from seatsync.core.protocol.registry import Access, Json, Kind, Method


class CinemaMethods:
    """Reading and watching the list of cinemas."""

    def __init__(self, live_list: LiveList) -> None:
        self._list = live_list

    def table(self) -> tuple[Method, ...]:
        """The methods of this domain."""
        return (
            Method(
                "cinemas.get_cinemas",
                NoParams,
                self.get_cinemas,
                Access.READ,
                aliases=("cinema.get_cinemas",),
                result=list[Cinema],
            ),
            Method(
                SUBSCRIBE,
                NoParams,
                self.subscribe,
                Access.READ,
                Kind.SUBSCRIBE,
                result=list[Cinema],
                update=CinemaUpdate | CinemasStale,
            ),
            unsubscribing("cinemas.unsubscribe", SUBSCRIBE),
        )

    async def get_cinemas(self, _: Call, __: NoParams) -> Json:
        """All cinemas with their halls and totals."""
        return await self._list.cinemas()

    def subscribe(self, call: Call, _: NoParams) -> None:
        """The list, then its changes."""
        with subscribing(call, self._list) as subscriber:
            self._list.subscribe(subscriber)

"""The methods ``hall.*``."""

from collections.abc import Sequence
from uuid import UUID

from seatsync import errors
from seatsync.core.channels.channels import Channels
from seatsync.core.channels.documents import mark_stale
from seatsync.core.connections.connection import connection_of, unsubscribing
from seatsync.core.postgres.group_commit import GroupCommit
from seatsync.core.postgres.write_queue import Ticket
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.params import Id
from seatsync.core.protocol.registry import Access, Json, Kind, Method
from seatsync.hall.messages import HallId, SeatChange, SubscribeHall, UpdateSeats, UpdateSeatStatus
from seatsync.hall.store import Write

SUBSCRIBE = "hall.subscribe"


class HallMethods:
    """Reads of halls, subscriptions to them, and changes of seats."""

    def __init__(self, channels: Channels, writer: GroupCommit[Write, Json]) -> None:
        self._channels = channels
        self._writer = writer

    def table(self) -> tuple[Method, ...]:
        """The methods of this domain."""
        return (
            Method("hall.get", HallId, self.get, Access.READ),
            Method(SUBSCRIBE, SubscribeHall, self.subscribe, Access.READ, Kind.SUBSCRIBE),
            unsubscribing("hall.unsubscribe", SUBSCRIBE),
            Method("hall.update_seat_status", UpdateSeatStatus, self.update_seat_status, Access.WRITE, Kind.WRITE),
            Method("hall.update_seats", UpdateSeats, self.update_seats, Access.WRITE, Kind.WRITE),
        )

    async def get(self, _: Call, params: HallId) -> Json:
        """The hall; raises `HallNotFound`."""
        with self._channels.use(_required(params.id)) as channel:
            data = (await channel.snapshot()).data
        return Json(mark_stale(data) if channel.stale else data)

    async def subscribe(self, call: Call, params: SubscribeHall) -> None:
        """A snapshot, or the changes after ``since``, then every change; raises `HallNotFound`."""
        connection = connection_of(call)
        with self._channels.use(_required(params.id)) as channel:
            subscriber = connection.subscribe(SUBSCRIBE, call.eid, channel)
            try:
                await channel.subscribe(subscriber, params.since, params.epoch)
            except BaseException:
                connection.forget(subscriber)
                raise

    def update_seat_status(self, call: Call, params: UpdateSeatStatus) -> Ticket[Write, Json]:
        """Change one seat."""
        return self._write(call, params.hall_id, [params], params.key)

    def update_seats(self, call: Call, params: UpdateSeats) -> Ticket[Write, Json]:
        """Change several seats, all or none."""
        return self._write(call, params.hall_id, params.seats, params.key)

    def _write(
        self, call: Call, hall_id: Id | None, seats: Sequence[SeatChange], key: UUID | None
    ) -> Ticket[Write, Json]:
        if call.client.identity is None:
            raise errors.Unauthorized
        return self._writer.submit(Write(_required(hall_id), seats, call.client.identity, key))


def _required(hall_id: Id | None) -> Id:
    if hall_id is None:
        raise errors.RequiredHallId
    return hall_id

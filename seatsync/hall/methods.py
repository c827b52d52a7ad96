"""The methods ``hall.*``."""

from attrs import frozen

from seatsync.core.channels.channels import Channels
from seatsync.core.connections.connection import subscribing, unsubscribing
from seatsync.core.postgres.group_commit import GroupCommit
from seatsync.core.postgres.write_queue import Ticket
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.registry import Access, Json, Kind, Method
from seatsync.hall.messages import (
    Hall,
    HallId,
    HallStale,
    HallUpdate,
    HallWritten,
    SubscribeHall,
    UpdateSeats,
    UpdateSeatStatus,
    required,
)
from seatsync.hall.store import Write

SUBSCRIBE = "hall.subscribe"


@frozen
class HallMethods:
    """Reads of halls, subscriptions to them, and changes of seats."""

    _channels: Channels
    _writer: GroupCommit[Write, Json]

    def table(self) -> tuple[Method, ...]:
        """The methods of this domain."""
        return (
            Method("hall.get", HallId, self.get, Access.READ, result=Hall),
            Method(
                SUBSCRIBE,
                SubscribeHall,
                self.subscribe,
                Access.READ,
                Kind.SUBSCRIBE,
                result=Hall,
                update=HallUpdate | HallStale,
            ),
            unsubscribing("hall.unsubscribe", SUBSCRIBE),
            Method(
                "hall.update_seat_status", UpdateSeatStatus, self.update, Access.WRITE, Kind.WRITE, result=HallWritten
            ),
            Method("hall.update_seats", UpdateSeats, self.update, Access.WRITE, Kind.WRITE, result=HallWritten),
        )

    async def get(self, _: Call, params: HallId) -> Json:
        """The hall; raises `HallNotFound`."""
        with self._channels.use(required(params.id)) as channel:
            snapshot = await channel.snapshot()
            return Json(channel.marked(snapshot.data))

    def subscribe(self, call: Call, params: SubscribeHall) -> None:
        """A snapshot, or the changes after ``since``, then every change; `HallNotFound` ends it."""
        with self._channels.use(required(params.id)) as channel, subscribing(call, channel) as subscriber:
            channel.subscribe(subscriber, params.since, params.epoch)

    def update(self, call: Call, params: UpdateSeatStatus | UpdateSeats) -> Ticket[Write, Json]:
        """Queue the change of one or several seats: all of them, or none."""
        return self._writer.submit(Write(required(params.hall_id), params.seats, call.identity, params.key))

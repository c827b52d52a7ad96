"""What every unsubscribing method does."""

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen

from seatsync import errors
from seatsync.core.connections.connection import Connection
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.envelope import normalise_eid
from seatsync.core.protocol.registry import Json, Kind, Method

SUCCESS = Json(b'{"success":true}')


@frozen
class SubEid:
    """The eid that the subscription was made with."""

    sub_eid: Any = None


def unsubscribing(name: str, subscribe: str) -> Method:
    """The method ``name``, which ends what the method ``subscribe`` began.

    It needs no rights: a client may always hear less.
    """
    return Method(name, SubEid, _unsubscriber(subscribe), kind=Kind.UNSUBSCRIBE)


def _unsubscriber(subscribe: str) -> Callable[[Call, SubEid], Awaitable[Json]]:
    async def unsubscribe(call: Call, params: SubEid) -> Json:
        connection_of(call).unsubscribe(subscribe, normalise_eid(params.sub_eid))
        return SUCCESS

    return unsubscribe


def connection_of(call: Call) -> Connection:
    """The WebSocket connection that a subscribing method was called on; raises `BadRequest` over HTTP."""
    if call.connection is None:
        raise errors.BadRequest("Subscriptions need a WebSocket.")
    return call.connection

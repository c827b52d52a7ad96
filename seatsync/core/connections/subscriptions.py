"""The methods that end subscriptions, and access to a call's connection."""

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen

from seatsync import errors
from seatsync.core.connections.connection import Connection, SocketCall
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.envelope import normalise_eid
from seatsync.core.protocol.registry import Json, Kind, Method

SUCCESS = Json(b'{"success":true}')


@frozen
class SubEid:
    """The eid that the subscription was made with."""

    sub_eid: Any = None


def unsubscribing(name: str, subscribe: str) -> Method:
    """The method ``name``, which ends subscriptions of the method ``subscribe``. It needs no rights."""
    return Method(name, SubEid, _unsubscriber(subscribe), kind=Kind.UNSUBSCRIBE)


def _unsubscriber(subscribe: str) -> Callable[[Call, SubEid], Awaitable[Json]]:
    async def unsubscribe(call: Call, params: SubEid) -> Json:
        connection_of(call).unsubscribe(subscribe, normalise_eid(params.sub_eid))
        return SUCCESS

    return unsubscribe


def connection_of(call: Call) -> Connection:
    """The WebSocket connection of a call; raises `BadRequest` over HTTP."""
    if not isinstance(call, SocketCall):
        raise errors.BadRequest("Subscriptions need a WebSocket.")
    return call.connection

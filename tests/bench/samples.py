"""Payloads of the whole field: what Seats Sync really sends, byte for byte."""

import json

from attrs import frozen

from tests.bench.herd import Member, herd
from tests.bench.processes import BenchError
from tests.bench.site import Site

#: A small hall for requests.
SMALL = 8

#: The hall of fan-outs, joins and idle connections.
LARGE = 500


@frozen
class Samples:
    """An update, and the answer to ``hall.get`` of a hall of `SMALL` seats."""

    update: bytes
    hall_id: int
    hall: bytes
    _rev: bytes

    @property
    def hall_request(self) -> bytes:
        """The request whose answer is `hall`."""
        return request("hall.get", {"id": self.hall_id})

    def update_at(self, rev: int) -> bytes:
        """The update with another revision in it."""
        return self.update.replace(self._rev, b'"rev":%d,' % rev, 1)


class _Listener(Member):
    """Keeps the messages it receives."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """Keep it, and wake the waiting loop."""
        self.received.append(data[start:end])
        self.herd.loop.stop()


def take_samples(site: Site) -> Samples:
    """Ask a server for one of each. Raises `BenchError`."""
    small, large = site.hall(SMALL), site.hall(LARGE)
    with site.run() as server, herd(server.url) as listeners:
        listener = _Listener()
        listeners.open([listener])

        def receive() -> bytes:
            listeners.run_until(lambda: bool(listener.received), "nothing was received")
            return listener.received.pop(0)

        listener.connection.send(request("hall.get", {"id": small.id}))
        hall = receive()
        listener.connection.send(request("hall.subscribe", {"id": large.id}))
        receive()
        site.sql(f"update seat set status = 'OCCUPIED' where id = {large.seats[0]}")
        update = receive()
    if json.loads(hall)["error"] or json.loads(update)["status"] != "update":
        raise BenchError("the server does not answer as expected")
    return Samples(update, small.id, hall, b'"rev":%d,' % json.loads(update)["data"]["rev"])


def request(type_: str, data: object, eid: str = "b") -> bytes:
    """A request's JSON."""
    return json.dumps({"type": type_, "data": data, "eid": eid}, separators=(",", ":")).encode()

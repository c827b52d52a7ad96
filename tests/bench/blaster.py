"""A trivial server for measuring the load generator: `python -m tests.bench.blaster SUBSCRIBERS SECONDS BURST`.

Prints its port. Once that many clients have subscribed it sends updates of one seat to all of them for that long, as
fast as they are taken, so many to each before it goes on to the next; then it answers `hall.get`. One blocking loop,
plain bytes, and nothing checked.
"""

import base64
import hashlib
import json
import socket
import sys
import time
from typing import Any

from attrs import define, field

_SEATS = 500
_AT = "2026-01-01T19:30:00.000Z"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MEDIUM = 1 << 16

#: What may be on its way to one client, in bytes. Left alone the kernel takes a gigabyte for a thousand clients that
#: are slower than this, and then drops segments for want of memory.
_SEND_BUFFER_BYTES = 64 * 1024


@define
class Hall:
    """One hall whose seats take turns in being reserved and let go."""

    rev: int = 0
    taken: set[int] = field(factory=set)

    def counts(self) -> str:
        """Of its one seat type."""
        taken = len(self.taken)
        return (
            f'"seats_count":{_SEATS},"seats":{{"VACANT":{_SEATS - taken},"RESERVED":{taken},'
            '"OCCUPIED":0,"MAINTENANCE":0}'
        )

    def change(self) -> bytes:
        """The next revision, as an update has it."""
        self.rev += 1
        seat = self.rev % _SEATS + 1
        self.taken ^= {seat}
        return (
            f'{{"id":1,"rev":{self.rev},"seats":[{{"id":{seat},"status":"{self._status(seat)}","updated_at":"{_AT}",'
            f'"note":null}}],"seat_types":[{{"id":1,{self.counts()}}}]}}'
        ).encode()

    def snapshot(self) -> bytes:
        """All of it."""
        seats = [
            {"id": seat, "status": self._status(seat), "updated_at": _AT, "note": None, "seat_type": {"id": 1}}
            for seat in range(1, _SEATS + 1)
        ]
        head = json.dumps({"id": 1, "rev": self.rev, "epoch": "blast", "seats": seats})
        return f'{head[:-1]},"seat_types":[{{"id":1,"name":"standard",{self.counts()}}}]}}'.encode()

    def _status(self, seat: int) -> str:
        return "RESERVED" if seat in self.taken else "VACANT"


def message(type_: bytes, status: bytes, data: bytes, eid: bytes) -> bytes:
    """A text frame with an envelope."""
    payload = b'{"type":"%b","status":"%b","data":%b,"error":null,"eid":"%b","ts":1767295800000}' % (
        type_,
        status,
        data,
        eid,
    )
    size = len(payload)
    head = b"\x81\x7e" + size.to_bytes(2) if size < _MEDIUM else b"\x81\x7f" + size.to_bytes(8)
    return head + payload


def accept(listening: socket.socket) -> socket.socket:
    """The next connection, upgraded."""
    client, _ = listening.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(4096)
    key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    answer = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 -- what RFC 6455 prescribes
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + answer
        + b"\r\n\r\n"
    )
    return client


def read_request(client: socket.socket) -> dict[str, Any]:
    """One short request."""
    head = client.recv(2, socket.MSG_WAITALL)
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(client.recv(2, socket.MSG_WAITALL))
    mask = client.recv(4, socket.MSG_WAITALL)
    body = client.recv(size, socket.MSG_WAITALL)
    request: dict[str, Any] = json.loads(bytes(byte ^ mask[index % 4] for index, byte in enumerate(body)))
    return request


def main() -> None:
    """Serve one test."""
    subscribers, seconds, burst = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    hall = Hall()
    snapshot = hall.snapshot()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        listening.accept()[0].close()  # the load generator probes the port first
        clients = [accept(listening) for _ in range(subscribers)]
        eids = [read_request(client)["eid"].encode() for client in clients]
        for client, eid in zip(clients, eids, strict=True):
            client.sendall(message(b"hall.subscribe", b"snapshot", snapshot, eid))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            changes = [hall.change() for _ in range(burst)]
            # All subscribers have the same eid, so the frames are made once.
            frames = b"".join(message(b"hall.subscribe", b"update", change, eids[0]) for change in changes)
            for client in clients:
                client.sendall(frames)
        reader = accept(listening)
        asked = read_request(reader)
        reader.sendall(message(b"hall.get", b"success", hall.snapshot(), asked["eid"].encode()))
        for client in clients:
            client.recv(1)  # the goodbye


if __name__ == "__main__":
    main()

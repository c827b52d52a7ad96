"""WebSocket as a client speaks it (RFC 6455): the handshake, frames out, and where frames begin and end. Sans I/O."""

import base64
import hashlib
import random
import secrets
from enum import IntEnum

from seatsync.client.closing import Closing

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_SHORT, _MEDIUM = 126, 1 << 16
_MASKED = 0x80

#: The application heartbeat.
HEARTBEAT = b"1"


class Opcode(IntEnum):
    """The first byte of an unfragmented frame (RFC 6455, section 5.2)."""

    TEXT = 0x81
    CLOSE = 0x88
    PING = 0x89
    PONG = 0x8A


def handshake(host: str, path: str, token: str | None) -> tuple[bytes, bytes]:
    """An upgrade request, and the ``Sec-WebSocket-Accept`` that has to answer it."""
    key = base64.b64encode(secrets.token_bytes(16))
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - prescribed by the RFC
    credentials = "" if token is None else f"Authorization: Bearer {token}\r\n"
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key.decode()}\r\n{credentials}\r\n"
    )
    return request.encode(), accept


def refusal(head: bytes, accept: bytes) -> str | None:
    """Why the head of an answer is not the requested upgrade; ``None`` if it is."""
    status, *fields = head.split(b"\r\n")
    if not status.startswith(b"HTTP/1.1 101"):
        return f"the handshake was answered with {status.decode('ascii', 'replace')!r}"
    for line in fields:
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-accept" and value.strip() == accept:
            return None
    return "the handshake was answered without the right Sec-WebSocket-Accept"


def frame(payload: bytes, opcode: Opcode = Opcode.TEXT) -> bytes:
    """A whole frame, masked with a key of its own (section 5.3)."""
    size = len(payload)
    if size < _SHORT:
        head = bytes((opcode, _MASKED | size))
    elif size < _MEDIUM:
        head = bytes((opcode, _MASKED | _SHORT)) + size.to_bytes(2)
    else:
        head = bytes((opcode, _MASKED | _SHORT + 1)) + size.to_bytes(8)
    mask = random.getrandbits(32).to_bytes(4)
    pattern = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload) ^ int.from_bytes(pattern)
    return head + mask + masked.to_bytes(size)


def read_close(payload: bytes) -> Closing:
    """The content of a close frame (section 5.5.1)."""
    if len(payload) < 2:  # noqa: PLR2004 - it has no code
        return Closing(1005)
    return Closing.read(int.from_bytes(payload[:2]), payload[2:].decode(errors="replace"))

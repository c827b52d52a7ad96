"""The server's half of the opening handshake (RFC 6455, section 4.2.2)."""

import base64
import hashlib

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_head(key: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The 101 answer to an upgrade request with that ``Sec-WebSocket-Key``, with further header fields."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())  # noqa: S324 - what the RFC prescribes
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept,
        *(name + b": " + value for name, value in headers),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"

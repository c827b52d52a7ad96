"""The opening handshake of a WebSocket (RFC 6455, 4.2)."""

import base64
import hashlib
import re

from attrs import frozen

from seatsync.core.http.request import Request
from seatsync.core.protocol.call import Client
from seatsync.errors import MalformedRequest, UpgradeRequired

#: The paths of WebSockets, on both ports.
PATHS = frozenset({"/ws", "/"})

#: 16 bytes in base64.
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")

#: The subprotocol that is selected; and the beginning of one that carries a token, which is neither echoed nor logged.
SUBPROTOCOL = "seatsync.v1"
BEARER = "seatsync.bearer."

#: Characters of an offered name that are logged, for it may be a token that is offered in another way; and of all.
_SHOWN_OF_NAME, _SHOWN = 24, 200

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OWN_FIELDS = (b"connection", b"upgrade", b"sec-websocket-extensions", b"sec-websocket-protocol")


@frozen
class Handshake:
    """A valid opening handshake."""

    client: Client
    key: str
    """``Sec-WebSocket-Key``."""
    path: str
    headers: list[tuple[bytes, bytes]]
    """Further header fields for the 101."""

    def accept(self) -> bytes:
        """The 101 that answers it (RFC 6455, 4.2.2)."""
        accept = base64.b64encode(hashlib.sha1(self.key.encode() + _GUID).digest())  # noqa: S324 - what the RFC prescribes
        fields = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", accept)]
        lines = [name + b": " + value for name, value in fields + self.headers]
        return b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", *lines, b"\r\n"])


@frozen
class Offer:
    """The subprotocols that a client offers in its handshake (RFC 6455, 1.9 and 4.1)."""

    protocols: list[str]

    @classmethod
    def of(cls, request: Request) -> "Offer":
        """The offer of a handshake, which may be empty."""
        listed = (request.header(b"sec-websocket-protocol") or "").split(",")
        return cls([name for part in listed if (name := part.strip(" \t"))])

    @property
    def token(self) -> str | None:
        """The token of the first offer that carries one."""
        return next((name[len(BEARER) :] for name in self.protocols if name.startswith(BEARER)), None)

    @property
    def is_unknown(self) -> bool:
        """Something is offered, and nothing of it is selected: a browser then fails the connection."""
        return bool(self.protocols) and SUBPROTOCOL not in self.protocols

    def selection(self) -> list[tuple[bytes, bytes]]:
        """The header field that selects one."""
        return [(b"Sec-WebSocket-Protocol", SUBPROTOCOL.encode())] if SUBPROTOCOL in self.protocols else []

    def __str__(self) -> str:
        return ascii(", ".join(_shown(name) for name in self.protocols)[:_SHOWN])


def _shown(name: str) -> str:
    if name.lower().startswith(BEARER):
        return f"{BEARER}<token>"
    return name if len(name) <= _SHOWN_OF_NAME else f"{name[:_SHOWN_OF_NAME]}..."


def is_upgrade(request: Request) -> bool:
    """The request is a handshake, valid or not."""
    return b"upgrade" in request.headers and request.path in PATHS and request.has_token(b"upgrade", b"websocket")


def check_upgrade(request: Request) -> str:
    """Return a handshake's key; raises `UpgradeRequired` for a wrong version, `MalformedRequest` for other faults."""
    headers = request.headers
    if request.method != "GET" or request.version == b"1.0":
        raise MalformedRequest("A WebSocket handshake is a GET request of HTTP/1.1.")
    if not request.has_token(b"connection", b"upgrade"):
        raise MalformedRequest("The handshake has no 'Connection: Upgrade'; a proxy in between may drop it.")
    if headers.get(b"sec-websocket-version") != b"13":
        raise UpgradeRequired
    if not _KEY.fullmatch(headers.get(b"sec-websocket-key", b"")):
        raise MalformedRequest("The Sec-WebSocket-Key of the handshake is not 16 bytes in base64.")
    if headers.get(b"content-length", b"0").strip(b"0") or b"transfer-encoding" in headers:
        raise MalformedRequest("A WebSocket handshake has no body.")
    if not all(headers.get(name, b"").isascii() for name in _OWN_FIELDS):
        raise MalformedRequest("A header field of the handshake is not ASCII.")
    return headers[b"sec-websocket-key"].decode()

"""One HTTP request, and the reading of its header fields (RFC 9110, chapter 5; RFC 6265, 5.4)."""

import re

import h11
from attrs import define

from seatsync.errors import MalformedRequest

Headers = dict[bytes, bytes]

_SLASHES = re.compile(r"/{2,}")
_ABSOLUTE = re.compile(r"https?://([^/?#]+)([^?#]*)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]*)?", re.IGNORECASE)

#: A GET of a path by HTTP/1.1, and fields of printable ASCII, none of them empty.
_PLAIN_HEAD = re.compile(rb"GET (/[!-~]*) HTTP/1\.1\r\n((?:[a-zA-Z0-9!#$%&'*+.^_`|~-]+:[ \t]*[!-~][ -~]*\r\n)+)\r\n")
_OF_A_BODY = frozenset({b"content-length", b"transfer-encoding", b"expect"})


@define(eq=False)
class Request:
    """The head of a request."""

    method: str
    path: str
    """Without the query; repeated slashes count as one."""
    host: str
    """The name in an absolute target, or in ``Host``: in lower case, without the port and a final dot.

    ``""`` if there is none.
    """
    version: bytes
    headers: Headers
    """Values by name in lower case. Repeated fields are joined: cookies with ``; ``, others with ``, ``."""

    def header(self, name: bytes) -> str | None:
        """A field's value; bytes beyond ASCII, which no known field has, become Latin-1."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def has_token(self, name: bytes, token: bytes) -> bool:
        """A comma-separated list contains ``token``, which is given in lower case, in any case."""
        value = self.headers.get(name, b"").lower()
        return value == token or token in {part.strip() for part in value.split(b",")}

    def accepts(self, name: bytes, what: str) -> bool:
        """A list of preferences names that itself, no wildcard, and not with the weight 0 (RFC 9110, 12.5)."""
        for part in (self.header(name) or "").lower().split(","):
            value, _, weight = part.replace(" ", "").partition(";")
            if value == what:
                return not re.fullmatch(r"q=0(?:\.0*)?", weight)
        return False

    def bearer(self) -> str | None:
        """The token of ``Bearer`` credentials (RFC 6750 §2.1); ``None`` for other schemes and without credentials."""
        scheme, _, token = (self.header(b"authorization") or "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None

    def cookies(self) -> dict[str, str]:
        """The cookies by name; of two with one name the first, which has the longer path."""
        found: dict[str, str] = {}
        for pair in (self.header(b"cookie") or "").split(";"):
            name, equals, value = pair.partition("=")
            if equals:
                found.setdefault(name.strip(), value.strip())
        return found


def read_handshake(head: bytes) -> Request | None:
    """Read the usual head of a WebSocket handshake, at a fraction of h11's cost; ``None`` for any other head."""
    if (match := _PLAIN_HEAD.fullmatch(head)) is None:
        return None
    headers: Headers = {}
    for line in match[2].split(b"\r\n")[:-1]:
        raw_name, _, value = line.partition(b":")
        headers[raw_name.lower()] = value.strip(b" \t")
    is_repeated = len(headers) < match[2].count(b"\r\n")
    if is_repeated or b"upgrade" not in headers or b"host" not in headers or not _OF_A_BODY.isdisjoint(headers):
        return None
    _, path = _split(match[1].decode())
    return Request("GET", path, _host_name(headers[b"host"].decode()), b"1.1", headers)


def read_request(head: h11.Request) -> Request:
    """Read a head that h11 has parsed; raises `MalformedRequest`.

    h11 prefers a chunked body to a ``Content-Length``. Here the two together are refused, as is chunking before
    HTTP/1.1: a proxy that chose otherwise would take a part of this request for the next (RFC 9112, 6.1).
    """
    if not head.http_version.startswith(b"1."):
        raise MalformedRequest("The only version of HTTP spoken here is 1.1.")
    headers: Headers = {}
    for raw_name, value in head.headers.raw_items():  # a list: iterating h11's sequence takes five times as long
        name = raw_name.lower()
        comma = b"; " if name == b"cookie" else b", "
        headers[name] = headers[name] + comma + value if name in headers else value
    if b"transfer-encoding" in headers and (b"content-length" in headers or head.http_version == b"1.0"):
        raise MalformedRequest("A body has either a Content-Length or the transfer coding chunked.")
    authority, path = _split(head.target.decode("ascii"))
    if authority is None:
        authority = headers.get(b"host", b"").decode("latin-1")
    return Request(head.method.decode("ascii"), path, _host_name(authority), head.http_version, headers)


def _split(target: str) -> tuple[str | None, str]:
    """The authority of an absolute target (``None`` for the usual kind) and the path, without the query."""
    authority = None
    if target[0] != "/" and (absolute := _ABSOLUTE.match(target)):
        authority, target = absolute[1], absolute[2] or "/"
    path = target.partition("?")[0]
    return authority, _SLASHES.sub("/", path) if "//" in path else path


def _host_name(authority: str) -> str:
    if not authority:
        return ""
    if (match := _AUTHORITY.fullmatch(authority)) is None:
        raise MalformedRequest("The Host of the request is not a host name.")
    return match[1].lower().removesuffix(".")

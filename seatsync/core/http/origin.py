"""Which hosts are served, and which web pages may use the server: the ``Host`` and ``Origin`` rules, and CORS.

A browser lets any page on the web send requests to any address, this machine's own among them. Three rules follow:

- Bound to loopback, only loopback names are served, or a page whose name resolves to 127.0.0.1 (DNS rebinding) would
  count as the same origin.
- A handshake, and a request that may change something, is refused when it comes from a page of a foreign origin.
  ``SameSite=Strict`` cookies alone would not do for the latter: every port and subdomain of a site is the same site,
  and a form on a foreign page could sign its victim in as somebody else. With the rule, JSON bodies need not be told
  by their content type, which small programs often leave out.
- The answer may be read by pages of the allowed origins only (CORS, with credentials).
"""

import re
from collections.abc import Collection

from seatsync import errors
from seatsync.core.http.request import Request
from seatsync.core.http.response import HeaderList
from seatsync.core.net.networks import is_loopback

#: How long a browser may remember the answer to a preflight, in seconds.
PREFLIGHT_MAX_AGE_S = 600

_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]+)?")
_VARY = (b"Vary", b"Origin")


class OriginPolicy:
    """The rules for one set of listeners.

    ``allowed`` are origins as browsers write them; without any, and bound to loopback, every loopback origin is
    allowed. The host that the request itself names always is.
    """

    def __init__(self, allowed: Collection[str], *, loopback_only: bool) -> None:
        self._allowed = frozenset(allowed)
        self._loopback_only = loopback_only

    def check_host(self, request: Request) -> None:
        """Raises `Forbidden` for a host that is not served."""
        if self._loopback_only and not _is_loopback_name(request.host):
            raise errors.Forbidden("Only loopback host names are served here.")

    def check_origin(self, request: Request) -> None:
        """Raises `Forbidden` for a request from a page that may not use this server; programs send no ``Origin``."""
        origin = request.header(b"origin")
        if origin is not None and not self._allows(origin, request.host):
            raise errors.Forbidden("Pages of that origin may not use this server; see ALLOWED_ORIGINS.")

    def cors(self, request: Request) -> HeaderList:
        """The header fields that let a page of an allowed origin read the answer."""
        origin = request.header(b"origin")
        if origin is None or not self._allows(origin, request.host):
            return [_VARY]
        return [
            _VARY,
            (b"Access-Control-Allow-Origin", origin.encode("ascii")),
            (b"Access-Control-Allow-Credentials", b"true"),
            (b"Access-Control-Expose-Headers", b"Retry-After"),
        ]

    def _allows(self, origin: str, host: str) -> bool:
        if origin in self._allowed:
            return True
        match = _ORIGIN.fullmatch(origin)
        if match is None:
            return False
        name = match[1]
        return name == host or (self._loopback_only and not self._allowed and _is_loopback_name(name))


def preflight(allow: bytes) -> HeaderList:
    """What a preflight is told besides `OriginPolicy.cors`."""
    return [
        (b"Allow", allow),
        (b"Access-Control-Allow-Methods", allow),
        (b"Access-Control-Allow-Headers", b"content-type, authorization"),
        (b"Access-Control-Max-Age", b"%d" % PREFLIGHT_MAX_AGE_S),
    ]


def _is_loopback_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name.strip("[]"))

"""The ``Host`` and ``Origin`` rules, and CORS.

A browser lets any page on the web send requests to any address, this machine's own included. Three rules follow:

- Bound to loopback, only loopback names are served, and elsewhere those of ALLOWED_HOSTS: else a page whose name
  resolves to this server's address (DNS rebinding) would have the same origin. HTTP/1.0 may do without a name, for no
  browser speaks it.
- A handshake, and a request that may change something, is refused from a page of a foreign origin. ``SameSite=Strict``
  cookies do not suffice: all ports and subdomains of a site are the same site, and a form on a foreign page could sign
  its victim in with another account. So JSON bodies need no content type, which small programs often leave out.
- Only pages of the allowed origins may read the answer (CORS, with credentials).
"""

import re
from collections.abc import Collection
from functools import lru_cache

from attrs import field, frozen

from seatsync import errors
from seatsync.core.http.request import Request
from seatsync.core.http.response import HeaderList
from seatsync.core.net.networks import is_loopback

_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]+)?")
_FIELD_NAMES = re.compile(r"[a-zA-Z0-9!#$%&'*+.^_`|~, -]{1,1000}")
_VARY = (b"Vary", b"Origin")

#: Characters of a refused name that are shown: host names have at most 253.
_SHOWN = 280


@frozen
class OriginPolicy:
    """The rules for one set of listeners.

    Allowed are the origin of the request's own host and those in ``allowed``, as browsers write them, ``*.`` for any
    host below; without any, a server bound to loopback allows every loopback origin. One that is not serves ``hosts``,
    or any host if there are none.
    """

    _allowed: Collection[str]
    _loopback_only: bool
    _hosts: Collection[str] = ()
    _below: re.Pattern[str] = field(init=False)
    """The origins that wildcards allow."""

    @_below.default
    def _compile_wildcards(self) -> re.Pattern[str]:
        wildcards = (re.escape(one).replace(r"\*\.", r"(?:[a-z0-9_-]+\.)+") for one in self._allowed if "*" in one)
        return re.compile("|".join(wildcards) or "(?!)")

    def check_host(self, request: Request) -> None:
        """Raises `Forbidden` for a host that is not served."""
        host = request.host
        if self._serves(host) or (not host and request.version == b"1.0"):
            return
        served = "Only loopback host names" if self._loopback_only else "Only the host names in ALLOWED_HOSTS"
        seen = f"not {_shown(host)}" if host else "and the request names none"
        raise errors.Forbidden(f"{served} are served here, {seen}.")

    def check_origin(self, request: Request) -> None:
        """Raises `Forbidden` for a page of a foreign origin; programs other than browsers send no ``Origin``."""
        origin = request.header(b"origin")
        if origin is not None and not self._allows(origin, request.host):
            raise errors.Forbidden(
                f"Pages of the origin {_shown(origin)} may not use this server under the host name "
                f"{_shown(request.host)}; see ALLOWED_ORIGINS."
            )

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

    def _serves(self, host: str) -> bool:
        return _is_loopback_name(host) if self._loopback_only else not self._hosts or host in self._hosts

    def _allows(self, origin: str, host: str) -> bool:
        if origin in self._allowed or self._below.fullmatch(origin):
            return True
        if (match := _ORIGIN.fullmatch(origin)) is None:
            return False
        name = match[1].removesuffix(".")
        return name == host or (self._loopback_only and not self._allowed and _is_loopback_name(name))


def _shown(name: str) -> str:
    """A name from a request, for messages and logs: quoted, escaped and bounded."""
    return ascii(name[:_SHOWN])


def preflight(allow: bytes, requested: str | None = None) -> HeaderList:
    """The header fields of the answer to a preflight, besides `OriginPolicy.cors`: pages may send any field."""
    names = requested if requested and _FIELD_NAMES.fullmatch(requested) else "content-type, authorization"
    return [
        (b"Allow", allow),
        (b"Access-Control-Allow-Methods", allow),
        (b"Access-Control-Allow-Headers", names.encode("ascii")),
        (b"Access-Control-Max-Age", b"600"),
    ]


@lru_cache(maxsize=64)  # clients choose the names, of up to 16 KiB
def _is_loopback_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name.strip("[]"))

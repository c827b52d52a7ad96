"""The pages besides ``/api``: for people, load balancers and Prometheus."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from seatsync import errors
from seatsync.core.http.faults import UpgradeRequired
from seatsync.core.http.request import Request
from seatsync.core.http.response import TEXT, Response, failure
from seatsync.core.net.networks import is_loopback
from seatsync.core.protocol.registry import Registry

ALLOW = b"GET, HEAD, OPTIONS"

#: Served by a full server, too: they report it.
ALWAYS_SERVED = frozenset({"/healthz", "/readyz", "/metrics"})

_Page = Callable[[Request, str], Awaitable[Response]]


class Pages:
    """The pages by path."""

    def __init__(
        self,
        registry: Registry,
        *,
        health: Callable[[], Mapping[str, Any]],
        metrics: Callable[[], Awaitable[bytes]],
        metrics_token: str | None,
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._metrics_token = metrics_token
        self._pages: dict[str, Response | _Page] = {
            "/": Response(200, _index_text(registry), TEXT),
            "/ws": failure(UpgradeRequired()),
            "/healthz": Response(200, b'{"alive":true}'),
            "/readyz": self._readyz,
            "/metrics": self._metrics_text,
        }

    def __contains__(self, path: str) -> bool:
        return path in self._pages

    async def answer(self, request: Request, address: str) -> Response:
        """Return the page at the request's path, which has to be one of these; raises `Forbidden` for ``/metrics``."""
        if request.method not in {"GET", "HEAD"}:
            return failure(errors.MethodNotAllowed(), (b"Allow", ALLOW))
        page = self._pages[request.path]
        return page if isinstance(page, Response) else await page(request, address)

    async def _readyz(self, _request: Request, _address: str) -> Response:
        health = self._health()
        if health["ready"]:
            return Response(200, orjson.dumps(health))
        return Response(503, orjson.dumps(health), outcome=errors.ServiceUnavailable.code)

    async def _metrics_text(self, request: Request, address: str) -> Response:
        if not is_loopback(address) and not self._is_token_given(request):
            raise errors.Forbidden("Metrics are for loopback peers, or with METRICS_TOKEN as a bearer token.")
        return Response(200, await self._metrics(), CONTENT_TYPE_PLAIN_0_0_4.encode())

    def _is_token_given(self, request: Request) -> bool:
        scheme, _, given = (request.header(b"authorization") or "").partition(" ")
        if self._metrics_token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode("latin-1"), self._metrics_token.encode())


def _index_text(registry: Registry) -> bytes:
    """The endpoints, one a line."""
    lines = ["Seats Sync", "", "GET /ws (WebSocket)", "GET /healthz", "GET /readyz", "GET /metrics"]
    lines += [f"POST /api/{method.name.replace('.', '/', 1)}" for method in registry if method.over_http]
    return ("\n".join(lines) + "\n").encode()

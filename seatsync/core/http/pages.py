"""The pages besides ``/api``: the page and its files for people, and pages for load balancers and Prometheus."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from seatsync import errors, jsontext
from seatsync.core.http.files import PAGE, Files
from seatsync.core.http.request import Request
from seatsync.core.http.response import TEXT, Response, failure
from seatsync.core.http.source import Source
from seatsync.core.protocol.registry import Registry

ALLOW = b"GET, HEAD, OPTIONS"

#: Served by a full server, too: they report it.
HEALTH = frozenset({"/healthz", "/readyz", "/metrics"})

#: The protocol as data, by the name of the document.
DOCUMENTS = {"/asyncapi.json": "asyncapi", "/openapi.json": "openapi"}

PATHS = HEALTH | {"/", "/ws", *DOCUMENTS}


@define(eq=False)
class Pages:
    """The pages by path."""

    _registry: Registry
    _files: Files
    _health: Callable[[], Mapping[str, Any]]
    _metrics: Callable[[], Awaitable[bytes]]
    _metrics_token: str | None
    _document: Callable[[str], Awaitable[bytes]]
    """The text of one of `DOCUMENTS`."""

    def has(self, path: str) -> bool:
        """There is something at a request's path: one of `PATHS`, or a file."""
        return path in PATHS or self._files.at(path) is not None

    async def answer(self, request: Request, source: Source) -> Response:
        """Return what is at the request's path; raises `Forbidden` for ``/metrics``, and `NotFound`."""
        if request.method not in {"GET", "HEAD"}:
            return failure(errors.MethodNotAllowed(), (b"Allow", ALLOW))
        match request.path:
            case "/":
                response = self._front(request)
            case "/ws":
                response = failure(errors.UpgradeRequired())
            case "/healthz":
                response = Response(200, b'{"alive":true}')
            case "/readyz":
                response = self._readiness()
            case "/metrics":
                response = await self._exposition(request, source)
            case path if path in DOCUMENTS:
                response = Response(200, await self._document(DOCUMENTS[path]))
            case path:
                if (file := self._files.at(path)) is None:
                    raise errors.NotFound
                response = file.answer(request)
        return response

    def _front(self, request: Request) -> Response:
        page = self._files.find(PAGE) if request.accepts(b"accept", "text/html") else None
        return Response(200, self._index(), TEXT) if page is None else page.answer(request, b"Accept")

    def _readiness(self) -> Response:
        health = self._health()
        if health["ready"]:
            return Response(200, jsontext.dumps(health))
        return Response(503, jsontext.dumps(health), outcome=errors.ServiceUnavailable.code)

    async def _exposition(self, request: Request, source: Source) -> Response:
        token, given = self._metrics_token, request.bearer()
        is_given = token and given and hmac.compare_digest(given.encode("latin-1"), token.encode())
        if not is_given and not source.is_local:
            raise errors.Forbidden("Metrics are for programs on this machine, or with METRICS_TOKEN as a bearer token.")
        return Response(200, await self._metrics(), CONTENT_TYPE_PLAIN_0_0_4.encode())

    def _index(self) -> bytes:
        """The endpoints, one a line."""
        lines = ["Seats Sync", "", "GET /ws (WebSocket)", "GET /healthz", "GET /readyz", "GET /metrics"]
        lines += [f"POST /api/{method.name.replace('.', '/', 1)}" for method in self._registry if method.over_http]
        return ("\n".join(lines) + "\n").encode()

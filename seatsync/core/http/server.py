"""The HTTP server: serves a connection from its first byte on, until a handshake makes it a WebSocket."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio
from attrs import define, evolve, field

from seatsync import errors
from seatsync.core.http import api, pages
from seatsync.core.http.api import Api
from seatsync.core.http.exchange import Exchange
from seatsync.core.http.origin import OriginPolicy, preflight
from seatsync.core.http.pages import Pages
from seatsync.core.http.request import Request
from seatsync.core.http.response import HeaderList, Response, failure
from seatsync.core.http.source import Source, Sources
from seatsync.core.http.upgrade import Handshake, Offer, check_upgrade, is_upgrade
from seatsync.core.net.limits import ClientLimits
from seatsync.core.net.stream import Stream
from seatsync.core.protocol.call import Client, new_id
from seatsync.core.telemetry.sampling import FAILURES, FailureLog, Lines
from seatsync.core.timing import Timing

#: The methods of the server as a whole: the answer to ``OPTIONS *`` (RFC 9110, 9.3.7).
_ALLOW = b"GET, HEAD, POST, OPTIONS"

#: Browsers come back over TLS alone, for a year (RFC 6797).
_OVER_TLS: HeaderList = [(b"Strict-Transport-Security", b"max-age=31536000")]

logger = structlog.get_logger(__name__)


@define(eq=False)
class HttpServer:
    """Serves connections; one object for all listeners.

    ``nursery`` runs the announcements of logins, which outlive their connection. ``observe`` is called with the type (a
    method, a page or ``""``), the outcome and the seconds of every HTTP request, and of handshakes that fail.
    """

    _api: Api
    _pages: Pages
    _origins: OriginPolicy
    _limits: ClientLimits
    _sources: Sources
    _has_room: Callable[[], bool]
    """Another connection may be accepted."""
    _upgrade: Callable[[Stream, Handshake], Awaitable[None]]
    _announce: Callable[[str, str | None, dict[str, Any]], Awaitable[None]]
    _nursery: trio.Nursery
    _failures: FailureLog
    _observe: Callable[[str, str, float], None]
    _max_body_bytes: int
    _timing: Timing = Timing()
    _exchanges: set[Exchange] = field(factory=set)
    _unknown_offers: Lines = field(factory=lambda: Lines(*FAILURES))
    _is_finishing: bool = False

    def finish(self) -> None:
        """Close every connection that is no WebSocket: once its request in flight is answered, or at once."""
        self._is_finishing = True
        for exchange in self._exchanges:
            exchange.finish()

    async def serve(self, stream: Stream) -> None:
        """Serve one accepted connection to its end, and close it. Raises nothing but `trio.Cancelled`."""
        try:
            if (handshake := await self._converse(stream)) is not None:
                await self._upgrade(stream, handshake)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            logger.debug("connection_lost", address=stream.peer)
        except* Exception as faults:
            logger.exception("connection_fault", address=stream.peer, exc_info=faults)
        finally:
            await stream.aclose()

    async def _converse(self, stream: Stream) -> Handshake | None:
        """Answer requests until either side ends the connection, or one of them is a handshake."""
        exchange = Exchange(stream, self._max_body_bytes, self._timing)
        self._exchanges.add(exchange)
        if self._is_finishing:
            exchange.finish()
        try:
            while exchange.is_open:
                if (handshake := await self._serve_next(exchange, stream.peer)) is not None:
                    stream.unread(exchange.rest)
                    return handshake
        finally:
            self._exchanges.discard(exchange)
        return None

    async def _serve_next(self, exchange: Exchange, peer: str) -> Handshake | None:
        request, source = None, self._sources.of_unread(peer)
        try:
            request = await exchange.receive()
            if request is None:
                return None
            source = self._sources.of(request, peer)
            if request.path not in pages.HEALTH:
                self._origins.check_host(request)
            if is_upgrade(request):
                return await self._handshake(request, source)
            response = await self._answer(exchange, request, source)
        except Exception as error:  # noqa: BLE001 - a bug is logged
            if not errors.is_for_clients(error):
                self._failures.write_fault(error, self._type_of(request.path if request else ""))
                error = errors.InternalServerError()
            response = failure(error)
        await self._finish(exchange, request, response, source)
        return None

    async def _handshake(self, request: Request, source: Source) -> Handshake:
        key = check_upgrade(request)
        self._origins.check_origin(request)
        self._limits.request(source.address, is_local=source.is_local)
        self._limits.check_connections(source.address, is_local=source.is_local)
        offer = Offer.of(request)
        if offer.is_unknown:
            self._unknown_offers.write(logger.info, "subprotocol_unknown", offered=str(offer), address=source.address)
        if not self._has_room():  # the WebSocket is closed with advice; nothing is looked up for it
            return Handshake(Client(source.address, ""), key, request.path, offer.selection())
        client = await self._api.client(request, source, offer.token)
        headers = offer.selection() + self._api.visitor_cookie(request, client)
        return Handshake(evolve(client, enrolment=new_id()), key, request.path, headers)

    async def _answer(self, exchange: Exchange, request: Request, source: Source) -> Response:
        path = request.path
        reports_health = path in pages.HEALTH
        self._limits.request(source.address, is_local=source.is_local, is_page=reports_health)
        if not reports_health and not self._has_room():
            raise errors.TooManyConnections(retry_after=5.0)
        if request.method not in {"GET", "HEAD", "OPTIONS"}:
            self._origins.check_origin(request)
        is_api = path.startswith(api.PREFIX)
        body = await exchange.read_body(is_wanted=is_api and request.method == "POST" and bool(self._type_of(path)))
        is_of_server = path == "*" and request.method == "OPTIONS"
        if not (is_api or is_of_server or self._pages.has(path)):
            raise errors.NotFound
        if request.method == "OPTIONS":
            allow = _ALLOW if is_of_server else api.ALLOW if is_api else pages.ALLOW
            return Response(204, headers=preflight(allow, request.header(b"access-control-request-headers")))
        answering = self._api.answer(request, body, source) if is_api else self._pages.answer(request, source)
        return await answering

    async def _finish(self, exchange: Exchange, request: Request | None, response: Response, source: Source) -> None:
        """Send the response, then announce, count and log what it did."""
        seconds = trio.current_time() - exchange.began_at
        path = "" if request is None else request.path
        headers = response.headers + (_OVER_TLS if source.is_tls else [])
        if request is not None:
            headers += self._origins.cors(request)
        response = evolve(response, headers=headers)
        await exchange.respond(response)
        if response.announcement is not None:
            self._nursery.start_soon(self._announce_later, *response.announcement)
        type_ = self._type_of(path)
        self._observe(type_, response.outcome, seconds)
        if response.outcome != "success":
            ms = round(seconds * 1000, 2)
            reason = {} if response.reason is None else {"reason": response.reason}
            self._failures.write(response.outcome, address=source.address, type=type_ or path[:64], ms=ms, **reason)

    async def _announce_later(self, visitor: str, successor: str | None, data: dict[str, Any]) -> None:
        await trio.sleep(self._timing.announce_delay_s)
        try:
            await self._announce(visitor, successor, data)
        except Exception:
            logger.exception("login_not_announced")

    def _type_of(self, path: str) -> str:
        """A request's name in logs and metrics: one of a fixed set, whatever clients send."""
        if path.startswith(api.PREFIX):
            try:
                return self._api.find(path).name
            except errors.RouteNotFound:
                return ""
        return path if self._pages.has(path) else ""

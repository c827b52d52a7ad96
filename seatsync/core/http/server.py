"""The HTTP server: serves a connection from its first byte on.

A handshake on ``/ws`` or ``/`` makes it a WebSocket. Every other request is answered here: the methods under ``/api``
(`seatsync.core.http.api`) and a few pages (`seatsync.core.http.pages`).
"""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio
from attrs import evolve

from seatsync import errors
from seatsync.core.http import api, pages
from seatsync.core.http.admission import Admission
from seatsync.core.http.api import Api
from seatsync.core.http.exchange import Exchange
from seatsync.core.http.origin import preflight
from seatsync.core.http.pages import Pages
from seatsync.core.http.request import Request
from seatsync.core.http.response import Response, failure
from seatsync.core.http.upgrade import Handshake, check_upgrade, is_upgrade
from seatsync.core.net.stream import Stream
from seatsync.core.protocol.call import Client
from seatsync.core.telemetry.sampling import FailureLog
from seatsync.core.timing import Timing

logger = structlog.get_logger(__name__)


class HttpServer:
    """Serves connections; one object for all listeners.

    ``nursery`` runs the announcements of logins, which outlive their connection. ``observe`` is called with the type,
    the outcome (``success`` or an error code) and the seconds of every HTTP request, and of handshakes that fail; the
    type is a method, a page, or ``""`` for a request for anything else.
    """

    def __init__(
        self,
        api: Api,
        pages: Pages,
        admission: Admission,
        *,
        upgrade: Callable[[Stream, Handshake], Awaitable[None]],
        announce: Callable[[str, dict[str, Any]], Awaitable[None]],
        nursery: trio.Nursery,
        failures: FailureLog,
        observe: Callable[[str, str, float], None],
        max_body_bytes: int,
        timing: Timing = Timing(),
    ) -> None:
        self._api = api
        self._pages = pages
        self._admission = admission
        self._upgrade = upgrade
        self._announce = announce
        self._nursery = nursery
        self._failures = failures
        self._observe = observe
        self._max_body_bytes = max_body_bytes
        self._timing = timing
        self._exchanges: set[Exchange] = set()
        self._is_finishing = False

    def finish(self) -> None:
        """Have every connection that is no WebSocket close once the request in flight is answered, or at once."""
        self._is_finishing = True
        for exchange in self._exchanges:
            exchange.finish()

    async def serve(self, stream: Stream) -> None:
        """Serve one accepted connection to its end, and close it. Raises nothing but `trio.Cancelled`."""
        try:
            handshake = await self._converse(stream)
            if handshake is not None:
                await self._upgrade(stream, handshake)
        except BaseException as error:  # noqa: BLE001 - raised again unless it is a fault of this connection
            _absorb(error, stream.peer)
        finally:
            try:
                await stream.aclose()
            except BaseException as error:  # noqa: BLE001 - as above
                _absorb(error, stream.peer)

    async def _converse(self, stream: Stream) -> Handshake | None:
        """Answer requests until either side ends the connection, or one of them is a handshake."""
        exchange = Exchange(stream, self._max_body_bytes, self._timing)
        self._exchanges.add(exchange)
        if self._is_finishing:
            exchange.finish()
        try:
            while exchange.is_open:
                handshake = await self._serve_next(exchange, stream.peer)
                if handshake is not None:
                    exchange.hand_over()
                    return handshake
        finally:
            self._exchanges.discard(exchange)
        return None

    async def _serve_next(self, exchange: Exchange, peer: str) -> Handshake | None:
        request, address = None, peer
        try:
            request = await exchange.receive()
            if request is None:
                return None
            address = self._admission.address(request, peer)
            self._admission.origins.check_host(request)
            if is_upgrade(request):
                return await self._handshake(request, address)
            response = await self._answer(exchange, request, address)
        except Exception as error:  # noqa: BLE001 - one request's fault ends neither the others nor the server
            response = self._failure(error, request)
        await self._finish(exchange, request, response, address)
        return None

    async def _handshake(self, request: Request, address: str) -> Handshake:
        key = check_upgrade(request)
        self._admission.check_handshake(request, address)
        if not self._admission.has_room():  # the WebSocket is closed with advice; nothing is looked up for it
            return Handshake(Client(address, ""), key, request.path, [])
        client = await self._api.client(request, address)
        return Handshake(client, key, request.path, self._api.visitor_cookie(client))

    async def _answer(self, exchange: Exchange, request: Request, address: str) -> Response:
        path = request.path
        self._admission.check(request, address, is_page=path in pages.ALWAYS_SERVED)
        body = await exchange.read_body()
        is_api = path.startswith(api.PREFIX)
        if not is_api and path not in self._pages:
            raise errors.NotFound
        if request.method == "OPTIONS":
            return Response(204, headers=preflight(api.ALLOW if is_api else pages.ALLOW))
        answering = self._api.answer(request, body, address) if is_api else self._pages.answer(request, address)
        return await answering

    def _failure(self, error: Exception, request: Request | None) -> Response:
        """The answer to a failed request. A fault of the server's is logged and not described to the client."""
        if isinstance(error, errors.SeatSyncError) and not isinstance(error, errors.InternalServerError):
            return failure(error)
        logger.error("method_fault", type=self._type_of(request), exc_info=error)
        return failure(errors.InternalServerError())

    async def _finish(self, exchange: Exchange, request: Request | None, response: Response, address: str) -> None:
        """Send the response, then announce, count and log what it did."""
        seconds = trio.current_time() - exchange.began_at
        if request is not None:
            response = evolve(response, headers=response.headers + self._admission.origins.cors(request))
        await exchange.respond(response)
        if response.announcement is not None:
            self._nursery.start_soon(self._announce_later, *response.announcement)
        type_ = self._type_of(request)
        self._observe(type_, response.outcome, seconds)
        if response.outcome != "success":
            self._failures.write(
                response.outcome,
                address=address,
                type=type_ or ("" if request is None else request.path[:64]),
                ms=round(seconds * 1000, 2),
            )

    async def _announce_later(self, visitor: str, data: dict[str, Any]) -> None:
        await trio.sleep(self._timing.announce_delay_s)
        try:
            await self._announce(visitor, data)
        except Exception:
            logger.exception("login_not_announced")

    def _type_of(self, request: Request | None) -> str:
        """A request's name in logs and metrics: one of a fixed set, whatever clients send."""
        if request is None:
            return ""
        if request.path in self._pages:
            return request.path
        try:
            return self._api.find(request.path).name
        except errors.RouteNotFound:
            return ""


def _absorb(error: BaseException, peer: str) -> None:
    """Log a fault of one connection; raise a cancellation or Ctrl-C again, out of a group too."""
    if isinstance(error, trio.BrokenResourceError | trio.ClosedResourceError):
        logger.debug("connection_lost", address=peer)
    elif isinstance(error, Exception):
        logger.error("connection_fault", address=peer, exc_info=error)
    elif isinstance(error, BaseExceptionGroup):
        faults, others = error.split(Exception)
        if faults is not None:
            logger.error("connection_fault", address=peer, exc_info=faults)
        if others is not None:
            raise others from None
    else:
        raise error

"""The HTTP side: what becomes of a connection from its first byte on.

A handshake on ``/ws`` or ``/`` makes it a WebSocket; everything else is answered here, request by request: the methods
under ``/api`` (`seatsync.core.http.api`) and a few pages (`seatsync.core.http.pages`).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import structlog
import trio
from attrs import evolve

from seatsync import errors
from seatsync.config import Settings
from seatsync.core.http import api, pages
from seatsync.core.http.api import Api, Authenticate
from seatsync.core.http.exchange import ByteStream, Exchange
from seatsync.core.http.origin import OriginPolicy, preflight
from seatsync.core.http.pages import Pages
from seatsync.core.http.request import Request
from seatsync.core.http.response import Response, failure
from seatsync.core.http.upgrade import Handshake, check_upgrade, is_upgrade
from seatsync.core.net.limits import ClientLimits
from seatsync.core.net.networks import client_address
from seatsync.core.protocol.call import Client
from seatsync.core.protocol.registry import Registry
from seatsync.core.telemetry.sampling import FailureLog
from seatsync.core.tokens import Tokens

logger = structlog.get_logger(__name__)

#: How long after the answer to a login the same visitor's sockets are told. A page that hears of its login before it
#: has the cookie would reconnect as a guest.
ANNOUNCE_DELAY_S = 0.05

#: When a client that found no room should try again.
NO_ROOM_RETRY_S = 5.0

_StreamT = TypeVar("_StreamT", bound=ByteStream)


class HttpFront(Generic[_StreamT]):
    """Serves connections; one object for all listeners.

    ``nursery`` runs the announcements of logins, which outlive the connection they came on. ``observe`` is called
    with the type, the outcome (``success`` or an error code) and the seconds of every HTTP request, and of handshakes
    that fail; the type is a method, a page, or ``""`` for requests for nothing that exists.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        tokens: Tokens,
        *,
        nursery: trio.Nursery,
        authenticate: Authenticate,
        announce: Callable[[str, dict[str, Any]], Awaitable[None]],
        upgrade: Callable[[_StreamT, Handshake], Awaitable[None]],
        health: Callable[[], Mapping[str, Any]],
        metrics: Callable[[], Awaitable[bytes]],
        has_room: Callable[[], bool],
        addresses: ClientLimits,
        failures: FailureLog,
        observe: Callable[[str, str, float], None],
    ) -> None:
        self._nursery = nursery
        self._announce = announce
        self._upgrade = upgrade
        self._has_room = has_room
        self._addresses = addresses
        self._failures = failures
        self._observe = observe
        self._max_body_bytes = settings.max_message_bytes
        self._trusted_proxies = settings.trusted_proxies
        self._api = Api(registry, tokens, authenticate)
        self._pages = Pages(registry, health=health, metrics=metrics, metrics_token=settings.metrics_token)
        self._exchanges: set[Exchange] = set()
        self._is_finishing = False
        self._origins = OriginPolicy(settings.allowed_origins, loopback_only=settings.loopback_only)

    def finish(self) -> None:
        """Have every connection that is no WebSocket close once the request under way is answered, or at once."""
        self._is_finishing = True
        for exchange in self._exchanges:
            exchange.finish()

    async def serve(self, stream: _StreamT) -> None:
        """Serve one accepted connection to its end, and close it. Raises nothing but `trio.Cancelled`."""
        try:
            handshake = await self._converse(stream)
            if handshake is not None:
                await self._upgrade(stream, handshake)
        except BaseException as error:  # noqa: BLE001 - what is not ours goes on from there
            _absorb(error, stream.peer)
        finally:
            try:
                await stream.aclose()
            except BaseException as error:  # noqa: BLE001 - as above
                _absorb(error, stream.peer)

    async def _converse(self, stream: _StreamT) -> Handshake | None:
        """Answer requests until either side wants no more, or one of them is a handshake."""
        exchange = Exchange(stream, self._max_body_bytes)
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
        request: Request | None = None
        try:
            request = await exchange.receive()
            if request is None:
                return None
            self._origins.check_host(request)
            if is_upgrade(request):
                return await self._handshake(request, peer)
            response = await self._answer(exchange, request, peer)
        except Exception as error:  # noqa: BLE001 - one request's fault ends neither the others nor the server
            response = self._failure(error, request)
        await self._finish(exchange, request, response, peer)
        return None

    async def _handshake(self, request: Request, peer: str) -> Handshake:
        key = check_upgrade(request)
        self._origins.check_origin(request)
        address = self._address(request, peer)
        self._addresses.request(address)
        self._addresses.check_connections(address)
        if not self._has_room():
            return Handshake(Client(address, ""), key, request.path, [])
        client = await self._api.client(request, address)
        return Handshake(client, key, request.path, self._api.visitor_cookie(client))

    async def _answer(self, exchange: Exchange, request: Request, peer: str) -> Response:
        path = request.path
        address = self._address(request, peer)
        is_page = path in pages.ALWAYS_SERVED
        self._addresses.request(address, is_page=is_page)
        if not is_page:
            self._check_room()
        if request.method not in {"GET", "HEAD", "OPTIONS"}:
            self._origins.check_origin(request)
        body = await exchange.read_body()
        is_api = path.startswith(api.PREFIX)
        if not is_api and path not in self._pages:
            raise errors.NotFound
        if request.method == "OPTIONS":
            return Response(204, headers=preflight(api.ALLOW if is_api else pages.ALLOW))
        answering = self._api.answer(request, body, address) if is_api else self._pages.answer(request, address)
        return await answering

    def _check_room(self) -> None:
        if not self._has_room():
            raise errors.TooManyConnections(retry_after=NO_ROOM_RETRY_S)

    def _address(self, request: Request, peer: str) -> str:
        return client_address(peer, request.header(b"x-forwarded-for"), self._trusted_proxies)

    def _failure(self, error: Exception, request: Request | None) -> Response:
        """The answer to a failed request. A fault of ours is told to the log, not to the client."""
        if isinstance(error, errors.SeatSyncError) and not isinstance(error, errors.ServerFault):
            return failure(error)
        logger.error("method_fault", type=self._type_of(request), exc_info=error)
        return failure(errors.InternalServerError())

    async def _finish(self, exchange: Exchange, request: Request | None, response: Response, peer: str) -> None:
        """Send the response, and do what comes after one."""
        seconds = trio.current_time() - exchange.began_at
        if request is None:
            await exchange.respond(response)
        else:
            response = evolve(response, headers=response.headers + self._origins.cors(request))
            await exchange.respond(response)
        if response.announcement is not None:
            self._nursery.start_soon(self._announce_later, *response.announcement)
        type_ = self._type_of(request)
        self._observe(type_, response.outcome, seconds)
        if response.outcome != "success":
            self._failures.write(
                response.outcome,
                address=peer if request is None else self._address(request, peer),
                type=type_ or ("" if request is None else request.path[:64]),
                ms=round(seconds * 1000, 2),
            )

    async def _announce_later(self, visitor: str, data: dict[str, Any]) -> None:
        await trio.sleep(ANNOUNCE_DELAY_S)
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
    """Keep one connection's fault from all others: log it, and raise only a cancellation (or Ctrl-C) in it again."""
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

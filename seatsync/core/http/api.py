"""``POST /api/<module>/<method>``: the methods of the registry over HTTP, with the cookies that browsers sign in by."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from attrs import evolve

from seatsync import errors
from seatsync.core.http.request import Request
from seatsync.core.http.response import HeaderList, Response, failure, success
from seatsync.core.protocol.call import Call, Client
from seatsync.core.protocol.envelope import make_eid
from seatsync.core.protocol.registry import Method, Registry
from seatsync.core.tokens import Tokens

#: Finds the client behind an address, an ``Authorization`` field and cookies; a bad token makes a guest.
Authenticate = Callable[[str, str | None, Mapping[str, str]], Awaitable[Client]]

PREFIX = "/api/"
ALLOW = b"POST, OPTIONS"

_USER_PREFIX = "/api/user/"


class Api:
    """Runs methods for HTTP requests."""

    def __init__(self, registry: Registry, tokens: Tokens, authenticate: Authenticate) -> None:
        self._registry = registry
        self._tokens = tokens
        self._authenticate = authenticate

    def find(self, path: str) -> Method:
        """The method behind a path; raises `RouteNotFound`, for the subscriptions too."""
        module, _, name = path.removeprefix(PREFIX).partition("/")
        try:
            method = self._registry.find(f"{module}.{name}")
        except errors.UnknownMessageType:
            raise errors.RouteNotFound from None
        if not method.over_http:
            raise errors.RouteNotFound
        return method

    async def client(self, request: Request, address: str) -> Client:
        """The client that sent a request."""
        return await self._authenticate(address, request.header(b"authorization"), request.cookies())

    def visitor_cookie(self, client: Client) -> HeaderList:
        """The visitor cookie for a client that came without one."""
        return [_set_cookie(self._tokens.visitor_cookie(client.visitor))] if client.visitor_is_new else []

    async def answer(self, request: Request, body: bytes, address: str) -> Response:
        """Run the request's method and wait for its outcome; raises faults of ours only.

        A cancellation does not take a queued write back.
        """
        client = await self.client(request, address)
        try:
            return await self._run(request, body, client)
        except errors.ServerFault:
            raise
        except errors.SeatSyncError as error:
            allow = [(b"Allow", ALLOW)] if isinstance(error, errors.MethodNotAllowed) else []
            return failure(error, *allow, *self._first_cookie(request, client))

    async def _run(self, request: Request, body: bytes, client: Client) -> Response:
        method = self.find(request.path)
        if request.method != "POST":
            raise errors.MethodNotAllowed
        call = Call(client, method, make_eid(), "http", asked_as=method.name)
        data = await self._registry.answer(call, parse_object(body))
        return evolve(
            success(data),
            headers=self._login_cookies(call) or self._first_cookie(request, client),
            announcement=None if call.announce is None else (client.visitor, call.announce),
        )

    def _login_cookies(self, call: Call) -> HeaderList:
        """What a login or a logout changes. A login makes a new visitor: whoever planted the old id knows it."""
        if call.new_session is not None:
            visitor = call.client.visitor_next or self._tokens.new_visitor()
            cookies = [self._tokens.session_cookie(call.new_session), self._tokens.visitor_cookie(visitor)]
            return [_set_cookie(cookie) for cookie in cookies]
        if call.session_ended:
            return [_set_cookie(self._tokens.clear_session_cookie()), *self.visitor_cookie(call.client)]
        return []

    def _first_cookie(self, request: Request, client: Client) -> HeaderList:
        return self.visitor_cookie(client) if request.path.startswith(_USER_PREFIX) else []


def parse_object(body: bytes) -> dict[str, Any]:
    """The parameters in a body: a JSON object; an empty body and ``null`` stand for ``{}``.

    Raises `BadRequest`, also for bad UTF-8, lone surrogates and deep nesting, which orjson refuses.
    """
    if not body:
        return {}
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.BadRequest(f"The body is not JSON: {error.msg}.") from None
    if data is None:
        return {}
    if type(data) is not dict:
        raise errors.BadRequest("The body is not a JSON object.")
    return data


def _set_cookie(value: str) -> tuple[bytes, bytes]:
    return (b"Set-Cookie", value.encode("ascii"))

"""``POST /api/<module>/<method>``: the methods of the registry over HTTP, and the cookies that sign browsers in."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define, evolve

from seatsync import errors, jsontext
from seatsync.core.http.cookies import Cookies
from seatsync.core.http.request import Request
from seatsync.core.http.response import HeaderList, Response, failure, success
from seatsync.core.http.source import Source
from seatsync.core.protocol.call import Call, Client, Reply, new_id
from seatsync.core.protocol.envelope import make_eid
from seatsync.core.protocol.registry import Method, Registry, encode

#: Finds the client behind a source, a bearer token and cookies; a bad token makes a guest.
Authenticate = Callable[[Source, str | None, Mapping[str, str]], Awaitable[Client]]

PREFIX = "/api/"
ALLOW = b"POST, OPTIONS"


@define(eq=False)
class Api:
    """Runs methods for HTTP requests."""

    _registry: Registry
    _cookies: Cookies
    _authenticate: Authenticate

    def find(self, path: str) -> Method:
        """The method of a path; raises `RouteNotFound`, also for subscriptions."""
        module, _, name = path.removeprefix(PREFIX).partition("/")
        try:
            method = self._registry.find(f"{module}.{name}")
        except errors.UnknownMessageType:
            raise errors.RouteNotFound from None
        if not method.over_http:
            raise errors.RouteNotFound
        return method

    async def client(self, request: Request, source: Source, token: str | None = None) -> Client:
        """The client that sent a request; ``token`` counts as a bearer token where the header has none."""
        bearer = request.bearer()
        return await self._authenticate(source, token if bearer is None else bearer, request.cookies())

    def visitor_cookie(self, request: Request, client: Client) -> HeaderList:
        """The visitor cookie for a client that came without one."""
        if not client.visitor_is_new:
            return []
        return _set(request, self._cookies.visitor_cookie(client.visitor, client.enrolment))

    async def answer(self, request: Request, body: bytes, source: Source) -> Response:
        """Run the request's method and wait for its outcome. A cancellation leaves a write queued.

        Raises `InternalServerError` and bugs; other errors are responses.
        """
        client = await self.client(request, source)
        first_cookie: HeaderList = []
        try:
            method = self.find(request.path)
            if request.method != "POST":
                raise errors.MethodNotAllowed
            if method.makes_visitor:
                first_cookie = self.visitor_cookie(request, client)
            call = Call(client, method.name, make_eid(), "http")
            reply = await self._registry.run(method, call, parse_object(body))
        except errors.InternalServerError:
            raise
        except errors.SeatSyncError as error:
            allow = [(b"Allow", ALLOW)] if isinstance(error, errors.MethodNotAllowed) else []
            return failure(error, *allow, *first_cookie)
        successor = None if reply.login is None else reply.login.visitor
        return evolve(
            success(encode(reply.data)),
            headers=_set(request, *self._new_cookies(reply, client)) or first_cookie,
            announcement=None if reply.announcement is None else (client.visitor, successor, reply.announcement),
        )

    def _new_cookies(self, reply: Reply, client: Client) -> list[str]:
        cookies, login = self._cookies, reply.login
        if login is not None:
            return [cookies.session_cookie(login.token), cookies.visitor_cookie(login.visitor, new_id())]
        if reply.enrolment is not None:
            return [cookies.visitor_cookie(client.visitor, reply.enrolment)]
        return [cookies.clear_session_cookie()] if reply.logged_out else []


def parse_object(body: bytes) -> dict[str, Any]:
    """The parameters in a body: a JSON object; an empty body and ``null`` stand for ``{}``.

    Raises `BadRequest`, also for bad UTF-8, lone surrogates and deep nesting, which orjson refuses.
    """
    try:
        data = jsontext.loads(body or b"null")
    except jsontext.JSONDecodeError as error:
        raise errors.BadRequest(f"The body is not JSON: {error.msg}.") from None
    if data is None:
        return {}
    if type(data) is not dict:
        raise errors.BadRequest("The body is not a JSON object.")
    return data


def _set(request: Request, *cookies: str) -> HeaderList:
    """Set cookies, but for a page of another site: its browser would not send `SameSite` ones back."""
    if request.header(b"sec-fetch-site") == "cross-site":
        return []
    return [(b"Set-Cookie", cookie.encode("ascii")) for cookie in cookies]

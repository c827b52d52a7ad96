"""A browser page as existing clients make it, with a network that delays everything.

It opens its socket and asks for its login state at the same moment, knows that it is signed in by the frames of
``user.subscribe`` alone, and connects again whenever the server closes its socket because the login state has changed.
"""

import json
import random
from typing import Any

import pyotp
import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from tests.support.client import Answer, http, parse

#: The longest delay of anything on its way, in seconds.
LONGEST_S = 0.06

LOGIN_CHANGED = 4001


@define(eq=False)
class Page:
    """A page in a browser without cookies."""

    port: int
    """Of the HTTP methods."""
    ws_port: int
    address: str
    """The browser's own, as a proxy reports it."""
    secret: str = ""
    """In the authenticator of its user."""
    cookies: dict[str, str] = field(factory=dict)
    connected: trio.Event = field(factory=trio.Event)
    signed_in_as: str | None = None
    """By the newest frame of ``user.subscribe``."""
    sockets: list[str | None] = field(factory=list)
    """Whom each socket was opened as, by its first frame."""
    _news: trio.Event = field(factory=trio.Event)

    async def open(self, nursery: trio.Nursery) -> None:
        """The socket's handshake and the first request leave together; returns when both are answered."""
        nursery.start_soon(self._stay_connected)
        await self.call("user.status")
        await self.connected.wait()

    async def call(self, method: str, **data: Any) -> Any:
        """The data of a call over HTTP that has to succeed."""
        await _delay()
        path = f"/api/{method.replace('.', '/')}"
        answer: Answer = await http(self.port, "POST", path, data, dict(self._headers()))
        await _delay()
        self._keep(answer.headers)
        reply = answer.json()
        assert reply["error"] is None, reply
        return reply["data"]

    async def register(self, username: str) -> None:
        """Sign in as a new user."""
        start = await self.call("user.auth_start", username=username)
        self.secret = start["qr_url"].partition("secret=")[2]
        await self.call("user.register", username=username, code=self.code())

    async def log_in(self, username: str) -> None:
        """Sign in as a user."""
        assert await self.call("user.auth_start", username=username) == {"status": "user", "username": username}
        await self.call("user.login", username=username, code=self.code())

    def code(self) -> str:
        """What the authenticator shows."""
        return pyotp.TOTP(self.secret).now()

    async def opened_as(self, username: str | None) -> None:
        """Wait until the newest socket was opened as that user; ``None`` for a guest."""
        while not (self.sockets and self.sockets[-1] == self.signed_in_as == username):
            await self._news.wait()

    async def _stay_connected(self) -> None:
        while True:  # until cancelled
            await _delay()
            headers = [(name.encode(), value.encode()) for name, value in self._headers()]
            async with await trio.open_tcp_stream("localhost", self.ws_port) as stream, trio.open_nursery() as nursery:
                host = f"localhost:{self.ws_port}"
                ws = await wrap_client_stream(nursery, stream, host, "/ws", extra_headers=headers)
                await _delay()
                self._keep([(name.decode(), value.decode()) for name, value in ws.handshake_headers])
                try:
                    await self._receive(ws)
                except ConnectionClosed as closed:
                    if closed.reason is None or closed.reason.code != LOGIN_CHANGED:
                        raise
                nursery.cancel_scope.cancel()

    async def _receive(self, ws: WebSocketConnection) -> None:
        await ws.send_message(json.dumps({"type": "user.subscribe", "eid": "login"}))
        self.connected.set()
        while True:  # until the server closes
            frame = parse(await ws.get_message())
            self.signed_in_as = frame["data"].get("username")
            if frame["status"] == "snapshot":
                self.sockets.append(self.signed_in_as)
            self._news.set()
            self._news = trio.Event()

    def _headers(self) -> list[tuple[str, str]]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return [("X-Forwarded-For", self.address), *([("Cookie", cookie)] if cookie else [])]

    def _keep(self, headers: list[tuple[str, str]]) -> None:
        for field_, text in headers:
            if field_ == "set-cookie":
                name, _, value = text.partition(";")[0].partition("=")
                self.cookies[name] = value
                if not value:
                    del self.cookies[name]


async def _delay() -> None:
    await trio.sleep(random.uniform(0, LONGEST_S))  # noqa: S311 - no secret

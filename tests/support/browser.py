"""A browser: one jar of cookies for its HTTP requests and its WebSockets."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pyotp
from attrs import define, field

from tests.support.client import Answer, Client, http, open_client
from tests.support.server import RunningServer


@define
class Browser:
    """A browser without cookies."""

    server: RunningServer
    cookies: dict[str, str] = field(factory=dict)
    secret: str = ""
    """The secret in its user's authenticator."""

    async def post(self, method: str, **data: Any) -> Answer:
        """Call a method over HTTP."""
        headers = {"Cookie": self.cookie} if self.cookies else {}
        answer = await http(self.server.port, "POST", f"/api/{method.replace('.', '/')}", data, headers)
        self._keep(value for name, value in answer.headers if name == "set-cookie")
        return answer

    async def call(self, method: str, **data: Any) -> Any:
        """The data of a call that has to succeed."""
        answer = (await self.post(method, **data)).json()
        assert answer["error"] is None, answer
        return answer["data"]

    async def register(self, username: str) -> Any:
        """Sign in as a new user."""
        start = await self.call("user.auth_start", username=username)
        self.secret = start["qr_url"].partition("secret=")[2]
        return await self.call("user.register", username=username, code=await self.code())

    async def log_in(self, username: str) -> Any:
        """Sign in as that user, with the authenticator of this browser."""
        return await self.call("user.login", username=username, code=await self.code())

    async def code(self) -> str:
        """A code that has not been used yet."""
        await self.server.sql("update app_user set totp_last_step = 0")
        return pyotp.TOTP(self.secret).now()

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[Client]:
        """A WebSocket."""
        headers = [(b"Cookie", self.cookie.encode())] if self.cookies else []
        async with open_client(self.server.ws_port, headers) as client:
            self._keep(value.decode() for name, value in client.ws.handshake_headers if name == b"set-cookie")
            yield client

    @property
    def cookie(self) -> str:
        """The value of its ``Cookie`` field."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _keep(self, fields: Iterable[str]) -> None:
        for field_ in fields:
            name, _, value = field_.partition(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]

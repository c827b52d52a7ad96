"""A site of two servers behind a proxy, as in `seatsync/serve/deploy`: what its visitors need of the proxy."""

import json
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pyotp
import trio
from trio_websocket import wrap_client_stream

from seatsync.core.websocket.frames import CloseCode
from tests.support.client import Answer, Client, http
from tests.support.halls import make_hall
from tests.support.people import create_user
from tests.support.raw_socket import raw_tcp
from tests.support.readme import ROOT
from tests.support.server import RunningServer
from tests.support.views import open_view
from tests.support.waiting import eventually, metric, metric_is

DEPLOY = ROOT / "seatsync/serve/deploy"

NAME = "seats.example.org"
PAGE = {"Host": NAME, "Origin": f"https://{NAME}"}
"""The header fields of the site's own pages."""


def settings_beside(configuration: str) -> dict[str, Any]:
    """The settings of the servers behind a proxy: in its file's first comment, one a line."""
    return dict(re.findall(r"^#   ([A-Z_]+)=(\S+)", configuration, re.MULTILINE))


def put_servers(configuration: str, *ports: int) -> str:
    """The configuration with servers on these ports of this machine in place of its own, in order."""
    for number, port in enumerate(ports, 11):
        configuration = configuration.replace(f"10.0.0.{number}:3000", f"127.0.0.1:{port}")
    return configuration


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[None]:
    """A proxy for the length of the block."""
    process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@asynccontextmanager
async def visit(port: int, cookie: str) -> AsyncIterator[Client]:
    """The WebSocket of a page of the site, through the proxy."""
    fields = [(b"Origin", PAGE["Origin"].encode()), (b"Cookie", cookie.encode())]
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream, trio.open_nursery() as nursery:
        ws = await wrap_client_stream(nursery, stream, NAME, "/ws", extra_headers=fields)
        yield Client(ws)
        nursery.cancel_scope.cancel()


async def sign_in(port: int, server: RunningServer) -> str:
    """Sign in with an authenticator by a page of the site, and by none of another; the session's ``Cookie``.

    The visitor's sockets on both servers are closed to reconnect, so both know of it.
    """
    user = await create_user(server.db, server.settings, "ada", "operator")
    code = {"username": "ada", "code": pyotp.TOTP(user.secret).now()}
    visitor = _cookie(await http(port, "POST", "/api/user/auth_start", {"username": "eve"}, PAGE))
    foreign = {**PAGE, "Origin": "https://foreign.example.org", "Cookie": visitor}
    assert (await http(port, "POST", "/api/user/login", code, foreign)).status == 403
    async with raw_tcp(port) as raw:
        assert await raw.handshake(headers=foreign) == 403
    async with visit(port, visitor) as one, visit(port, visitor) as two:
        answer = await http(port, "POST", "/api/user/login", code, {**PAGE, "Cookie": visitor})
        assert answer.json()["error"] is None
        assert [(await each.closed())[0] for each in (one, two)] == [CloseCode.LOGIN_CHANGED] * 2
    assert "__Host-seatsync" in answer.cookies()
    return _cookie(answer)


def _cookie(answer: Answer) -> str:
    """The ``Cookie`` of a browser that has the response's cookies."""
    return "; ".join(f"{name}={value}" for name, value in answer.cookies().items())


async def drain_and_resume(
    port: int, servers: tuple[RunningServer, RunningServer], noticed: Callable[[RunningServer], Awaitable[object]]
) -> None:
    """Stop the server of one of two visitors, who resumes on the other, still signed in; the other visitor stays.

    ``noticed`` returns when the proxy sends nobody to the stopping server any more.
    """
    cookie = await sign_in(port, servers[0])
    hall = await make_hall(servers[0])
    for server in servers:
        await metric_is(server.port, "connections", 0)  # those that the sign-in has closed have ended

    async def visited() -> list[RunningServer]:
        """The server of the first visitor, in a list as long as there is one."""
        return [server for server in servers if await metric(server.port, "connections")]

    async with visit(port, cookie) as first:
        (leaving,) = await eventually(visited)
        (staying,) = (server for server in servers if server is not leaving)
        async with visit(port, cookie) as second:
            await metric_is(staying.port, "connections", 1)
            view, witness = await open_view(first, hall.id), await open_view(second, hall.id)
            leaving.stop.set()
            await noticed(leaving)
            await first.heartbeat() if leaving.settings.drain_delay_s else None
            async with visit(port, cookie) as late:
                await metric_is(staying.port, "connections", 2)
                await late.heartbeat()
            leaving.skip_delay.set()
            code, reason = await first.closed()
            assert (code, json.loads(reason or "")["reason"]) == (CloseCode.GOING_AWAY, "drain")
            await staying.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
            await witness.reach(view.rev + 1)  # or the change may come after the resumption
            async with visit(port, cookie) as again:
                assert (await again.data("user.status"))["username"] == "ada"
                since = {"id": hall.id, "since": view.rev, "epoch": view.data["epoch"]}
                await again.send("hall.subscribe", since, "again")
                data = (await again.of("again"))["data"]
                assert (data["resumed"], [seat["id"] for seat in data["seats"]]) == (True, [hall.seats[0]])
            await witness.reach(data["rev"])

"""Clients for tests: a WebSocket client that separates answers from updates, and an HTTP client."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import h11
import trio
from attrs import define, field, frozen
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket

from tests.support.schemas import check_close, check_frame, check_response

#: An upper bound for every wait in a passing test.
PATIENCE_S = 10.0

#: More than a hall of 50,000 seats takes.
MAX_MESSAGE_BYTES = 1 << 25

Frame = dict[str, Any]


@define
class Client:
    """One WebSocket client. Unread frames are kept in order."""

    ws: WebSocketConnection
    _waiting: list[Frame] = field(factory=list)
    _last_eid: int = 0

    @property
    def unread(self) -> list[Frame]:
        """Received frames that no call has returned."""
        return self._waiting

    async def send(self, type_: str, data: Any = None, eid: Any = None) -> str:
        """Send a request and return its eid without waiting for an answer."""
        if eid is None:
            self._last_eid += 1
            eid = f"e{self._last_eid}"
        await self.ws.send_message(json.dumps({"type": type_, "data": data, "eid": eid}))
        return str(eid)

    async def call(self, type_: str, data: Any = None, eid: Any = None) -> Frame:
        """Send a request and return its answer: the first frame under its eid that is no update."""
        sent = await self.send(type_, data, eid)
        return await self.answer(sent)

    async def answer(self, eid: str) -> Frame:
        """The next frame under that eid that is no update."""
        return await self._next(lambda frame: frame["eid"] == eid and frame["status"] != "update")

    async def data(self, type_: str, data: Any = None, eid: Any = None) -> Any:
        """Send a request and return the answer's data; fails the test on an error."""
        answer = await self.call(type_, data, eid)
        assert answer["error"] is None, answer
        return answer["data"]

    async def update(self, eid: str) -> Any:
        """The data of the next update under that eid."""
        frame = await self._next(lambda frame: frame["eid"] == eid and frame["status"] == "update")
        return frame["data"]

    async def of(self, eid: str) -> Frame:
        """The next frame under that eid, whatever it is."""
        return await self._next(lambda frame: frame["eid"] == eid)

    async def frame(self) -> Frame:
        """The next frame, whatever it is."""
        return await self._next(lambda _: True)

    async def _next(self, wanted: Any) -> Frame:
        frame: Frame
        for index, frame in enumerate(self._waiting):
            if wanted(frame):
                return self._waiting.pop(index)
        with trio.fail_after(PATIENCE_S):
            while True:
                message = await self.ws.get_message()
                if message == "1":
                    continue
                frame = parse(message)
                if wanted(frame):
                    return frame
                self._waiting.append(frame)

    async def raw(self, message: str | bytes) -> None:
        """Send a message as it is."""
        await self.ws.send_message(message)

    async def heartbeat(self) -> None:
        """Send the heartbeat and wait for its answer."""
        await self.ws.send_message("1")
        with trio.fail_after(PATIENCE_S):
            while (message := await self.ws.get_message()) != "1":
                self._waiting.append(parse(message))

    async def closed(self) -> tuple[int, str | None]:
        """Read until the server closes; the code and the reason of its close frame."""
        with trio.fail_after(PATIENCE_S):
            try:
                while True:
                    message = await self.ws.get_message()
                    if message != "1":
                        self._waiting.append(parse(message))
            except ConnectionClosed as closed:
                if closed.reason is None:
                    raise
                check_close(closed.reason.reason)
                return closed.reason.code, closed.reason.reason


def parse(message: str | bytes) -> Frame:
    """A frame of the server, checked against the schemas."""
    frame: Frame = json.loads(message)
    check_frame(frame)
    return frame


@asynccontextmanager
async def open_client(port: int, headers: list[tuple[bytes, bytes]] | None = None) -> AsyncIterator[Client]:
    """A client connected to a port of this machine."""
    async with open_websocket(
        "localhost", port, "/ws", use_ssl=False, extra_headers=headers or [], max_message_size=MAX_MESSAGE_BYTES
    ) as ws:
        try:
            yield Client(ws)
        finally:
            if ws.closed:  # by the server: trio-websocket then leaves its socket open
                await trio.aclose_forcefully(ws._stream)


@frozen
class Answer:
    """An HTTP response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The first header field of that name."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    def cookies(self) -> dict[str, str]:
        """The cookies it sets, by name."""
        pairs = (value.partition(";")[0].partition("=") for key, value in self.headers if key == "set-cookie")
        return {name: value for name, _, value in pairs}


async def http(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own; ``body`` is sent as JSON unless it is bytes already."""
    payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Host": f"localhost:{port}", "Connection": "close", **(headers or {})}
    if payload or method == "POST":
        fields.setdefault("Content-Type", "application/json")
        fields.setdefault("Content-Length", str(len(payload)))
    connection = h11.Connection(h11.CLIENT)
    with trio.fail_after(PATIENCE_S):
        async with await trio.open_tcp_stream("localhost", port) as stream:
            request = h11.Request(method=method, target=path, headers=list(fields.items()))
            parts = [connection.send(request), connection.send(h11.Data(data=payload)) if payload else b""]
            await stream.send_all(
                b"".join(part or b"" for part in parts) + (connection.send(h11.EndOfMessage()) or b"")
            )
            answer = await _read(connection, stream)
    if answer.body and answer.header("content-type") == "application/json":
        check_response(path, answer.json())
    return answer


async def _read(connection: h11.Connection, stream: trio.abc.ReceiveStream) -> Answer:
    status, headers, body = 0, [], b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some()))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = [(name.decode().lower(), value.decode()) for name, value in event.headers]
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, headers, body)

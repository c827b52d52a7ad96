"""trio-websocket as its manual shows it: ``send_message`` to one connection after the other."""

import sys

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, WebSocketServer

from tests.bench.field.parent import announce, canned_answer

ANSWER = canned_answer().decode()
connected: set[WebSocketConnection] = set()


async def answer(request: WebSocketRequest) -> None:
    """Serve one connection."""
    connection = await request.accept()
    connected.add(connection)
    try:
        while True:  # until the client closes
            await connection.get_message()
            await connection.send_message(ANSWER)
    except ConnectionClosed:
        pass
    finally:
        connected.discard(connection)


async def broadcast(payload: str) -> None:
    """Send one frame to every connection."""
    for connection in list(connected):
        try:
            await connection.send_message(payload)
        except ConnectionClosed:
            connected.discard(connection)


async def main() -> None:
    """Serve until standard input ends."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=4096)
    async with trio.open_nursery() as nursery:
        await nursery.start(WebSocketServer(answer, listeners).run)
        announce(listeners[0].socket.getsockname()[1])
        received = b""
        async with trio.lowlevel.FdStream(sys.stdin.fileno()) as lines:
            async for chunk in lines:
                *whole, received = (received + chunk).split(b"\n")
                for line in whole:
                    await broadcast(line.decode())
        nursery.cancel_scope.cancel()


trio.run(main)

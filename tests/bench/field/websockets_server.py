"""websockets on uvloop, with its own ``broadcast``."""

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from tests.bench.field.parent import announce, broadcast_lines, canned_answer

ANSWER = canned_answer().decode()


async def answer(connection: ServerConnection) -> None:
    """Serve one connection."""
    async for _ in connection:
        await connection.send(ANSWER)


async def main() -> None:
    """Serve until standard input ends."""
    async with serve(answer, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4096) as server:
        announce(server.sockets[0].getsockname()[1])
        await broadcast_lines(lambda payload: broadcast(server.connections, payload.decode()))


uvloop.run(main())

"""picows on uvloop. A broadcast reuses one buffer for the frame, which spares a copy per connection."""

import asyncio

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from tests.bench.field.parent import announce, broadcast_lines, canned_answer

#: What picows wants to have free before the payload, for the head of the frame.
_HEAD = 14

ANSWER = canned_answer()
connected: set[WSTransport] = set()


class Peer(WSListener):
    """One connection."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take part in broadcasts."""
        connected.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Take part no more."""
        connected.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a message."""
        if frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, ANSWER)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()


def broadcast(payload: bytes) -> None:
    """Send one frame to every connection."""
    buffer = bytearray(_HEAD) + payload
    for transport in connected:
        transport.send_reuse_external_bytearray(WSMsgType.TEXT, buffer, _HEAD)


async def main() -> None:
    """Serve until standard input ends."""

    def accept(_: WSUpgradeRequest) -> Peer:
        return Peer()

    server = await ws_create_server(accept, "127.0.0.1", 0, backlog=4096)
    announce(server.sockets[0].getsockname()[1])
    await broadcast_lines(broadcast)


uvloop.run(main()) if hasattr(uvloop, "run") else asyncio.run(main())

"""Any bytes on a connection lead to responses or a close, and to no error of the server (5xx)."""

import re

import h11
import trio
import trio.testing
from hypothesis import strategies as st

from tests.fuzz.inputs import each
from tests.fuzz.strategies import cut, requests, variants
from tests.support.http_front import HALL_JSON, open_world, request_bytes

HALL = b'{"data":%b,"status":"success","error":null}' % HALL_JSON


def talk(sent: list[bytes]) -> bytes:
    """Send these pieces and the end of the stream; returns all bytes until the server closes."""

    async def main() -> bytes:
        async with open_world() as world:
            client = await world.connect()
            try:
                for piece in sent:
                    await client.send(piece)
                    await trio.testing.wait_all_tasks_blocked()
                await client.finish()
            except trio.BrokenResourceError:
                pass  # it closed early
            received = b""
            while data := await client.stream.receive_some():
                received += data
            return received

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def statuses(received: bytes) -> list[int]:
    """The statuses of all responses, the interim ones included; fails when something else comes first."""
    assert received[:9] in {b"", b"HTTP/1.1 "}
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", received)]


def check_noise(sent: bytes) -> None:
    """Noise is answered with 400, or with nothing when it ends before it is a request."""
    assert set(statuses(talk(cut(sent, len(sent))))) <= {400}


def check_request(sent: bytes) -> None:
    """No response is a server error."""
    received = talk(cut(sent, len(sent)))
    assert all(status < 500 for status in statuses(received))
    assert b"InternalServerError" not in received


def check_cuts(sent: bytes) -> None:
    """The network may cut requests anywhere: their answers are the same."""
    assert statuses(talk(cut(sent, len(sent)))) == statuses(talk([sent]))


def check_body(chunks: list[bytes]) -> None:
    """Either framing gives the method the same body: JSON, padded by blanks as the chunks are long."""
    parts = [b'{"id"', b":", b"7", *(b" " * len(chunk) for chunk in chunks), b"}"]
    client = h11.Connection(h11.CLIENT)
    fields = [("Host", "localhost"), ("Transfer-Encoding", "chunked")]
    chunked = client.send(h11.Request(method="POST", target="/api/hall/get", headers=fields))
    chunked += b"".join(client.send(h11.Data(part)) for part in parts) + client.send(h11.EndOfMessage())
    for sent in (chunked, request_bytes("POST", "/api/hall/get", b"".join(parts))):
        assert talk(cut(sent, len(sent))).endswith(HALL)


def test_noise() -> None:
    """Bytes that are no request."""
    each(st.lists(st.binary(max_size=200), min_size=1, max_size=8), check_noise, 0.06)


def test_requests() -> None:
    """Heads and bodies, cut and damaged."""
    each(variants(requests()), check_request, 0.15)


def test_cuts() -> None:
    """Requests that are not damaged."""
    each(variants(requests(), 1), check_cuts, 0.06)


def test_bodies() -> None:
    """Bodies with any number of chunks."""
    chunks = st.lists(st.binary(min_size=1, max_size=50), max_size=5)
    each(st.lists(chunks, min_size=1, max_size=8), check_body, 0.06)

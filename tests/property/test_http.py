"""Whatever bytes come, a connection ends in responses or a close, and nothing is raised."""

import h11
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.http_front import HALL_JSON, handshake_bytes, open_world, request_bytes

HALL = b'{"data":%b,"status":"success","error":null}' % HALL_JSON

_GOOD = [
    request_bytes("GET", "/healthz"),
    request_bytes("OPTIONS", "/api/hall/get", Origin="http://localhost"),
    request_bytes("POST", "/api/hall/get", b'{"id":7}', Cookie="a=b; seatsync=x"),
    b'POST /api/hall/get HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"id":7}\r\n0\r\n\r\n',
    handshake_bytes(),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Good requests with a part cut out, doubled or overwritten."""
    data = b"".join(draw(st.lists(st.sampled_from(_GOOD), min_size=1, max_size=3)))
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 20)))
    return data[:start] + draw(st.binary(max_size=8)) + data[draw(st.sampled_from([start, end])) :]


@st.composite
def pieces(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> list[bytes]:
    """Bytes, cut at arbitrary places."""
    whole = draw(data)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True) if end > start]


def talk(sent: list[bytes]) -> bytes:
    """What the front answers to these pieces, followed by silence; fails unless it then closes the connection."""

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
    """The statuses of whole responses; fails when anything else is among them."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        version, status = head.split(b" ", 2)[:2]
        assert version == b"HTTP/1.1"
        found.append(int(status))
        length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0)
        assert len(rest) >= length
        received = rest[length:]
    return found


@settings(deadline=None)
@given(pieces(st.binary(max_size=200)))
def test_arbitrary_bytes(sent: list[bytes]) -> None:
    """Noise is answered with 400, or with nothing when it ends before it is a request."""
    assert set(statuses(talk(sent))) <= {400}


@settings(deadline=None)
@given(pieces(damaged()))
def test_damaged_requests(sent: list[bytes]) -> None:
    """A request with a fault gets an answer of its own; no fault is the server's."""
    assert set(statuses(talk(sent))) <= {101, 200, 204, 400, 403, 404, 405, 413, 426}


@settings(deadline=None)
@given(pieces(st.lists(st.sampled_from(_GOOD[:4]), max_size=5).map(b"".join)))
def test_cuts_do_not_matter(sent: list[bytes]) -> None:
    """Good requests get good answers wherever the network cuts them."""
    answers = statuses(talk(sent))
    assert answers == statuses(talk([b"".join(sent)] if sent else []))
    assert set(answers) <= {200, 204}


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.booleans())
def test_bodies_arrive_whole(chunks: list[bytes], is_chunked: bool) -> None:
    """Either framing gives the method the same body: it is JSON here, padded by blanks as the chunks are long."""
    parts = [b'{"id"', b":", b"7", *(b" " * len(chunk) for chunk in chunks), b"}"]
    if is_chunked:
        client = h11.Connection(h11.CLIENT)
        sent = client.send(
            h11.Request(
                method="POST",
                target="/api/hall/get",
                headers=[("Host", "localhost"), ("Transfer-Encoding", "chunked")],
            )
        )
        sent += b"".join(client.send(h11.Data(part)) for part in parts) + client.send(h11.EndOfMessage())
    else:
        sent = request_bytes("POST", "/api/hall/get", b"".join(parts))
    assert talk([sent]).endswith(HALL)

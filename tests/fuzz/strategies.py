"""Input of clients: good messages, frames and requests, and damaged ones."""

import json
import string
from random import Random
from typing import Any, cast

import attrs
from hypothesis import strategies as st

from seatsync.cinema.methods import CinemaMethods
from seatsync.config import load_settings
from seatsync.core.protocol.registry import Method, Registry
from seatsync.hall.history import HistoryMethods
from seatsync.hall.messages import STATUSES
from seatsync.hall.methods import HallMethods
from seatsync.user.methods import UserMethods
from seatsync.user.session_list import SessionMethods
from seatsync.user.tokens import Tokens
from tests.support.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

_NOTHING = cast("Any", None)

#: Every method, of a registry without anything behind it.
REGISTRY = Registry(
    [
        *UserMethods(_NOTHING, Tokens("s" * 32), load_settings({}, dotenv=None), _NOTHING, seen=_NOTHING).table(),
        *SessionMethods(_NOTHING, _NOTHING, 0).table(),
        *CinemaMethods(_NOTHING).table(),
        *HallMethods(_NOTHING, _NOTHING).table(),
        *HistoryMethods(_NOTHING).table(),
    ],
    public_view=True,
)

METHODS = list(REGISTRY)
_NAMES = [method.name for method in METHODS] + [alias for method in METHODS for alias in method.aliases]
_FIELDS = sorted({field.name for method in METHODS for field in attrs.fields(method.params)} | {"seat_id", "status"})

_WORDS = st.sampled_from(
    ["", "1", "anna", "s1", "\0", "\u2028", "é" * 65, "123456", "0" * 200, "2026-11-23", *STATUSES, *_NAMES]
)
_NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**400, 1.5, 1e308, -0.0])
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(1, 6),
    _NUMBERS,
    _WORDS,
    st.text(max_size=10),
    st.uuids(version=4).map(str),
    st.floats(),
)
VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(_FIELDS), _WORDS), inner, max_size=4)
    ),
    max_leaves=8,
)


_GOOD = {
    "id": st.integers(1, 2),
    "hall_id": st.integers(1, 2),
    "seat_id": st.integers(1, 6),
    "status": st.sampled_from(STATUSES),
    "expected": st.sampled_from(STATUSES),
    "username": st.text(string.ascii_lowercase, min_size=3, max_size=4),
    "code": st.just("000000"),
    "seats": st.lists(
        st.fixed_dictionaries({"seat_id": st.integers(1, 6), "status": st.sampled_from(STATUSES)}), max_size=3
    ),
    "key": st.uuids(version=4).map(str),
    "note": st.text(max_size=20),
}


def _params(method: Method) -> st.SearchStrategy[dict[str, Any]]:
    fields = [field.name for field in attrs.fields(method.params)]
    return st.fixed_dictionaries({name: st.one_of(_GOOD.get(name, VALUES), VALUES) for name in fields})


_PARAMS = {method.name: _params(method) for method in METHODS}


@st.composite
def params(draw: st.DrawFn) -> Any:
    """The data of a request: most fields are present and valid."""
    name = draw(st.sampled_from(list(_PARAMS)))
    return name, draw(_PARAMS[name])


_DEEP = ("[" * 5000, '{"eid":' * 2000, '{"eid":' + "9" * 5000 + "}")


@st.composite
def messages(draw: st.DrawFn) -> str:
    """Text of a message: valid, with odd parts, or no message at all."""
    name, data = draw(params())
    message: dict[str, Any] = {"type": name, "data": data, "eid": draw(st.one_of(_WORDS, st.integers(1, 5)))}
    for odd in draw(st.lists(st.sampled_from(["type", "data", "eid", "ts"]), max_size=2)):
        if draw(st.booleans()):
            message[odd] = draw(VALUES)
        else:
            message.pop(odd, None)
    text = json.dumps(message, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 30)) == 0:
        text = draw(st.one_of(st.text(), st.sampled_from(_DEEP)))
    return text.encode(errors="replace").decode()


@st.composite
def variants(draw: st.DrawFn, good: st.SearchStrategy[bytes], count: int = 8) -> list[bytes]:
    """Some bytes and damaged copies of them, which cost far less than new ones."""
    whole = draw(good)
    random = Random(draw(st.integers(0, 2**32)))  # noqa: S311 - no secret
    return [whole, *(_damage(whole, random) for _ in range(count - 1))]


def _damage(whole: bytes, random: Random) -> bytes:
    """Bytes with a few parts cut out, doubled, flipped or overwritten."""
    data = bytearray(whole)
    for _ in range(random.randint(1, 3)):
        start = random.randint(0, len(data))
        end = min(len(data), start + random.choice((0, 1, 1, 2, 4, 16)))
        part = bytes(data[start:end])
        flipped = bytes(byte ^ 1 << random.randrange(8) for byte in part)
        data[start:end] = random.choice((b"", 2 * part, random.randbytes(len(part)), flipped, *_SPICES))
    return bytes(data)


_SPICES = (b"\0", b"\r\n", b"\n", b"9", b"-", b"{", b"]", b'"', b"\\ud800", b"\xff", b"\xc3", b" ", b":", b",")


def cut(data: bytes, seed: int) -> list[bytes]:
    """Bytes, cut at arbitrary places, as a network does."""
    random = Random(seed)  # noqa: S311 - no secret
    cuts = sorted(random.randint(0, len(data)) for _ in range(random.randint(0, 3)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if end > start]


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """The frames of a client: messages, whole and in parts, control frames, and some that break the protocol."""
    sent = b""
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.integers(0, 9))
        payload = draw(messages()).encode()
        if kind <= 4:
            sent += frame(TEXT, payload)
        elif kind == 5:
            cut = draw(st.integers(0, len(payload)))
            empty, new = frame(CONTINUATION, b"", last=False), frame(TEXT, b"not allowed here")
            between = draw(st.sampled_from([b"", frame(PING, b"between"), empty, new]))
            sent += frame(TEXT, payload[:cut], last=False) + between + frame(CONTINUATION, payload[cut:])
        elif kind == 6:
            sent += frame(draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125)))
        elif kind == 7:
            sent += frame(TEXT, b"1")
        elif kind == 8:
            code = draw(st.sampled_from([1000, 1001, 999, 1005, 1006, 1014, 3000, 4999, 65535]))
            sent += frame(CLOSE, code.to_bytes(2) + draw(st.binary(max_size=20)))
        else:
            sent += frame(
                draw(st.sampled_from([TEXT, BINARY, CONTINUATION, CLOSE, 3, 11, 15])),
                draw(st.binary(max_size=130)),
                last=draw(st.booleans()),
                masked=draw(st.booleans()),
                reserved=draw(st.sampled_from([0, 0, 1, 4])),
            )
    return sent


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """A body in the chunked transfer coding, with extensions and trailers."""
    random, sent = Random(draw(st.integers(0, 2**32))), b""  # noqa: S311 - no secret
    for chunk in cut(body, random.getrandbits(32)):
        size = random.choice((b"%x", b"%X", b"00%x")) % len(chunk)
        sent += size + random.choice((b"", b"", *_EXTENSIONS)) + b"\r\n" + chunk + b"\r\n"
    trailers = random.choices((b"", *_TRAILERS), k=random.randint(0, 2))
    return sent + b"0" + random.choice((b"", *_EXTENSIONS)) + b"\r\n" + b"".join(trailers) + b"\r\n"


_EXTENSIONS = (b";a", b';a=b;c="d e"', b" ;a = b", b"\t", b";a\rb", b";a\0", b";\x7f", b";" + b"x" * 600)
_TRAILERS = (b"X: a\r\n", b"X:\r\n", b"X: a\r\n b\r\n", b"X: a\n", b"\n", b"X : a\r\n", b"X\r\n")


@st.composite
def chunked_bodies(draw: st.DrawFn) -> bytes:
    """A chunked body and the beginning of the next request."""
    return draw(chunked(draw(st.binary(max_size=60)))) + b"GET / HTTP/1.1\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """HTTP requests, one after the other, and sometimes a handshake and frames; most are good."""
    sent = b""
    for _ in range(draw(st.integers(1, 3))):
        name, data = draw(params())
        body = json.dumps(data).encode()
        path = draw(st.sampled_from([f"/api/{name.replace('.', '/')}", "/healthz", "/", "/ws", "/metrics", "/nothing"]))
        method = draw(st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "OPTIONS", "PUT"]))
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", *draw(st.lists(st.sampled_from(_HEADERS), max_size=3))]
        if draw(st.booleans()):
            head.append("Transfer-Encoding: chunked")
            body = draw(chunked(body))
        else:
            head.append(f"Content-Length: {len(body)}")
        sent += "\r\n".join(head).encode() + b"\r\n\r\n" + body
    if draw(st.integers(0, 2)) == 2:
        sent += _HANDSHAKE % draw(st.sampled_from(_OFFERS)) + draw(frames())
    return sent


_HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: seatsync=x.y.z\r\n%b\r\n"
)

_OFFERS = [
    b"",
    b"Sec-WebSocket-Protocol: seatsync.v1, seatsync.bearer.x.y.z\r\n",
    b"Sec-WebSocket-Protocol: seatsync.bearer.\r\nSec-WebSocket-Protocol: seatsync.v1,,seatsync.v1;q=1\r\n",
    b"Sec-WebSocket-Protocol: " + 999 * b"graphql-ws," + b"\r\n",
    b"Sec-WebSocket-Protocol:\r\n",
]

_HEADERS = [
    "Expect: 100-continue",
    "Connection: close",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: seatsync.bearer.x.y.z, ,;",
    "Origin: http://localhost",
    "Origin: null",
    "X-Forwarded-For: 192.0.2.1, nonsense",
    "Authorization: Bearer x.y.z",
    "Cookie: seatsync=x.y.z; visitor=\x7f; a=b;; =",
    "Content-Type: text/plain",
    "Content-Length: 3",
    "Transfer-Encoding: gzip",
]

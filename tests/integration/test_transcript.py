"""The wire, byte for byte: what a client sent and got when `transcript.txt` was recorded is what it gets today.

The conversation is the README's messages in their order, then HTTP, then one of each kind of refusal. Only what differs
from run to run (times, tokens, keys, ids of sessions) is masked. A change of the protocol records it anew, to be read
in review: ``RECORD_TRANSCRIPT=1 make test ARGS="-k transcript"``.
"""

import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from seatsync import jsontext, seed
from tests.support.client import PATIENCE_S
from tests.support.raw_socket import CLOSE, RawSocket, raw_tcp, raw_websocket
from tests.support.reader import Reader
from tests.support.readme import PROTOCOL, read_page
from tests.support.server import RunningServer

RECORDED = Path(__file__).with_name("transcript.txt")

#: Updates of the list of cinemas are gathered, so they come at any time: `_cinemas` has one for itself.
GATHERED = '{"type":"cinemas.subscribe","status":"update"'

UUID = "6f1c2b6e-7d0f-4c8e-9a43-1f1f3f6d2a10"

MASKS = (
    (r'"ts":\d{13}', '"ts":<ms>'),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "<time>"),
    (r'"epoch":"[^"]+"', '"epoch":"<epoch>"'),
    (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
    (r"secret=[A-Z2-7]{32}", "secret=<secret>"),
    (r"base64,[A-Za-z0-9+/=]+", "base64,<image>"),
    (r"seatsync_visitor=[0-9a-f]{32}\.[0-9a-f]{32}\.[0-9a-f]{64}", "seatsync_visitor=<visitor>"),
    (r'"phrase": ?"[a-z]{5}( [a-z]{5}){4}"', '"phrase":"<phrase>"'),
    (r'"code": ?"\d{6}"', '"code":"<code>"'),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "<date>"),
    (r'"eid":"[0-9a-f]{16}"', '"eid":"<made up>"'),
    (r"localhost:\d+", "localhost:<port>"),
    (r'"id":"[0-9a-f-]{36}"', '"id":"<session>"'),
)

REFUSED = (
    "this is no JSON",
    "[]",
    '{"eid":"a"}',
    '{"type":"nothing.there","eid":"b"}',
    '{"type":"hall.get","eid":["c"]}',
    '{"type":"hall.get","eid":12345678901234567890123,"data":{}}',
    '{"type":"hall.get","eid":"d","data":{"id":"3"}}',
    '{"type":"hall.get","eid":"e","data":{"id":999999}}',
    '{"type":"hall.get","eid":"f","data":7}',
    '{"type":"hall.subscribe","eid":"g","data":{"id":3,"since":-1}}',
    '{"type":"hall.subscribe","eid":"h","data":{"id":3,"since":0,"epoch":"another"}}',
    '{"type":"hall.subscribe","eid":"h","data":{"id":3}}',
    '{"type":"hall.unsubscribe","eid":"i","data":{"sub_eid":"none"}}',
    '{"type":"hall.update_seat_status","eid":"j","data":{"hall_id":3,"seat_id":612,"status":"VACANT"}}',
    '{"type":"user.recovery_phrase","eid":"k","data":{"code":"123456"}}',
    '{"type":"user.login","eid":"l","data":{"username":"nobody","code":"123456"}}',
    '{"type":"user.login","eid":"m","data":{"username":"a"}}',
    '{"type":"user.register","eid":"n","data":{"username":"grace","code":"123456"}}',
    "1",
)

REFUSED_WRITES: tuple[dict[str, Any], ...] = (
    {"seat_id": 612, "status": "VACANT"},
    {"hall_id": 3, "seat_id": 612},
    {"hall_id": 3, "seat_id": 612, "status": "TAKEN"},
    {"hall_id": 3, "seat_id": 1, "status": "VACANT"},
    {"hall_id": 999999, "seat_id": 612, "status": "VACANT"},
    {"hall_id": 3, "seat_id": 612, "status": "OCCUPIED", "expected": "MAINTENANCE"},
    {"hall_id": 3, "seat_id": 612, "status": "VACANT", "key": "no uuid"},
    {"hall_id": 3, "seat_id": 612, "status": "OCCUPIED", "key": UUID},
    {"hall_id": 3, "seat_id": 612, "status": "OCCUPIED", "key": UUID},
    {"hall_id": 3, "seat_id": 612, "status": "RESERVED"},
    {"hall_id": 3, "seats": []},
    {"hall_id": 3, "seats": [{"seat_id": 613, "status": "VACANT"}, {"seat_id": 613, "status": "VACANT"}]},
)

HTTP = (
    ("POST", "/api/user/status", "{}"),
    ("POST", "/api/user/login", '{"username":"ada"}'),
    ("POST", "/api/user/logout", ""),
    ("POST", "/api/cinemas/get_cinemas", "{}"),
    ("POST", "/api/hall/get", '{"id":3}'),
    ("POST", "/api/hall/get", '{"id":999999}'),
    ("POST", "/api/hall/get", "no JSON"),
    ("POST", "/api/hall/get", "[]"),
    ("POST", "/api/hall/subscribe", '{"id":3}'),
    ("POST", "/api/hall/update_seat_status", '{"hall_id":3,"seat_id":612,"status":"VACANT"}'),
    ("POST", "/api/nothing/there", "{}"),
    ("GET", "/api/hall/get", ""),
    ("OPTIONS", "/api/hall/get", ""),
    ("GET", "/", ""),
    ("HEAD", "/", ""),
    ("GET", "/ws", ""),
    ("GET", "/nothing", ""),
    ("POST", "/healthz", "{}"),
    ("GET", "/healthz", ""),
    ("GET", "/readyz", ""),
)


@define
class Recorder:
    """What went over the wire, a line for each message, masked."""

    lines: list[str] = field(factory=list)

    def note(self, direction: str, text: str) -> None:
        """One message, ``>`` to the server and ``<`` from it."""
        for pattern, mask in MASKS:
            text = re.sub(pattern, mask, text)
        self.lines += [f"{direction} {line}" for line in text.splitlines()]

    async def say(self, raw: RawSocket, text: str, *, answers: int = 1) -> list[str]:
        """Send a text frame and note it with what is answered, in the order of types: a write races its update."""
        self.note(">", text)
        await raw.send_frame(0x1, text.encode())
        found: list[str] = []
        while len(found) < answers:
            line = await raw.receive_text()
            if not line.startswith(GATHERED):
                found.append(line)
        for line in sorted(found, key=lambda line: '"status":"update"' in line):
            self.note("<", line)
        return found

    async def hear_close(self, raw: RawSocket) -> None:
        """Note the server's close frame."""
        received = await raw.receive_close()
        self.note("<", f"close {received.close_code} {received.close_reason}")


@define
class Visitor(Reader):
    """Somebody who goes through the README's messages from top to bottom."""

    recorder: Recorder = field(kw_only=True)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[RawSocket]:
        """A new connection, with the token if there is one."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with raw_websocket(self.server.ws_port, headers) as raw:
            self.recorder.note("<", "\n".join(f"{name}: {value}" for name, value in raw.headers))
            yield raw

    async def go_through(self, examples: Iterator[tuple[str, dict[str, Any]]]) -> bool:
        """Say what the page says on one connection, until that needs a new one; whether it does."""
        async with self.connect() as raw:
            watched = False
            for name, request in examples:
                data = await self.fill(request.get("data"))
                text = json.dumps({**request, "data": data} if data is not None else request)
                answers = await self.recorder.say(raw, text, answers=2 if watched and "update_seat" in name else 1)
                watched = (watched or name == "hall.subscribe") and name != "hall.unsubscribe"
                if self.learn(name, json.loads(answers[0])["data"]):
                    return True
        return False


async def test_the_wire_is_as_recorded(server: RunningServer) -> None:
    """Every message, every header field and every close, in every byte that does not tell the time."""
    await seed.demo(server.db)
    recorder = Recorder()
    visitor = Visitor(server, recorder=recorder)
    examples = iter([(name, frames[0]) for name, frames in read_page(PROTOCOL).examples().items()])
    while await visitor.go_through(examples):
        pass
    for method, path, body in HTTP:
        await _http(server, recorder, method, path, body)
    await _cinemas(server, recorder)
    await _refusals(server, recorder)
    found = "\n".join(recorder.lines) + "\n"
    if "RECORD_TRANSCRIPT" in os.environ:
        RECORDED.write_text(found)
    recorded = RECORDED.read_text()
    if jsontext.loads is jsontext.plain_loads:  # the parser's reason is in the words of orjson
        words = r"(is not JSON|-Length): [^\"\n]+"
        found, recorded = (re.sub(words, r"\1: <any>", text) for text in (found, recorded))
    assert found == recorded


async def _cinemas(server: RunningServer, recorder: Recorder) -> None:
    async with raw_websocket(server.ws_port) as raw:
        await recorder.say(raw, '{"type":"cinemas.subscribe","eid":"list"}')
        await server.sql("update seat set status = 'MAINTENANCE' where hall_id = 5 and row = 1 and place = 6")
        text = await raw.receive_text()
        while json.loads(text)["data"]["id"] == 1:  # of the writes before, whose notification may come only now
            text = await raw.receive_text()
        recorder.note("<", text)


async def _refusals(server: RunningServer, recorder: Recorder) -> None:
    async with raw_websocket(server.ws_port) as raw:
        for text in REFUSED:
            await recorder.say(raw, text)
    async with raw_websocket(server.ws_port, {"Authorization": f"Bearer {await server.token('eve')}"}) as raw:
        for number, data in enumerate(REFUSED_WRITES):
            type_ = "hall.update_seats" if "seats" in data else "hall.update_seat_status"
            await recorder.say(raw, json.dumps({"type": type_, "data": data, "eid": number}))
    async with raw_websocket(server.ws_port, {"Authorization": f"Bearer {await server.token('eve', 'viewer')}"}) as raw:
        data = {"hall_id": 3, "seat_id": 612, "status": "VACANT"}
        await recorder.say(raw, json.dumps({"type": "hall.update_seat_status", "data": data, "eid": "viewer"}))
    for opcode, payload in ((0x2, b"binary"), (0x1, b"\xff"), (0x3, b""), (0x1, b" " * 300_000), (CLOSE, b"\x03\xe8")):
        async with raw_websocket(server.ws_port) as raw:
            recorder.note(">", f"frame {opcode:#x} {len(payload)} bytes")
            await raw.send_frame(opcode, payload)
            await recorder.hear_close(raw)
    async with raw_websocket(server.ws_port) as raw:
        await recorder.say(raw, '{"type":"hall.subscribe","eid":"gone","data":{"id":3}}')
        await server.sql("delete from hall where id = 3")
        recorder.note("<", await raw.receive_text())
        server.stop.set()
        await recorder.hear_close(raw)


async def _http(server: RunningServer, recorder: Recorder, method: str, path: str, body: str) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    recorder.note(">", f"{method} {path} {body}")
    async with raw_tcp(server.port) as raw:
        await raw.send((head + body).encode())
        received = b""
        with trio.fail_after(PATIENCE_S):
            while data := await raw.stream.receive_some():
                received += data
    recorder.note("<", received.decode())

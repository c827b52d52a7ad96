"""What a supervisor and its workers say to each other, over a socket pair.

A message is its length, one byte for its kind, and a payload. Either side sees the end of the stream when the other is
gone, however that happened. Payloads of questions and answers begin with a number, so that a late answer is nobody's.
"""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import trio

#: Worker to supervisor: it accepts connections · it cannot start, and why · it wants the metrics of all · its own.
READY, FAILED, SCRAPE, REPORT = b"r", b"f", b"s", b"m"

#: Supervisor to worker: say yours · these are the metrics of all.
ASK, ANSWER = b"?", b"a"

#: How long a scrape may take, in seconds: until the supervisor has all answers, and until the asker has its.
GATHER_S, SCRAPE_S = 1.0, 2.0

#: Messages kept for a side that does not read; those beyond are lost.
_MAX_UNSENT = 64

#: How long a worker waits for the supervisor to have read its last words, in seconds.
_FAREWELL_S = 1.0

_HEADER = struct.Struct("!Ic")
_NUMBER = struct.Struct("!I")
_RECEIVE_BYTES = 64 * 1024

Take = Callable[[bytes, bytes], None]


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new channel; the second is meant for a child process."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class Channel:
    """One end. One task runs it, which also closes it; anybody may send."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(end))
        self._unsent, self._outbox = trio.open_memory_channel[bytes](_MAX_UNSENT)

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Have one message sent; it is lost if the other side is gone or has not read for long."""
        with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._unsent.send_nowait(_HEADER.pack(len(payload), kind) + payload)

    def finish(self) -> None:
        """Send nothing more, and tell the other side so, after all that is to be sent."""
        self._unsent.close()

    async def run(self, take: Take) -> None:
        """Call ``take`` with the kind and payload of every message, until the other side is gone or has finished."""
        async with self._stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            with suppress(trio.BrokenResourceError):
                await self._read(take)
            nursery.cancel_scope.cancel()

    async def _write(self) -> None:
        with suppress(trio.BrokenResourceError):
            async for message in self._outbox:
                await self._stream.send_all(message)
            await self._stream.send_eof()

    async def _read(self, take: Take) -> None:
        received = bytearray()
        while data := await self._stream.receive_some(_RECEIVE_BYTES):
            received += data
            while len(received) >= _HEADER.size:
                size, kind = _HEADER.unpack_from(received)
                end = _HEADER.size + size
                if len(received) < end:
                    break
                take(kind, bytes(received[_HEADER.size : end]))
                del received[:end]


class WorkerControl:
    """A worker's end: says that it is ready or why it cannot be, gives its metrics, asks for everybody's."""

    def __init__(self, end: socket.socket, report: Callable[[], bytes]) -> None:
        self._channel = Channel(end)
        self._report = report
        self._numbers = count()
        self._answered: dict[int, trio.Event] = {}
        self._answers: dict[int, bytes] = {}
        self._over = trio.Event()

    async def run(self) -> None:
        """Answer the supervisor; returns when it is gone."""
        try:
            await self._channel.run(self._take)
        finally:
            self._over.set()

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == ASK:
            self._channel.send(REPORT, payload + self._report())
        elif kind == ANSWER:
            number, text = split_number(payload)
            if number in self._answered:
                self._answers[number] = text
                self._answered[number].set()

    async def ready(self) -> None:
        """Connections are accepted."""
        self._channel.send(READY)

    async def failed(self, sentence: str) -> None:
        """The worker cannot start: say why, and wait until the supervisor has heard it."""
        self._channel.send(FAILED, sentence.encode())
        self._channel.finish()
        with trio.move_on_after(_FAREWELL_S):
            await self._over.wait()

    async def metrics(self) -> bytes:
        """The metrics of all workers; its own alone when the supervisor does not answer within `SCRAPE_S`."""
        number = next(self._numbers)
        answered = self._answered[number] = trio.Event()
        try:
            self._channel.send(SCRAPE, numbered(number))
            with trio.move_on_after(SCRAPE_S):
                await answered.wait()
        finally:
            del self._answered[number]
            answer = self._answers.pop(number, None)
        return self._report() if answer is None else answer


def numbered(number: int, payload: bytes = b"") -> bytes:
    """A payload behind its number."""
    return _NUMBER.pack(number) + payload


def split_number(payload: bytes) -> tuple[int, bytes]:
    """The number that a payload begins with, and the rest."""
    return _NUMBER.unpack_from(payload)[0], payload[_NUMBER.size :]


def merge_metrics(reports: dict[int, bytes]) -> bytes:
    """The metrics of several workers as one text: each sample with its worker's index as the label ``worker``.

    The samples of a metric stay together, as the text format wants them.
    """
    families: dict[str, tuple[list[str], list[str]]] = {}
    for index, report in sorted(reports.items()):
        family = ""
        for line in report.decode().splitlines():
            if line.startswith("#"):
                family = line.split(" ")[2]
            headers, samples = families.setdefault(family, ([], []))
            if not line.startswith("#"):
                samples.append(_label(line, index))
            elif line not in headers:
                headers.append(line)
    lines = [line for headers, samples in families.values() for line in (*headers, *samples)]
    return ("\n".join(lines) + "\n").encode()


def _label(sample: str, index: int) -> str:
    name, _, rest = sample.partition(" ")
    if "{" in name:
        name, _, rest = sample.partition("{")
        return f'{name}{{worker="{index}",{rest}'
    return f'{name}{{worker="{index}"}} {rest}'

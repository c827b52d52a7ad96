"""The client processes of a test: started, told what to do, listened to, and ended."""

import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import orjson
from attrs import define, field, frozen

from seatsync.load.failure import LoadError

#: How long a process may take to say something it has to say, beyond what it was told to wait for, in seconds.
GRACE_S = 30.0

#: How long a process may take to end once its input has, in seconds.
END_S = 5.0

OnStats = Callable[[int, Mapping[str, Any]], None]


@frozen
class Recruit:
    """A process to be started."""

    name: str
    share: Mapping[str, Any] = field(repr=False)
    """Its first line of input. It may hold tokens, which have no place on a command line."""
    command: Sequence[str] = (sys.executable, "-m", "seatsync.load.worker")
    environment: Mapping[str, str] = field(factory=dict, repr=False)
    """What it needs besides ours."""


@define(eq=False)
class _Member:
    number: int
    name: str
    process: "subprocess.Popen[bytes]"
    rest: bytes = b""
    said: dict[str, Mapping[str, Any]] = field(factory=dict)
    """The last message of each kind but statistics."""


class Fleet:
    """Processes that speak as `seatsync.load.worker` does. ``on_stats`` gets a process's number and its statistics."""

    def __init__(self, members: Sequence[_Member], on_stats: OnStats) -> None:
        self._members = members
        self._on_stats = on_stats
        self._selector = selectors.DefaultSelector()
        for member in members:
            assert member.process.stdout is not None  # noqa: S101 - it was asked for
            self._selector.register(member.process.stdout, selectors.EVENT_READ, member)

    @classmethod
    @contextmanager
    def start(cls, recruits: Sequence[Recruit], timetable: int, on_stats: OnStats) -> Iterator["Fleet"]:
        """The processes; none of them outlives the block.

        All inherit the timetable's descriptor; its number is their last argument.
        """
        members: list[_Member] = []
        try:
            for number, recruit in enumerate(recruits):
                process = subprocess.Popen(  # noqa: S603 - our own programs
                    [*recruit.command, str(timetable)],
                    env={**os.environ, **recruit.environment},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    pass_fds=(timetable,),
                )
                members.append(_Member(number, recruit.name, process))
            fleet = cls(members, on_stats)
            for member, recruit in zip(members, recruits, strict=True):
                fleet.send(member, recruit.share)
            fleet.wait("started", 0.0)
            yield fleet
        finally:
            for member in members:
                _end(member.process)

    def tell(self, order: Mapping[str, Any]) -> None:
        """Give all processes an order."""
        for member in self._members:
            member.said.clear()
            self.send(member, order)

    def send(self, member: _Member, line: Mapping[str, Any]) -> None:
        """Send one process a line."""
        assert member.process.stdin is not None  # noqa: S101 - it was asked for
        with suppress(BrokenPipeError):  # what it has to say about its end comes out of its output
            member.process.stdin.write(orjson.dumps(line) + b"\n")
            member.process.stdin.flush()

    def wait(self, word: str, seconds: float) -> list[Mapping[str, Any]]:
        """Listen until all processes have said that; returns what else was in those messages. Raises `LoadError`."""
        if not self.listen(monotonic() + seconds + GRACE_S, word):
            silent = ", ".join(member.name for member in self._members if word not in member.said)
            raise LoadError(f"The client processes {silent} did not answer in time.")
        return [member.said[word] for member in self._members]

    def listen(self, until: float, word: str | None = None) -> bool:
        """Listen until that time, or until all processes have said ``word``; returns whether they have."""
        while True:  # until the time comes or the word is said
            if word is not None and all(word in member.said for member in self._members):
                return True
            left_s = until - monotonic()
            if left_s <= 0:
                return False
            for key, _ in self._selector.select(left_s):
                self._read(key.data)

    def _read(self, member: _Member) -> None:
        assert member.process.stdout is not None  # noqa: S101 - it was asked for
        data = os.read(member.process.stdout.fileno(), 1 << 20)
        if not data:
            raise LoadError(f"The client process '{member.name}' has ended unexpectedly ({member.process.wait()}).")
        *lines, member.rest = (member.rest + data).split(b"\n")
        for line in lines:
            message = orjson.loads(line)
            match message["say"]:
                case "stats":
                    self._on_stats(member.number, message)
                case "failed":
                    raise LoadError(message["words"])
                case word:
                    member.said[word] = message


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Let a process go: it ends when its input does, or is killed."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""What a supervisor and its workers say to each other: whole messages, and an end that nobody misses."""

import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from seatsync.core.telemetry.metrics import Exposition, Metrics
from seatsync.serve import control
from seatsync.serve.control import Channel, WorkerControl, merge_metrics, numbered, pair, split_number

Message = tuple[bytes, bytes]


class Side:
    """One end of a channel, with the messages that came."""

    def __init__(self, end: socket.socket) -> None:
        self.channel = Channel(end)
        self.messages, self._received = trio.open_memory_channel[Message](1000)
        self.is_over = trio.Event()

    async def run(self) -> None:
        """Take messages until the other side is gone."""
        await self.channel.run(lambda kind, payload: self.messages.send_nowait((kind, payload)))
        self.is_over.set()

    async def next(self) -> Message:
        """The next message."""
        with trio.fail_after(5):
            return await self._received.receive()


@asynccontextmanager
async def two_sides() -> AsyncIterator[tuple[Side, Side]]:
    """Both ends, running."""
    sides = [Side(end) for end in pair()]
    async with trio.open_nursery() as nursery:
        for side in sides:
            nursery.start_soon(side.run)
        yield sides[0], sides[1]
        nursery.cancel_scope.cancel()


async def test_messages_arrive_whole_and_in_order() -> None:
    """However long they are: the metrics of 64 workers are a few megabytes."""
    sent = [(bytes([kind]), bytes([kind]) * size) for kind, size in enumerate([0, 1, 5, 70_000, 0, 4_000_000, 3])]
    async with two_sides() as (one, other):
        for kind, payload in sent:
            one.channel.send(kind, payload)
        assert [await other.next() for _ in sent] == sent


async def test_both_sides_may_talk_at_once() -> None:
    """Neither waits for the other."""
    async with two_sides() as (one, other):
        for side in (one, other):
            for number in range(20):
                side.channel.send(b"x", numbered(number, bytes(100_000)))
        for side, number in itertools.product((one, other), range(20)):
            assert split_number((await side.next())[1]) == (number, bytes(100_000))


async def test_the_end_is_seen_by_the_other_side() -> None:
    """Also the end of a process that said nothing before it was killed."""
    ours, theirs = pair()
    side = Side(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(side.run)
        await trio.testing.wait_all_tasks_blocked()
        theirs.close()
        with trio.fail_after(5):
            await side.is_over.wait()


async def test_last_words_arrive() -> None:
    """What was sent before `Channel.finish` arrives; then the other side is told the end."""
    async with two_sides() as (one, other):
        one.channel.send(b"f", b"x" * 1_000_000)
        one.channel.finish()
        assert await other.next() == (b"f", b"x" * 1_000_000)
        with trio.fail_after(5):
            await other.is_over.wait()
            await one.is_over.wait()


async def test_sending_never_waits_or_fails() -> None:
    """To a side that does not read, and to one that is gone, messages are lost beyond a bound."""
    ours, theirs = pair()
    side = Side(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(side.run)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(1000):
            side.channel.send(b"x", bytes(10_000))
        theirs.close()
        with trio.fail_after(5):
            await side.is_over.wait()
        side.channel.send(b"x")


async def test_a_worker_answers_with_its_metrics() -> None:
    """Under the number of the question."""
    ours, theirs = pair()
    supervisor, worker = Side(ours), WorkerControl(theirs, lambda: b"mine")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        nursery.start_soon(worker.run)
        await worker.ready()
        assert await supervisor.next() == (control.READY, b"")
        supervisor.channel.send(control.ASK, numbered(7))
        assert await supervisor.next() == (control.REPORT, numbered(7, b"mine"))
        nursery.cancel_scope.cancel()


async def test_everybodys_metrics_go_to_whom_they_were_asked_for() -> None:
    """Two scrapes may be under way, and be answered in any order."""
    ours, theirs = pair()
    supervisor, worker = Side(ours), WorkerControl(theirs, lambda: b"mine")
    answers: dict[str, bytes] = {}

    async def scrape(name: str) -> None:
        answers[name] = await worker.metrics()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        nursery.start_soon(worker.run)
        async with trio.open_nursery() as scrapes:
            questions = []
            for name in ("first", "second"):
                scrapes.start_soon(scrape, name)
                questions.append((await supervisor.next())[1])
            for question in reversed(questions):
                supervisor.channel.send(control.ANSWER, question + b"all " + question)
        assert answers == {"first": b"all " + questions[0], "second": b"all " + questions[1]}
        nursery.cancel_scope.cancel()


async def test_metrics_without_a_supervisor_are_the_workers_own(autojump_clock: trio.testing.MockClock) -> None:
    """It does not answer in time; what it says later is nobody's."""
    ours, theirs = pair()
    supervisor, worker = Side(ours), WorkerControl(theirs, lambda: b"mine")
    assert await worker.metrics() == b"mine"
    assert trio.current_time() == pytest.approx(control.SCRAPE_S)
    worker._take(control.ANSWER, numbered(0, b"late"))
    assert await worker.metrics() == b"mine"
    await trio.aclose_forcefully(supervisor.channel._stream)
    await trio.aclose_forcefully(worker._channel._stream)


async def test_a_worker_that_cannot_start_says_why() -> None:
    """The supervisor has heard it when `failed` returns."""
    ours, theirs = pair()
    supervisor, worker = Side(ours), WorkerControl(theirs, lambda: b"")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        nursery.start_soon(worker.run)
        await worker.failed("There is no database.")
        assert supervisor.messages.statistics().current_buffer_used == 1
        assert await supervisor.next() == (control.FAILED, b"There is no database.")


def test_merged_metrics_keep_every_sample() -> None:
    """Each has the label ``worker``, and those of one metric stand together under one head."""
    reports = {
        1: b'# HELP a_total As.\n# TYPE a_total counter\na_total 1.0\n# HELP b Bs.\n# TYPE b gauge\nb{x="y z"} 2.0\n',
        0: b'# HELP a_total As.\n# TYPE a_total counter\na_total 3.0\n# HELP b Bs.\n# TYPE b gauge\nb{x="} 1"} 4.0\n',
    }
    assert merge_metrics(reports).decode().splitlines() == [
        "# HELP a_total As.",
        "# TYPE a_total counter",
        'a_total{worker="0"} 3.0',
        'a_total{worker="1"} 1.0',
        "# HELP b Bs.",
        "# TYPE b gauge",
        'b{worker="0",x="} 1"} 4.0',
        'b{worker="1",x="y z"} 2.0',
    ]


def test_merged_metrics_of_real_servers() -> None:
    """No family appears twice, and each sample of one server becomes one of each."""
    metrics = Metrics()
    metrics.answered("user.status", "success", 0.1)
    report = Exposition(metrics).text()
    merged = merge_metrics({0: report, 1: report}).decode().splitlines()
    heads = [line for line in merged if line.startswith("#")]
    assert len(heads) == len(set(heads))
    samples = [line for line in report.decode().splitlines() if not line.startswith("#")]
    assert len(merged) - len(heads) == 2 * len(samples)

"""Floods of similar log lines are sampled, and the lines say how many were left out."""

from collections.abc import Callable
from functools import partial

import structlog
import trio
import trio.testing

from seatsync.core.telemetry.sampling import FailureLog, Lines, Reminders


def written(write: Callable[..., None]) -> dict[str, object] | None:
    """The fields of the next line; ``None`` if it is left out."""
    logged: list[dict[str, object]] = []
    write(lambda _, **fields: logged.append(fields), "an event")
    return logged[0] if logged else None


async def test_lines_left_out_are_counted(autojump_clock: trio.testing.MockClock) -> None:
    """The next written line has the number of lines left out."""
    lines = Lines(1, 2)
    assert [written(lines.write) for _ in range(5)] == [{}, {}, None, None, None]
    await trio.sleep(1)
    assert written(lines.write) == {"left_out": 3}
    await trio.sleep(1)
    assert written(lines.write) == {}


async def test_lasting_faults_are_one_line_a_minute(autojump_clock: trio.testing.MockClock) -> None:
    """Each fault has its lines; when all are over, the next begins with one."""
    reminders = Reminders()
    assert [written(partial(reminders.write, "full")) for _ in range(3)] == [{}, None, None]
    assert written(partial(reminders.write, "slow")) == {}
    await trio.sleep(60)
    assert written(partial(reminders.write, "full")) == {"left_out": 2}
    reminders.over()
    assert written(partial(reminders.write, "full")) == {}


async def test_refusals_are_one_line() -> None:
    """A flood of refusals is one line, at its start."""
    failures = FailureLog()
    with structlog.testing.capture_logs() as logs:
        for number in range(1000):
            failures.write("RateLimitExceeded", connection=number)
    assert logs == [{"event": "request_failed", "log_level": "info", "error": "RateLimitExceeded", "connection": 0}]


async def test_other_failures_are_written_up_to_a_bound() -> None:
    """A flood of one code does not suppress the lines of others."""
    failures = FailureLog()
    with structlog.testing.capture_logs() as logs:
        for _ in range(1000):
            failures.write("BadRequest")
        failures.write("SeatOccupied")
    assert [line["error"] for line in logs] == ["BadRequest"] * 100 + ["SeatOccupied"]


async def test_bugs_are_written_up_to_a_bound(autojump_clock: trio.testing.MockClock) -> None:
    """Who finds one cannot fill the log with tracebacks; those of other methods are written all the same."""
    failures = FailureLog()
    with structlog.testing.capture_logs() as logs:
        for _ in range(1000):
            failures.write_fault(ValueError("a bug"), "some.method", connection=7)
        failures.write_fault(ValueError("a bug"), "other.method")
        await trio.sleep(1)
        failures.write_fault(ValueError("a bug"), "some.method")
    assert [line["type"] for line in logs] == ["some.method"] * 10 + ["other.method", "some.method"]
    assert all(line["event"] == "method_fault" and line["exc_info"] for line in logs)
    assert (logs[0]["connection"], logs[-1]["left_out"]) == (7, 990)

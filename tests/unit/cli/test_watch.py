"""``seatsync watch``: its output for a real server's frames, and its errors."""

import pytest
import trio

from seatsync import errors
from seatsync.cli import main as cli
from seatsync.cli import watch
from seatsync.client import NoConnection
from tests.support.halls import make_hall
from tests.support.proxy import proxy_to
from tests.support.server import RunningServer
from tests.support.waiting import eventually


def url(server: RunningServer) -> str:
    """The WebSocket address of a server."""
    return f"ws://127.0.0.1:{server.ws_port}/ws"


async def test_changes_are_printed(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshot is one line, and so is each seat that changes."""
    hall = await make_hall(server)
    lines: list[str] = []
    monkeypatch.setattr(watch, "write_lines", lines.append)

    async def printed(count: int) -> None:
        async def enough() -> bool:
            return len(lines) >= count

        await eventually(enough)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.follow, url(server), hall.id)
        await printed(1)
        await server.sql(f"update seat set status = 'MAINTENANCE', note = 'loose' where id = {hall.seats[0]}")
        await printed(2)
        await server.sql(
            "update seat set section = 'Balcony', row_label = 'AA', place_label = '12a', status = 'VACANT'"
            f" where id = {hall.seats[0]}"
        )
        await printed(3)
        await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
        await printed(4)
        nursery.cancel_scope.cancel()
    assert lines[0].startswith(f"hall {hall.id}, ")
    assert f"{len(hall.seats)} seats at revision" in lines[0]
    assert f"seat {hall.seats[0]}, row 1 place 1: MAINTENANCE  (loose)" in lines[1]
    assert f"seat {hall.seats[0]}, Balcony, row AA place 12a: OCCUPIED" in lines[3]


async def test_notes_and_names_cannot_control_the_terminal(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator's note, or a hall's name, is text, on one line."""
    hall = await make_hall(server)
    await server.rows("update hall set name = $1 where id = $2", "Salon\x1b[2J", hall.id)
    out = ""

    async def printed(text: str) -> None:
        async def is_there() -> bool:
            nonlocal out
            out += capsys.readouterr().out
            return text in out

        await eventually(is_there)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.follow, url(server), hall.id)
        await printed("at revision")
        note = "\x1b]0;owned\x07\r9  seat 1: VACANT\n"
        await server.rows("update seat set status = 'MAINTENANCE', note = $1 where id = $2", note, hall.seats[0])
        await printed("owned")
        nursery.cancel_scope.cancel()
    assert r"Salon\x1b[2J" in out
    assert r"(\x1b]0;owned\x07\r9  seat 1: VACANT\n)" in out
    assert all(line.isprintable() for line in out.splitlines())


async def test_a_loss_is_one_notice(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, however many attempts it takes; standard output goes on with what has changed."""
    hall = await make_hall(server)
    out, errors_ = [""], [""]

    async def printed(so_far: list[str], text: str) -> None:
        async def is_there() -> bool:
            captured = capsys.readouterr()
            out[0] += captured.out
            errors_[0] += captured.err
            return text in so_far[0]

        await eventually(is_there)

    async with proxy_to(f"tcp://127.0.0.1:{server.port}") as proxy, trio.open_nursery() as nursery:
        nursery.start_soon(watch.follow, f"http://localhost:{proxy.port}", hall.id)
        await printed(out, "at revision")
        proxy.cut()

        async def is_trying() -> bool:
            return proxy.accepted >= 3

        await eventually(is_trying)
        await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
        proxy.restore()
        await printed(out, ": OCCUPIED")
        await printed(errors_, "connected again")
        nursery.cancel_scope.cancel()
    assert "connect" not in "".join(line for line in out[0].splitlines() if "[debug" not in line)  # the server's log
    assert errors_[0].splitlines() == ["connection lost: broken off (1006); trying again", "connected again"]


@pytest.mark.parametrize(
    "url", ["ftp://localhost", "http://", "localhost:port", "ws://[::1", "http://localhost:1", "x y"]
)
def test_what_cannot_work_is_one_sentence(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """At once, and without a traceback."""
    assert cli.main(["watch", "3", "--url", url]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("seatsync: ")
    assert line.endswith(".")


async def test_a_hall_that_does_not_exist_is_an_error(server: RunningServer) -> None:
    """An unknown hall ends it with the server's message."""
    with pytest.raises(errors.HallNotFound):
        await watch.follow(url(server), 4711)


async def test_a_server_that_was_never_there_is_an_error() -> None:
    """A failing first connect is not tried again: the address may be wrong."""
    with pytest.raises(NoConnection, match="There is no server"):
        await watch.follow("ws://127.0.0.1:1/ws", 1)

"""The load generator against a real server: each scenario, short and with few clients, finds no fault.

The program with its processes runs where a test is about them, or about the program's own access to the database; the
other tests run the same code in threads.
"""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.halls import Hall, make_hall
from tests.support.load import Loaded, load_here, run_load
from tests.support.server import SECRET, RunningServer


@pytest.fixture
async def hall(server: RunningServer) -> Hall:
    """Forty seats."""
    return await make_hall(server, rows=4, places=10)


async def load(server: RunningServer, *arguments: object) -> dict[str, Any]:
    """The results of a test without faults."""
    return without_fault(await run(server, *arguments, "--json", "-"))


async def run(server: RunningServer, *arguments: object) -> Loaded:
    """Run a load test; returns its result with any exit status."""
    return await load_here(*arguments, "--url", f"ws://localhost:{server.ws_port}/ws", server=server)


async def run_program(server: RunningServer, *arguments: object) -> Loaded:
    """Run the program; returns its result with any exit status. Its tokens come from the database."""
    environ = {"DATABASE_URL": server.db.dsn, "JWT_SECRET": SECRET, "SECRETS_KEY": SECRET}
    return await run_load(*arguments, "--url", f"ws://localhost:{server.ws_port}/ws", "--quiet", environ=environ)


def without_fault(loaded: Loaded) -> dict[str, Any]:
    """The results, in which there must be no fault."""
    assert (loaded.status, loaded.errors) == (0, ""), loaded
    result = loaded.json()
    assert result["faults"]["total"] == 0
    return result


async def changed_seats(server: RunningServer, such_that: str = "true") -> int:
    """The number of status changes in the history."""
    query = f"select count(*) from seat_event where kind = 'status' and {such_that}"
    count: int = await server.value(query)
    return count


async def test_watch(server: RunningServer, hall: Hall) -> None:
    """Every subscriber has every change, with its latency from when it was due. The program, in three processes."""
    how = ("-n", 5, "-p", 2, "-d", 1, "--rate", 20, "--sign-in", "--heartbeat", 0.2)
    result = without_fault(await run_program(server, "watch", *how, "--json", "-"))
    changes = result["counts"]["answered"]
    assert changes >= 20
    assert result["timings"]["answer"]["samples"] == changes
    assert await changed_seats(server) == changes
    revisions = await server.value("select count(distinct rev) from seat_event where kind = 'status'")
    assert result["timings"]["receive"]["samples"] == 5 * revisions


async def test_watch_others_change_seats(server: RunningServer, hall: Hall) -> None:
    """Changes that are not the generator's, as SQL makes them, are verified like its own, and have no latency."""
    results: list[dict[str, Any]] = []

    async def watch() -> None:
        results.append(await load(server, "watch", "-n", 3, "-d", 0.5, "--rate", 0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        while not results:
            status = "case status when 'VACANT' then 'OCCUPIED'::seat_status else 'VACANT' end"
            await server.sql(f"update seat set status = {status} where id = (select min(id) from seat)")
    assert results[0]["counts"]["frames"] > results[0]["counts"]["snapshots"] >= 3
    assert "receive" not in results[0]["timings"]


@pytest.mark.parametrize("how", [("--pipeline", 3), ("--rate", 50), ("--bulk", 4)])
async def test_write(server: RunningServer, hall: Hall, how: tuple[object, ...]) -> None:
    """In a closed loop, at a rate of all together, several seats at once; each answered change is in the history."""
    result = await load(server, "write", "-c", 4, "-d", 0.4, *how)
    seats = result["counts"]["seats"]
    assert result["counts"]["answered"] > 10
    if "--rate" in how:
        assert result["counts"]["answered"] == pytest.approx(0.4 * 50, abs=5)
    assert await changed_seats(server) == seats


async def test_join(server: RunningServer, hall: Hall) -> None:
    """Clients sign in, and each receives the snapshot."""
    result = await load(server, "join", "-n", 60, "-p", 2, "--ramp", 0.2, "--hall", hall.id)
    assert result["counts"]["joined"] == result["counts"]["snapshots"] == 60
    assert result["timings"]["join"]["samples"] == 60
    assert await server.value("select count(*) from session") == 60


@pytest.mark.parametrize("how", [(), ("--no-subscription",)])
async def test_idle(server: RunningServer, hall: Hall, how: tuple[object, ...]) -> None:
    """Connections with a subscription, and without one, stay."""
    result = await load(server, "idle", "-n", 10, "-d", 0.3, "--heartbeat", 0.1, *how)
    assert result["counts"].get("joined", 0) == (0 if how else 10)
    assert "lost" not in result["counts"]


async def test_mixed(server: RunningServer, hall: Hall) -> None:
    """Visitors come and go while seats are sold."""
    result = await load(server, "mixed", "-n", 10, "-d", 1.2, "--rate", 20)
    assert result["counts"]["left"] > 0
    assert result["counts"]["answered"] > 50
    assert await changed_seats(server) == result["counts"]["seats"]


async def test_tokens_may_be_given(server: RunningServer, hall: Hall, tmp_path: Path) -> None:
    """With given tokens the program needs no database."""
    tokens = tmp_path / "tokens"
    tokens.write_text(await server.token("ada") + "\n")
    url = f"ws://localhost:{server.ws_port}/ws"
    few = ("-n", 2, "-d", 0.3, "--quiet")
    loaded = await run_load("watch", "--url", url, "--tokens", tokens, *few, environ={"DATABASE_URL": "", "PATH": "/"})
    assert (loaded.status, loaded.errors) == (0, "")
    assert await changed_seats(server, "by is not null") > 0


async def test_a_bad_token_is_a_fault(server: RunningServer, hall: Hall, tmp_path: Path) -> None:
    """An invalid token makes a guest, which may not change seats."""
    tokens = tmp_path / "tokens"
    tokens.write_text("not.a.token\n")
    loaded = await run(server, "watch", "--tokens", tokens, "-n", 50, "-d", 0.2, "--sign-in")
    assert loaded.status == 1
    assert "Writer 0 was answered TokenInvalid" in loaded.text
    assert "Subscriber 50 signed in by token but is guest." in loaded.text


async def test_the_largest_hall_is_chosen(server: RunningServer, hall: Hall) -> None:
    """Without a hall option the largest hall is chosen."""
    small = await make_hall(server, rows=1, places=4, name="Small")
    assert (await load(server, "idle", "-n", 1, "-d", 0))["halls"] == [hall.id]
    both = await load(server, "watch", "-n", 4, "-d", 0.3, "--writers", 2, "--hall", hall.id, "--hall", small.id)
    assert both["halls"] == [hall.id, small.id]
    assert await server.value("select count(distinct hall_id) from seat_event where kind = 'status'") == 2


async def test_results_can_be_kept(server: RunningServer, hall: Hall, tmp_path: Path) -> None:
    """As JSON and as a page, beside the text."""
    files = ("--json", tmp_path / "out.json", "--html", tmp_path / "out.html")
    loaded = await run(server, "watch", "-n", 2, "-d", 0.3, *files)
    assert "No fault" in loaded.text
    assert '"receive"' in (tmp_path / "out.json").read_text()
    assert "Histogram of receive" in (tmp_path / "out.html").read_text()


async def test_a_limit_that_is_passed_is_status_3(server: RunningServer, hall: Hall) -> None:
    """The results say which; faults come first, so a limit that is kept changes nothing."""
    few = ("-n", 2, "-d", 0.3, "--json", "-", "--fail-if", "p99>100s")
    assert without_fault(await run(server, "watch", *few))["failures"] == []
    loaded = await run(server, "watch", *few, "--fail-if", "answer.p50 > 1us")
    assert loaded.status == 3
    (failure,) = loaded.json()["failures"]
    assert failure.endswith(": answer.p50 > 1us.")


async def test_a_report_says_where_it_comes_from(server: RunningServer, hall: Hall) -> None:
    """Address, time, version, host and command, which a password in it does not leave."""
    url = f"ws://localhost:{server.ws_port}/ws"
    loaded = await run_program(server, "idle", "-n", 1, "-d", 0, "--json", "-", "--database", server.db.dsn)
    about = loaded.json()["provenance"]
    assert list(about) == ["address", "time", "version", "host", "command"]
    assert about["address"] == url
    assert about["command"].startswith("seatsync load idle -n 1")
    assert "@" not in about["command"].replace("://...@", "")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--json", "/nowhere/out.json"), "argument --json: /nowhere/out.json cannot be written"),
        (("--html", "/"), "argument --html: / cannot be written"),
        (("--fail-if", "p99>fast"), "argument --fail-if: p99>fast: must be like p99>50ms"),
    ],
)
async def test_what_cannot_be_done_is_said_at_once(arguments: tuple[object, ...], error: str) -> None:
    """Before the test: there is no server here."""
    loaded = await run_load("watch", *arguments, "--url", "ws://127.0.0.1:9/ws")
    assert loaded.status == 2
    assert error in loaded.errors.splitlines()[-1]


async def test_too_few_seats_end_the_test(server: RunningServer, hall: Hall) -> None:
    """Too few seats end the program with an error message."""
    loaded = await run(server, "write", "-c", 4, "--bulk", 20)
    assert loaded.status == 1
    assert loaded.errors.startswith(f"Hall {hall.id} has 40 seats, too few for 4 writers")


async def test_a_hall_that_cannot_be_read_is_named(server: RunningServer, hall: Hall) -> None:
    """Before the load: whoever changes seats has to know them."""
    loaded = await run(server, "write", "--hall", hall.id + 1)
    assert (loaded.status, loaded.errors) == (1, f"Hall {hall.id + 1} could not be read: HallNotFound.")

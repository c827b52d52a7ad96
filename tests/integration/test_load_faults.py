"""The load generator against faulty servers: it finds each fault, reports it as a sentence, and exits with 1."""

from pathlib import Path
from typing import Any

import pytest

from seatsync.load.stats import Kind
from tests.support.faulty_server import HALL_ID, Data, Reordering, faulty_server
from tests.support.load import Loaded, load_here, run_load

SPOILT_REV = 5


def missing(update: Data) -> list[Data]:
    """Drop one revision."""
    return [] if update["rev"] == SPOILT_REV else [update]


def repeated(update: Data) -> list[Data]:
    """Send one revision twice."""
    return [update, update] if update["rev"] == SPOILT_REV else [update]


def wrong(update: Data) -> list[Data]:
    """One update has another status than the hall."""
    if update["rev"] != SPOILT_REV:
        return [update]
    return [{**update, "seats": [{**seat, "status": "MAINTENANCE"} for seat in update["seats"]]}]


def miscounted(update: Data) -> list[Data]:
    """The last counts are not those of the seats."""
    return [{**update, "seat_types": [{**kind, "seats_count": 99} for kind in update["seat_types"]]}]


async def watch(*arguments: object, rate: float = 60, **how: Any) -> Loaded:
    """Load a server of that kind for a moment, with three subscribers in two shares."""
    async with faulty_server(**how) as server:
        few = ("--subscribers", 3, "--processes", 2, "--duration", 0.3, "--rate", rate, "--patience", 2)
        url = f"ws://127.0.0.1:{server.port}/ws"
        return await load_here("watch", "--url", url, "--hall", HALL_ID, *few, *arguments)


async def test_an_honest_server_has_no_faults() -> None:
    """A server without faults is reported without faults."""
    loaded = await watch()
    assert (loaded.status, loaded.errors) == (0, "")
    assert "No fault" in loaded.text


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (missing, Kind.MISSING, "never received revision 5."),
        (repeated, Kind.REPEATED, "received revision 5 again, after revision 5."),
        (Reordering(SPOILT_REV), Kind.REORDERED, "received revision 5 after revision 6."),
        (wrong, Kind.STATE, "does not see the hall as it is at revision"),
        (miscounted, Kind.STATE, "does not see the hall as it is at revision"),
    ],
)
async def test_every_fault_of_a_stream_is_found(spoil: Any, kind: Kind, words: str) -> None:
    """Every subscriber in every process reports the fault."""
    loaded = await watch(spoil=spoil)
    assert loaded.status == 1
    assert f"3 {kind}" in loaded.text
    for number in (1, 2, 3):
        assert f"Subscriber {number} {words}" in loaded.text


async def test_a_lost_write_is_found() -> None:
    """An acknowledged change that is not in the hall is a fault."""
    loaded = await watch(lose=frozenset({SPOILT_REV}))
    assert loaded.status == 1
    assert f"1 {Kind.LOST_WRITE}" in loaded.text
    assert "but is VACANT since" in loaded.text


async def test_an_unavailable_change_is_sent_again_under_the_same_key() -> None:
    """A change with unknown outcome is sent again; without ``--survive`` it is a fault."""
    async with faulty_server(unavailable=frozenset({SPOILT_REV})) as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        few = ("-n", 1, "--duration", 0.3, "--rate", 60, "--hall", HALL_ID, "--url", url)
        loaded = await load_here("watch", *few, "--survive", "--json", "-")
    assert (loaded.status, loaded.errors) == (0, "")
    assert loaded.json()["counts"]["resent"] == 1
    assert len(server.keys) == len(set(server.keys)) + 1
    loaded = await watch(unavailable=frozenset({SPOILT_REV}))
    assert "Writer 0 was answered ServiceUnavailable" in loaded.text


async def test_a_stall_counts_for_every_change_that_was_due_in_it() -> None:
    """Latencies count from intended send times, so a stall delays every change that was due in it."""
    loaded = await watch("--json", "-", "--duration", 0.6, rate=30, stall=(SPOILT_REV, 0.4))
    result = loaded.json()
    assert result["faults"]["total"] == 0
    assert result["counts"]["answered"] == pytest.approx(18, abs=2)
    for timing in ("answer", "receive"):
        assert result["timings"][timing]["p50"] > 0.05
        assert result["timings"][timing]["max"] > 0.4


async def test_a_writer_without_rights_is_a_fault_and_gives_up() -> None:
    """A refused writer is a fault and stops after the first refusal."""
    loaded = await watch(refuse="Forbidden")
    assert loaded.status == 1
    assert "Writer 0 was answered Forbidden: No." in loaded.text


async def test_only_the_first_ten_are_printed() -> None:
    """Ten faults are printed in full; the others are counted."""
    loaded = await watch(spoil=lambda update: [update, update])
    assert loaded.status == 1
    assert sum(line.startswith("  +") for line in loaded.text.splitlines()) == 10


async def test_the_program_reports_faults_by_its_exit_status(tmp_path: Path) -> None:
    """With real processes, each of which finds the fault; a given token is used as it is."""
    tokens = tmp_path / "tokens"
    tokens.write_text("any\n")
    async with faulty_server(spoil=missing) as server:
        few = ("-n", 2, "-p", 2, "-d", 0.3, "--rate", 60, "--tokens", tokens, "--hall", HALL_ID, "--quiet")
        loaded = await run_load("watch", *few, "--url", f"ws://127.0.0.1:{server.port}/ws")
    assert (loaded.status, loaded.errors) == (1, "")
    assert f"2 {Kind.MISSING}" in loaded.text


async def test_an_unreachable_server_ends_the_program() -> None:
    """With a sentence, before anything else."""
    loaded = await run_load("idle", "--url", "ws://127.0.0.1:9/ws")
    assert loaded.status == 1
    assert loaded.errors == "seatsync: Cannot connect to 127.0.0.1, port 9: Connection refused.\n"


async def test_wrong_usage_exits_with_2() -> None:
    """Wrong usage exits with 2, as for every command."""
    assert (await run_load("watch", "--rate", "fast")).status == 2

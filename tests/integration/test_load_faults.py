"""The load generator against servers that are at fault: it finds each fault, tells it in words, and exits with 1."""

from typing import Any

import pytest

from seatsync.load.faults import Kind
from tests.support.faulty_server import HALL_ID, Data, Reordering, faulty_server
from tests.support.load import Loaded, run_load

SPOILT_REV = 5


def missing(update: Data) -> list[Data]:
    """One revision is not sent."""
    return [] if update["rev"] == SPOILT_REV else [update]


def repeated(update: Data) -> list[Data]:
    """One revision is sent twice."""
    return [update, update] if update["rev"] == SPOILT_REV else [update]


def wrong(update: Data) -> list[Data]:
    """One update says something else than what is."""
    if update["rev"] != SPOILT_REV:
        return [update]
    return [{**update, "seats": [{**seat, "status": "MAINTENANCE"} for seat in update["seats"]]}]


def miscounted(update: Data) -> list[Data]:
    """The last counts are not those of the seats."""
    return [{**update, "seat_types": [{**kind, "seats_count": 99} for kind in update["seat_types"]]}]


async def watch(*arguments: object, **how: Any) -> Loaded:
    """Watch a server of that kind for a moment, with three subscribers in two processes."""
    async with faulty_server(**how) as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        few = ("--subscribers", 3, "--processes", 2, "--duration", 0.5, "--rate", 30, "--patience", 2)
        return await run_load("watch", "--url", url, "--hall", HALL_ID, "--quiet", *few, *arguments)


@pytest.fixture
def tokens(tmp_path: Any) -> Any:
    """A file with a token that this server does not look at."""
    path = tmp_path / "tokens"
    path.write_text("any\n")
    return path


async def test_an_honest_server_is_found_to_be_one(tokens: Any) -> None:
    """The faults below are the servers', not the tool's."""
    loaded = await watch("--tokens", tokens)
    assert (loaded.status, loaded.errors) == (0, "")
    assert "No fault" in loaded.text


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (missing, Kind.MISSING, "was never sent revision 5."),
        (repeated, Kind.REPEATED, "was sent revision 5 again, after revision 5."),
        (Reordering(SPOILT_REV), Kind.REORDERED, "was sent revision 5 after revision 6."),
        (wrong, Kind.STATE, "does not see the hall as it is at revision"),
        (miscounted, Kind.STATE, "does not see the hall as it is at revision"),
    ],
)
async def test_every_fault_of_a_stream_is_found(tokens: Any, spoil: Any, kind: Kind, words: str) -> None:
    """By every subscriber, in whichever process."""
    loaded = await watch("--tokens", tokens, spoil=spoil)
    assert loaded.status == 1
    assert f"3 {kind}" in loaded.text
    for number in (1, 2, 3):
        assert f"Subscription {number} {words}" in loaded.text


async def test_a_lost_write_is_found(tokens: Any) -> None:
    """It was answered, so it had to be there."""
    loaded = await watch("--tokens", tokens, lose=frozenset({SPOILT_REV}))
    assert loaded.status == 1
    assert f"1 {Kind.LOST_WRITE}" in loaded.text
    assert "so it was answered, and is VACANT since" in loaded.text


async def test_what_is_put_off_is_asked_again_under_the_same_key(tokens: Any) -> None:
    """Its outcome is unknown; it is a fault unless the test is told to survive."""
    async with faulty_server(unavailable=frozenset({SPOILT_REV})) as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        few = ("-n", 1, "--duration", 0.5, "--tokens", tokens, "--hall", HALL_ID, "--url", url)
        loaded = await run_load("watch", *few, "--survive", "--json", "-")
    assert (loaded.status, loaded.errors) == (0, "")
    assert loaded.json()["counts"]["resent"] == 1
    assert len(server.keys) == len(set(server.keys)) + 1
    assert (
        "Writer 0 was answered ServiceUnavailable"
        in (await watch("--tokens", tokens, unavailable=frozenset({SPOILT_REV}))).text
    )


async def test_a_stall_counts_for_every_change_that_was_due_in_it(tokens: Any) -> None:
    """Not just for the one that the server had in hand: that would leave out what the stall has kept from happening."""
    loaded = await watch("--tokens", tokens, "--json", "-", "--duration", 1.2, stall=(SPOILT_REV, 0.8))
    result = loaded.json()
    assert result["faults"]["total"] == 0
    assert result["counts"]["answered"] == pytest.approx(36, abs=2)
    for timing in ("send→answer", "send→received"):
        assert result["timings"][timing]["p50"] > 0.1
        assert result["timings"][timing]["max"] > 0.8


async def test_a_writer_without_rights_is_a_fault_and_gives_up(tokens: Any) -> None:
    """One refusal is enough to know."""
    loaded = await watch("--tokens", tokens, refuse="Forbidden")
    assert loaded.status == 1
    assert "Writer 0 was answered Forbidden: No." in loaded.text


async def test_only_the_first_ten_are_told(tokens: Any) -> None:
    """The others are counted."""
    loaded = await watch("--tokens", tokens, spoil=lambda update: [update, update])
    assert loaded.status == 1
    assert sum(line.startswith("  +") for line in loaded.text.splitlines()) == 10


async def test_nobody_there_is_said_in_a_sentence() -> None:
    """Before anything else is done."""
    loaded = await run_load("idle", "--url", "ws://127.0.0.1:9/ws")
    assert loaded.status == 1
    assert loaded.errors == "seatsync: Nobody answers at 127.0.0.1, port 9: Connection refused.\n"


async def test_wrong_usage_exits_with_2() -> None:
    """As for every command."""
    assert (await run_load("watch", "--rate", "fast")).status == 2

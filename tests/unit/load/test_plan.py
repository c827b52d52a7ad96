"""Plans: every client and every seat belongs to exactly one process, and no client lacks a token."""

import argparse
from typing import Any

import pytest

from seatsync.load.arguments import add_arguments
from seatsync.load.command import make_plan
from seatsync.load.plan import Plan, Share, shares, tokens_needed


def plan(*arguments: str) -> Plan:
    """The plan that these arguments make."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return make_plan(parser.parse_args(arguments), "ws://localhost:3001/ws")


def dealt(plan: Plan) -> list[Share]:
    """The shares of a test with as many tokens as it needs."""
    return shares(plan, {1: {}}, [f"t{number}" for number in range(tokens_needed(plan))])


@pytest.mark.parametrize("scenario", ["watch", "write", "join", "idle", "mixed"])
def test_every_scenario_has_defaults(scenario: str) -> None:
    """Every scenario makes a plan without options."""
    made = plan(scenario)
    assert made.scenario == scenario
    assert dealt(made)


@pytest.mark.parametrize("arguments", [("watch", "-n", "10"), ("join", "-n", "10"), ("idle", "-n", "10")])
def test_clients_are_divided_among_the_processes(arguments: tuple[str, ...]) -> None:
    """Clients are divided among the processes, each with its own number."""
    parts = [share.readers for share in dealt(plan(*arguments, "--processes", "3")) if share.readers]
    numbers = [number for part in parts for number in range(part.first, part.first + part.count)]
    assert numbers == list(range(1, 11))
    assert len(parts) == 3


def test_no_process_is_without_a_client() -> None:
    """There are at most as many processes as clients."""
    assert len(dealt(plan("idle", "-n", "2", "--processes", "8"))) == 2


def test_writers_are_divided_with_their_tokens() -> None:
    """Writers are divided with their tokens, one for each."""
    parts = [share.writers for share in dealt(plan("write", "-c", "5", "-p", "2")) if share.writers]
    assert [(part.first, part.count) for part in parts] == [(0, 2), (2, 3)]
    assert [token for part in parts for token in part.tokens] == [f"t{number}" for number in range(5)]


def test_written_streams_are_verified() -> None:
    """The write scenario has a subscriber for each hall, so its stream is verified too."""
    made = plan("write", "--hall", "3", "--hall", "4")
    witness = shares(made, {hall: {} for hall in made.halls}, ["t"])[-1]
    assert witness.readers is not None
    assert witness.readers.count == 2


def test_writers_do_not_wait_for_subscribers() -> None:
    """Changes are sent by a process without subscribers."""
    assert [(bool(share.readers), bool(share.writers)) for share in dealt(plan("watch"))] == [
        (True, False),
        (False, True),
    ]


def test_a_rate_does_not_wait_for_answers() -> None:
    """With a rate each writer has as many changes in flight as the server allows; else as many as asked for."""
    assert plan("write", "--rate", "30").in_flight == 64
    assert plan("write", "--pipeline", "3").in_flight == 3


@pytest.mark.parametrize("arguments", [("watch", "--rate", "0"), ("idle",)])
def test_without_writers_no_token_is_needed(arguments: tuple[str, ...]) -> None:
    """Without writers no token is needed: guests subscribe."""
    made = plan(*arguments)
    assert tokens_needed(made) == 0
    assert all(not share.writers for share in shares(made, {1: {}}, []))


def test_too_few_tokens_are_used_in_turn() -> None:
    """Too few tokens are used in turn: a session may have several connections."""
    made = plan("join", "-n", "5")
    tokens = [token for share in shares(made, {1: {}}, ["a", "b"]) if share.readers for token in share.readers.tokens]
    assert tokens == ["a", "b", "a", "b", "a"]


def test_readers_and_writers_do_not_share_sessions() -> None:
    """Readers and writers have different sessions if there are enough."""
    readers, writers = dealt(plan("watch", "-n", "3", "--sign-in"))
    assert readers.readers is not None
    assert writers.writers is not None
    assert {*readers.readers.tokens} & {*writers.writers.tokens} == set()


def test_a_mixed_test_has_sellers_for_its_visitors() -> None:
    """Their sales come in rushes, and the visitors come and go within its duration."""
    made = plan("mixed", "-n", "400", "-d", "20")
    sellers = dealt(made)[-1].writers
    assert sellers is not None
    assert (sellers.count, len(sellers.tokens), made.rushes) == (16, 16, True)
    assert 0 < made.ramp_s < 20
    assert 0 < made.mean_stay_s < 20


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("watch", "-n", "0"),
        ("watch", "-n", "many"),
        ("watch", "--rate", "-1"),
        ("watch", "--rate", "nan"),
        ("write", "--bulk", "1001"),
        ("mixed", "--rate", "0"),
        ("join", "--duration", "3"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], capsys: Any) -> None:
    """Wrong usage exits with 2 and the reason on standard error."""
    with pytest.raises(SystemExit) as raised:
        plan(*arguments)
    assert raised.value.code == 2
    assert "error:" in capsys.readouterr().err

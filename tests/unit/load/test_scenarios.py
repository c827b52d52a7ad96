"""Scenarios: every client and every seat belongs to exactly one process, and nobody lacks a token."""

import argparse
from typing import Any

import pytest
from attrs import evolve

from seatsync.load.arguments import add_arguments
from seatsync.load.command import make_plan
from seatsync.load.plan import Plan, Share
from seatsync.load.scenarios import shares, tokens_needed


def plan(*arguments: str) -> Plan:
    """The plan that these arguments make."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return make_plan(parser.parse_args(arguments), "ws://localhost:3001/ws")


def dealt(plan: Plan) -> list[Share]:
    """The shares of a test with as many tokens as it needs."""
    return shares(plan, (1,), [f"t{number}" for number in range(tokens_needed(plan))])


@pytest.mark.parametrize("scenario", ["watch", "write", "join", "idle", "mixed"])
def test_every_scenario_has_defaults(scenario: str) -> None:
    """It says something useful without any option."""
    made = plan(scenario)
    assert made.scenario == scenario
    assert dealt(made)


@pytest.mark.parametrize("arguments", [("watch", "-n", "10"), ("join", "-n", "10"), ("idle", "-n", "10")])
def test_clients_are_divided_among_the_processes(arguments: tuple[str, ...]) -> None:
    """Each has a number of its own."""
    crowds = [share.crowd for share in dealt(plan(*arguments, "--processes", "3")) if share.crowd]
    numbers = [number for crowd in crowds for number in range(crowd.first, crowd.first + crowd.count)]
    assert numbers == list(range(1, 11))
    assert len(crowds) == 3


def test_no_process_is_without_a_client() -> None:
    """More processes than clients are no use."""
    assert len(dealt(plan("idle", "-n", "2", "--processes", "8"))) == 2


def test_writers_are_divided_with_their_tokens() -> None:
    """They know how many there are altogether: the seats are divided by that."""
    crews = [crew for share in dealt(plan("write", "-c", "5", "-p", "2")) for crew in share.crews]
    assert [(crew.first, crew.count, crew.of) for crew in crews] == [(0, 2, 5), (2, 3, 5)]
    assert [token for crew in crews for token in crew.tokens] == [f"t{number}" for number in range(5)]


def test_what_is_written_is_witnessed() -> None:
    """The write scenario has a subscriber for each hall, so its stream is verified too."""
    made = plan("write", "--hall", "3", "--hall", "4")
    witness = shares(made, made.halls, ["t"])[-1]
    assert witness.crowd is not None
    assert witness.crowd.count == 2


def test_who_writes_does_not_wait_for_who_watches() -> None:
    """Changes are sent by a process of its own."""
    assert [(bool(share.crowd), bool(share.crews)) for share in dealt(plan("watch"))] == [(True, False), (False, True)]


def test_a_rate_is_that_of_all_writers_together() -> None:
    """And none waits for another below what the server lets a connection have under way."""
    (crew,) = dealt(plan("watch", "--rate", "30", "--writers", "3"))[-1].crews
    assert (crew.rate, crew.pipeline) == (10.0, 64)


@pytest.mark.parametrize("arguments", [("watch", "--rate", "0"), ("watch", "--via", "sql"), ("idle",)])
def test_who_changes_nothing_through_the_server_needs_no_token(arguments: tuple[str, ...]) -> None:
    """Guests watch."""
    made = plan(*arguments)
    assert tokens_needed(made) == 0
    assert all(not share.crews for share in shares(made, (1,), []))


def test_few_tokens_go_round() -> None:
    """A session may have several connections."""
    made = plan("join", "-n", "5")
    tokens = [token for share in shares(made, (1,), ["a", "b"]) if share.crowd for token in share.crowd.tokens]
    assert tokens == ["a", "b", "a", "b", "a"]


def test_readers_and_writers_do_not_share_sessions() -> None:
    """Unless there are too few."""
    readers, writers = dealt(plan("watch", "-n", "3", "--sign-in"))
    assert readers.crowd is not None
    assert {*readers.crowd.tokens} & {*writers.crews[0].tokens} == set()


def test_an_evening_has_sellers_and_attendants_with_seats_of_their_own() -> None:
    """So that what the one takes out of service is not what the other sells."""
    made = evolve(plan("mixed"), clients=400)
    sellers, attendants = dealt(made)[-1].crews
    assert sellers.rushes
    assert attendants.maintenance
    assert attendants.first == sellers.count
    assert sellers.of == attendants.of == sellers.count + attendants.count


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
    """And says what is wrong."""
    with pytest.raises(SystemExit) as raised:
        plan(*arguments)
    assert raised.value.code == 2
    assert "error:" in capsys.readouterr().err

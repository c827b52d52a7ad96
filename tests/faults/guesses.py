"""A drill with strangers who guess at a user's code."""

from collections import Counter
from functools import partial

import trio

from tests.faults.drill import Outcome, Stage, drill
from tests.faults.postgres import Postgres, running_postgres
from tests.faults.server import Server, running_server
from tests.support.strangers import MOST, NETWORKS, SETTINGS, SOCKETS, Owner, guess_while_the_owner_signs_in

#: Limit of the three sign-ins of a round, in seconds; one of them costs a hash.
SIGN_INS_S = 5.0


@drill
def strangers_guess(stage: Stage) -> Outcome:
    """10,000 codes are guessed over 100 sockets from 20 networks, two workers, while the user signs in."""
    guesses = int(stage.choose(10_000, 2000))
    outcome = Outcome()
    with (
        running_postgres(stage.directory) as postgres,
        running_server(stage.directory, postgres.dsn, workers=2, environment=SETTINGS) as server,
    ):
        owner, answers = trio.run(_storm, server, postgres, guesses)
        outcome.measure("guesses", answers.total(), unit="")
        outcome.measure("looked at", answers["InvalidCode"], MOST, unit="")
        outcome.measure("networks", len(NETWORKS), unit="")
        outcome.measure("sockets", SOCKETS, unit="")
        outcome.measure("slowest round of sign-ins", owner.slowest_s, SIGN_INS_S)
        refused = guesses - answers["InvalidCode"]
        outcome.require(answers["TooManyLoginAttempts"] == refused, f"guesses were answered with {dict(answers)}")
        outcome.require(answers["InvalidCode"] <= MOST, f"{answers['InvalidCode']} guesses were looked at")
        counted = postgres.rows("select failures from lockout")[0]["failures"]
        outcome.require(counted == answers["InvalidCode"], f"{counted} guesses were counted")
    return outcome


async def _storm(server: Server, postgres: Postgres, guesses: int) -> tuple[Owner, Counter[str]]:
    """Let the user register, and then strangers and user loose."""

    async def sql(statement: str) -> None:
        await trio.to_thread.run_sync(partial(postgres.sql, statement))

    owner = Owner([server.ws_port], sql)
    await owner.register()
    return owner, await guess_while_the_owner_signs_in(owner, guesses, rounds=5)

"""Many strangers at once, on two servers with sockets: what they get to guess, and that the user gets in."""

from collections import Counter

from tests.support.server import running_server
from tests.support.strangers import MOST, SETTINGS, Owner, guess_while_the_owner_signs_in

GUESSES = 600


async def test_a_hundred_of_many_parallel_guesses_are_looked_at(database_url: str) -> None:
    """A hundred sockets on two servers guess from twenty networks: a hundred codes are looked at, all others refused;
    a known device, a known network and the phrase are let in meanwhile.
    """
    async with running_server(database_url, **SETTINGS) as one, running_server(database_url, **SETTINGS) as two:
        owner = Owner([one.ws_port, two.ws_port], one.sql)
        await owner.register()
        answers = await guess_while_the_owner_signs_in(owner, GUESSES)
        assert answers == Counter({"InvalidCode": MOST, "TooManyLoginAttempts": GUESSES - MOST})
        assert await one.value("select failures from lockout") == MOST

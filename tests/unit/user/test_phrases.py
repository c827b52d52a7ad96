"""Recovery phrases and their hashes."""

import re

import pytest

from seatsync.user.phrases import Cost, hash_of_none, hash_phrase, matches, new_phrase
from tests.support.people import CHEAP


def test_a_phrase_is_five_words_of_16_bits() -> None:
    """Four consonants-or-vowels choices and one more: 4+2+4+2+4 bits a word, 80 in all."""
    word = "[bdfghjklmnprstvz][aiou][bdfghjklmnprstvz][aiou][bdfghjklmnprstvz]"
    assert re.fullmatch(f"{word}( {word}){{4}}", new_phrase())


def test_phrases_differ() -> None:
    """No two in a hundred are the same."""
    assert len({new_phrase() for _ in range(100)}) == 100


async def test_a_phrase_matches_its_hash() -> None:
    """A hash matches its own phrase only."""
    hashed = await hash_phrase("babab dadad", CHEAP)
    assert await matches("babab dadad", hashed)
    assert not await matches("babab dadaf", hashed)


@pytest.mark.parametrize("typed", ["BABAB Dadad", "  babab\tdadad\n", "babab   dadad"])
async def test_case_and_spaces_do_not_matter(typed: str) -> None:
    """A phrase matches regardless of case and spaces, since it is typed from paper."""
    assert await matches(typed, await hash_phrase("babab dadad", CHEAP))


async def test_a_hash_is_salted_and_names_its_parameters() -> None:
    """Equal phrases have different hashes; the parameters stand before the salt."""
    one, other = await hash_phrase("babab"), await hash_phrase("babab")
    assert one != other
    assert one.startswith("scrypt$15$8$1$")


async def test_a_hash_with_other_parameters_still_matches() -> None:
    """Hashes made before the parameters were raised go on working."""
    old = (
        "scrypt$4$8$1$c2FsdA==$Ezg64h5rpo/23Ay+7zsA1tCJnsN+YjIX3FhewuSA142xz3BjwVIX6EA+k9VqlhTfBUcgtlzZPudHyT3DLXagYw=="
    )
    assert await matches("babab dadad", old)


async def test_the_hash_of_none_costs_the_same() -> None:
    """A comparison with it takes as long as with a real one, and fails."""
    cost = Cost(log_n=4, r=4, p=2)
    assert hash_of_none(cost).startswith("scrypt$4$4$2$")
    assert (await hash_phrase("babab", cost)).startswith("scrypt$4$4$2$")
    assert not await matches("babab", hash_of_none(cost))


async def test_what_is_no_hash_is_an_error() -> None:
    """A malformed hash is an error and not a wrong phrase."""
    with pytest.raises(ValueError, match="not a hash"):
        await matches("babab", "plain text")

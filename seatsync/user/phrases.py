"""Recovery phrases: words to write down, and their hashes."""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final

import trio
from attrs import frozen

# Words are consonant-vowel-consonant-vowel-consonant, 16 bits each ("proquints"): no word list is needed.
_CONSONANTS: Final = "bdfghjklmnprstvz"
_VOWELS: Final = "aiou"
_WORD: Final = (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _CONSONANTS)

_SALT_BYTES = 16
_HASH = re.compile(r"scrypt\$(\d{1,2})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)")

# Two at a time bounds the CPU and memory that a flood of attempts can take.
_hashing = trio.CapacityLimiter(2)


@frozen
class Cost:
    """The parameters of scrypt (RFC 7914): the defaults take 32 MiB and about 75 ms; tests pass cheaper ones."""

    log_n: int = 15
    """The logarithm of N to the base 2."""
    r: int = 8
    p: int = 1


def new_phrase() -> str:
    """Five words from `secrets`: 80 bits."""
    return " ".join("".join(map(secrets.choice, _WORD)) for _ in range(5))


async def hash_phrase(phrase: str, cost: Cost = Cost()) -> str:
    """``scrypt$log2(N)$r$p$salt$hash``. A cancellation waits for the hash and discards it."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = await trio.to_thread.run_sync(_scrypt, phrase, salt, cost, limiter=_hashing)
    return _format(cost, salt, digest)


def hash_of_none(cost: Cost) -> str:
    """The hash of no phrase, to compare with where there is none: that takes as long."""
    return _format(cost, bytes(_SALT_BYTES), bytes(64))


async def matches(phrase: str, phrase_hash: str) -> bool:
    """True for the phrase that was hashed, whatever its case and spacing.

    Raises `ValueError` for a hash in another format.
    """
    parts = _HASH.fullmatch(phrase_hash)
    if parts is None:
        raise ValueError("not a hash of a recovery phrase")
    cost = Cost(*(int(number) for number in parts.group(1, 2, 3)))
    salt, wanted = (base64.b64decode(text) for text in parts.group(4, 5))
    found = await trio.to_thread.run_sync(_scrypt, phrase, salt, cost, limiter=_hashing)
    return hmac.compare_digest(found, wanted)


def _scrypt(phrase: str, salt: bytes, cost: Cost) -> bytes:
    n, r, p, plain = 1 << cost.log_n, cost.r, cost.p, " ".join(phrase.casefold().split())
    # OpenSSL needs memory for 128·N·r bytes and a little more.
    return hashlib.scrypt(plain.encode(), salt=salt, n=n, r=r, p=p, maxmem=128 * (n + p + 8) * r)


def _format(cost: Cost, salt: bytes, digest: bytes) -> str:
    salt64, digest64 = (base64.b64encode(data).decode() for data in (salt, digest))
    return f"scrypt${cost.log_n}${cost.r}${cost.p}${salt64}${digest64}"

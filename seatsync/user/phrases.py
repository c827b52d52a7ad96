"""Recovery phrases: words to write down, and their hashes."""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final

import trio

# Words are consonant-vowel-consonant-vowel-consonant, 16 bits each ("proquints"): no word list is needed.
_CONSONANTS: Final = "bdfghjklmnprstvz"
_VOWELS: Final = "aiou"
_WORD: Final = (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _CONSONANTS)

# scrypt (RFC 7914) with N = 2^15, r = 8, p = 1: 32 MiB and about 75 ms.
_LOG_N, _R, _P = 15, 8, 1
_SALT_BYTES = 16
_HASH = re.compile(r"scrypt\$(\d{1,2})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)")

# Two at a time bounds the CPU and memory that a flood of attempts can take.
_hashing = trio.CapacityLimiter(2)


def new_phrase() -> str:
    """Five words from `secrets`: 80 bits."""
    return " ".join("".join(map(secrets.choice, _WORD)) for _ in range(5))


async def hash_phrase(phrase: str) -> str:
    """``scrypt$log2(N)$r$p$salt$hash``. A cancellation waits for the hash and discards it."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = await trio.to_thread.run_sync(_scrypt, phrase, salt, _LOG_N, _R, _P, limiter=_hashing)
    return _format(salt, digest)


async def matches(phrase: str, phrase_hash: str) -> bool:
    """True for the phrase that was hashed, whatever its case and spacing.

    Raises `ValueError` for a hash in another format.
    """
    parts = _HASH.fullmatch(phrase_hash)
    if parts is None:
        raise ValueError("not a hash of a recovery phrase")
    log_n, r, p = (int(number) for number in parts.group(1, 2, 3))
    salt, wanted = (base64.b64decode(text) for text in parts.group(4, 5))
    found = await trio.to_thread.run_sync(_scrypt, phrase, salt, log_n, r, p, limiter=_hashing)
    return hmac.compare_digest(found, wanted)


def _scrypt(phrase: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    n, plain = 1 << log_n, " ".join(phrase.casefold().split())
    # OpenSSL needs memory for 128·N·r bytes and a little more.
    return hashlib.scrypt(plain.encode(), salt=salt, n=n, r=r, p=p, maxmem=128 * (n + p + 8) * r)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _format(salt: bytes, digest: bytes) -> str:
    return "$".join(("scrypt", str(_LOG_N), str(_R), str(_P), _base64(salt), _base64(digest)))


#: The hash of no phrase, to compare with where there is none: that takes as long.
NOBODYS: Final = _format(bytes(_SALT_BYTES), bytes(64))

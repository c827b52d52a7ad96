"""Authenticators' secrets as the database stores them: encrypted under a key that is not in it.

A stored secret is ``<key id>:<nonce, ciphertext and tag in base64url>``: AES-256-GCM (NIST SP 800-38D), with the
user's name as associated data, so that it is worth nothing in another user's row. One in base32 is plain: SQL or an
earlier version has written it, and the next start encrypts it.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class UnreadableSecretError(Exception):
    """A stored secret is encrypted under a key that is missing, or is not of that user."""


def key_id(key: str) -> str:
    """Eight hexadecimal digits that name a key and reveal nothing else of it."""
    return hmac.digest(key.encode(), b"seatsync key id", hashlib.sha256).hex()[:8]


class Keyring:
    """The keys of `SECRETS_KEY`: the first encrypts, all decrypt."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._ciphers = {key_id(key): AESGCM(_derive(key)) for key in keys}
        self.ids = tuple(self._ciphers)
        """The first is that of the key which encrypts."""

    def encrypt(self, username: str, secret: str) -> str:
        """The secret as it is stored for the user of that name, in any case."""
        first, nonce = self.ids[0], os.urandom(_NONCE_BYTES)
        encrypted = nonce + self._ciphers[first].encrypt(nonce, secret.encode(), _context(username))
        return f"{first}:{base64.urlsafe_b64encode(encrypted).decode().rstrip('=')}"

    def decrypt(self, username: str, stored: str) -> str:
        """The secret that is stored for the user of that name. Raises `UnreadableSecretError`."""
        used, separator, text = stored.partition(":")
        if not separator:
            return stored
        if used not in self._ciphers:
            raise UnreadableSecretError(f"encrypted with the key {used}, which SECRETS_KEY lacks")
        try:
            encrypted = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            nonce, rest = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
            return self._ciphers[used].decrypt(nonce, rest, _context(username)).decode()
        except (InvalidTag, ValueError):
            raise UnreadableSecretError("altered, or that of another name") from None


def _derive(key: str) -> bytes:
    """A key of its own for this purpose (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"seatsync totp secrets").derive(key.encode())


def _context(username: str) -> bytes:
    return b"seatsync totp " + username.lower().encode()

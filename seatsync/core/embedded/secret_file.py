"""A secret that is generated once and kept in a file that only its owner can read."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from seatsync.config import MIN_SECRET_BYTES, ConfigError


def read_or_make_secret(path: Path) -> str:
    """Return the secret in the file, and generate both first if there is none.

    Concurrent processes return the same secret: only one can link its file into place. Raises ConfigError if the file
    has no secret, and OSError.
    """
    if not path.exists():
        _make(path)
    secret = path.read_text().strip()
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ConfigError(f"{path} holds no secret: remove it, and a new one is made. All users have to sign in again.")
    return secret


def _make(path: Path) -> None:
    aside = path.with_suffix(f".{os.getpid()}")
    aside.touch(mode=0o600)
    with aside.open("w") as file:
        file.write(f"{secrets.token_hex(32)}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):
            path.hardlink_to(aside)
    finally:
        aside.unlink()

"""A secret that is generated once and kept in a file that only its owner can read."""

import os
import secrets
from pathlib import Path

from seatsync.config import ConfigError
from seatsync.config_text import MIN_SECRET_BYTES

SECRET_BYTES = 32


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
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123 -- by descriptor
        file.write(f"{secrets.token_hex(SECRET_BYTES)}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(aside)
    except FileExistsError:
        pass
    finally:
        aside.unlink()

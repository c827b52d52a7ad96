"""Keys that are kept in a file that only its owner can read; the first is generated."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from seatsync.config import ConfigError
from seatsync.config.values import signing_keys


def read_or_make_keys(path: Path) -> tuple[str, ...]:
    """Return the keys in the file, and generate the file with one if there is none.

    Concurrent processes return the same key: only one can link its file into place. Raises ConfigError if the file
    has no key or a short one, and OSError.
    """
    if not path.exists():
        _make(path)
    try:
        keys = signing_keys(path.read_text().strip())
    except ValueError as error:
        raise ConfigError(f"{path} {error}.") from None
    if not keys:
        raise ConfigError(f"{path} holds no key: restore it, or remove it, and what the lost key protected is void.")
    return keys


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

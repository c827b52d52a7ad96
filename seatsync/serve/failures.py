"""What a user can cause: errors that end a command with their own sentence instead of a traceback."""

from collections.abc import Iterator

from seatsync.app import StartError
from seatsync.config import ConfigError
from seatsync.core.embedded.server import PostgresError
from seatsync.core.net.listen import BindError
from seatsync.core.postgres.migrate import MigrationError
from seatsync.errors import DatabaseFault, SeatSyncError

EXPECTED = (ConfigError, PostgresError, MigrationError, BindError, StartError, SeatSyncError, OSError)
"""The message of each is written for a person."""


def sentences(error: BaseException) -> list[str]:
    """What an error says, or every error in a group of groups, each sentence once."""
    return list(dict.fromkeys(line for leaf in _leaves(error) for line in _explain(leaf).splitlines()))


def _explain(error: BaseException) -> str:
    """The error's sentence; of an unreachable database also why, which clients are not told."""
    if isinstance(error, DatabaseFault) and error.__cause__ is not None:
        return f"The database cannot be reached: {error.__cause__}"
    return str(error)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of groups: nurseries wrap even a single one."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error

"""Errors that a user can cause: they end a command with their own sentence instead of a traceback."""

from collections.abc import Iterator

from seatsync.errors import Failure, SeatSyncError, ServiceUnavailable

EXPECTED = (Failure, SeatSyncError, OSError)
"""The message of each is written for a person."""


def sentences(error: BaseException) -> list[str]:
    """The message of an error, or of every error in a group of groups, each line once."""
    return list(dict.fromkeys(line for leaf in _leaves(error) for line in _explain(leaf).splitlines()))


def _explain(error: BaseException) -> str:
    """The error's message; of an unreachable database also the cause, which clients do not get."""
    if isinstance(error, ServiceUnavailable) and error.__cause__ is not None:
        return f"The database cannot be reached: {error.__cause__}"
    return str(error)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of groups: nurseries wrap even a single one."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error

"""Errors that a user can cause: they end a command with their own sentence instead of a traceback."""

from seatsync.errors import Failure, SeatSyncError, ServiceUnavailable

EXPECTED = (Failure, SeatSyncError, OSError)
"""The message of each is written for a person."""


def sentences(error: BaseException) -> list[str]:
    """The message of an error, or of every error in a group of groups, each line once."""
    if isinstance(error, BaseExceptionGroup):
        lines = [line for inner in error.exceptions for line in sentences(inner)]
    else:
        has_reason = isinstance(error, ServiceUnavailable) and str(error) != error.message  # clients do not get it
        lines = str(f"The database cannot be reached: {error}" if has_reason else error).splitlines()
    return list(dict.fromkeys(lines))

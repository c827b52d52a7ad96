"""Errors that a user can cause: they end a command with their own sentence instead of a traceback."""

from seatsync.errors import Failure, SeatSyncError, ServiceUnavailable

EXPECTED = (Failure, SeatSyncError, OSError)
"""The message of each is written for a person."""


def sentences(error: BaseException) -> list[str]:
    """The message of an error, or of every error in a group of groups, each line once."""
    if isinstance(error, BaseExceptionGroup):
        lines = [line for inner in error.exceptions for line in sentences(inner)]
    elif isinstance(error, ServiceUnavailable) and str(error) != error.message:  # its reason, which no client gets
        lines = [f"{error.message.partition(';')[0]}: {error}"]
    elif isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
        lines = [f"{error.filename}: {error.strerror}."]
    else:
        lines = str(error).splitlines()
    return list(dict.fromkeys(lines))

"""The refusal of attempts that come too fast. The counting itself is PostgreSQL's (``throttle_attempt``)."""

from seatsync import errors


def refuse_if(wait_s: int, error: type[errors.TooMuch]) -> None:
    """Raises ``error`` with its `retry_after` if there are seconds to wait."""
    if wait_s > 0:
        raise error(retry_after=wait_s)

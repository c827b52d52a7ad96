"""The log as a witness: whatever went wrong inside is in it as an error."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.typing import EventDict, WrappedLogger


@contextmanager
def no_faults() -> Iterator[None]:
    """Write no log in the block, and fail if it would have had an error."""
    found: list[EventDict] = []

    def keep(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
        if level in {"error", "exception", "critical"}:
            found.append(event)
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    before = processors.copy()
    processors[:] = [keep]
    try:
        yield
    finally:
        processors[:] = before
    if found:
        raise AssertionError("\n".join(map(repr, found)))

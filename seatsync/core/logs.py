"""Logs: one line an event, for people or for programs, and never a secret.

Our events come through structlog, those of libraries through `logging`; both are rendered alike and go to standard
error. A line that cannot be written (standard error closed, a broken pipe) is lost and nothing is raised: `logging`
sees to that. What `structlog.contextvars` binds in a trio task is in the lines of that task and of its children.
"""

import logging
import re
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"

SECRET_WORDS = frozenset(
    {"token", "code", "secret", "phrase", "password", "cookie", "cookies", "authorization", "dsn", "key", "qr"}
)
"""A value whose name has one of these words, as ``visitor_cookie`` has, is not written."""

HARMLESS_NAMES = frozenset({"close_code"})

PASSWORD_IN_URL = re.compile(r"(://[^\s/@:]*):[^\s/@]+@")

QUIET = ("asyncio", "asyncpg", "trio-websocket", "trio_asyncio", "wsproto")
"""Libraries that warn of every peer that goes away; what matters of that is in our own lines."""


def configure_logs(level: str, style: str, stream: TextIO | None = None) -> None:
    """Set up the process's logs; ``style`` is ``console`` or ``json``, ``stream`` standard error unless given.

    May be called again: the last call holds.
    """
    target = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_gathering(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_gathering(), processors=_rendering(style, target))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("seatsync").setLevel(number)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take out secrets, wherever they are nested, and whatever would do something to a terminal."""
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {inner: _clean(str(inner), item) for inner, item in value.items()}
    if name not in HARMLESS_NAMES and not SECRET_WORDS.isdisjoint(name.lower().split("_")):
        return REDACTED
    if isinstance(value, list | tuple):
        return [_clean(name, item) for item in value]
    if isinstance(value, str):
        text = PASSWORD_IN_URL.sub(rf"\1:{REDACTED}@", value)
        return text if text.isprintable() else text.encode("unicode_escape").decode()
    return value


def _gathering() -> list[Processor]:
    """What is added to an event, in order; redaction is last, after everything that adds."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]


def _rendering(style: str, target: TextIO) -> list[Processor]:
    """How an event becomes text. A traceback shows no local variables: they hold what `redact` takes out."""
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if style == "json":
        return [meta, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [meta, structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=plain)]

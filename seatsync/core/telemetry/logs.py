"""Logs: one line an event, as text or JSON, without secrets, on standard error.

The server's events are written by structlog itself: through `logging` they cost twice as much, and each connection
makes one. Those of libraries come from `logging` and look the same. Fields that `structlog.contextvars` binds in a
trio task are in the lines of that task and of its children.
"""

import logging
import re
import sys
from contextlib import suppress
from functools import lru_cache
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"

SECRET_WORDS = frozenset(
    {"token", "code", "secret", "phrase", "password", "cookie", "cookies", "authorization", "dsn", "key", "qr"}
)
"""A value is redacted when its name has one of these words, as ``visitor_cookie`` has."""

PASSWORD_IN_URL = re.compile(r"(://[^\s/@:]*):[^\s/@]+@")

CREDENTIAL = re.compile(r"ssk_[A-Za-z0-9_-]{29,}|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]*")
"""A service key or a JWT, wherever a client has put it, also without its end; no username is one."""

QUIET = ("psycopg", "trio-websocket", "wsproto")
"""Libraries that warn of every peer that disconnects; only their errors are written."""


def configure_logs(level: str, style: str, stream: TextIO | None = None) -> None:
    """Set up the process's logs, anew if called again; ``style`` is ``console`` or ``json``.

    ``stream`` is standard error unless given.
    """
    target = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    rendering: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if style == "console":  # for people, with the time of where they are
        stamp = structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False)
        plain = structlog.dev.plain_traceback  # without local variables: they may hold secrets
        rendering = [structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=plain)]
    gathering: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        stamp,
        redact,
    ]
    structlog.configure(
        processors=[*gathering, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _LineLogger(target),
    )
    handler = logging.StreamHandler(target)
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=gathering, processors=[meta, *rendering])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


class _LineLogger:
    """Writes rendered lines; drops a line that a broken pipe or a closed file does not take."""

    def __init__(self, target: TextIO) -> None:
        self._target = target

    def write(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self._target.write(line + "\n")
            self._target.flush()

    debug = info = warning = error = critical = write


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace secrets at any depth, and escape control characters, which a terminal would interpret."""
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {inner: _clean(str(inner), item) for inner, item in value.items()}
    if _is_secret(name):
        return REDACTED
    if isinstance(value, str):
        text = PASSWORD_IN_URL.sub(rf"\1:{REDACTED}@", value) if "://" in value else value
        text = CREDENTIAL.sub(REDACTED, text)
        return text if text.isprintable() else text.encode("unicode_escape").decode()
    if isinstance(value, list | tuple):
        return [_clean(name, item) for item in value]
    return value


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return name != "close_code" and not SECRET_WORDS.isdisjoint(name.lower().split("_"))

"""Printing: what comes from data cannot control the terminal, nor fail on characters that it does not have."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO


def write_lines(*lines: object, stream: TextIO | None = None) -> None:
    """Print each as one line, made `printable`, and flush. To standard output unless given another stream."""
    _write([[str(line)] for line in lines], sys.stdout if stream is None else stream)


def _write(rows: Iterable[Iterable[str]], target: TextIO) -> None:
    """Print rows, tabs between their cells."""
    target.write("".join("\t".join(printable(cell, target.encoding) for cell in row) + "\n" for row in rows))
    target.flush()


def ask(question: str) -> str:
    """Print a question on standard error, made `printable`, and return the line that is typed."""
    sys.stderr.write(f"{printable(question, sys.stderr.encoding)} ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def printable(text: str, encoding: str | None = None) -> str:
    """The text with escapes (``\\\\x1b``) for control characters, line ends too, and for what the encoding lacks.

    Also for the invisible ones that reorder what is shown, such as U+202E.
    """
    if not text.isprintable():
        text = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    if not text.isascii() and encoding is not None:
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def write_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows: aligned below their columns on a terminal, else with a tab between two cells."""
    if not sys.stdout.isatty():
        _write([map(cell, row) for row in rows], sys.stdout)
        return
    table = [columns, *([_short_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    write_lines(*("  ".join(map(str.ljust, row, widths)).rstrip() for row in table))


def cell(value: Any) -> str:
    """A value for programs; what is not known is ``-``."""
    return "-" if value is None else iso_time(value) if isinstance(value, datetime) else printable(str(value))


def _short_cell(value: Any) -> str:
    """A value for people, who want no seconds."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}" if isinstance(value, datetime) else cell(value)


def counted(number: int, noun: str) -> str:
    """The number with the noun, in the plural unless it is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def iso_time(value: datetime) -> str:
    """A time in ISO 8601, UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

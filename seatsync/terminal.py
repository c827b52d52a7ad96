"""Printing: what comes from data cannot control the terminal, nor fail on characters that it does not have."""

import sys
from typing import TextIO


def write_lines(*lines: object, stream: TextIO | None = None) -> None:
    """Print each as one line, made `printable`, and flush. To standard output unless given another stream."""
    target = sys.stdout if stream is None else stream
    target.write("".join(f"{printable(str(line), target.encoding)}\n" for line in lines))
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

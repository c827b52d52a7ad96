"""The common part of the asyncio servers of the field: their argument, ``ready``, and the lines to broadcast."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

#: Lines are payloads: this is more than any.
_LONGEST_LINE = 1 << 20


def canned_answer() -> bytes:
    """The answer to every message."""
    return Path(sys.argv[1]).read_bytes()


def announce(port: int) -> None:
    """Say that connections are accepted."""
    sys.stdout.write(f"ready {port}\n")
    sys.stdout.flush()


async def broadcast_lines(broadcast: Callable[[bytes], None]) -> None:
    """Call ``broadcast`` with each line of standard input, to its end."""
    reader = asyncio.StreamReader(_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        broadcast(line.rstrip(b"\n"))

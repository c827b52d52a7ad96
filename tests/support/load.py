"""`seatsync load` as a program that a test runs beside its server."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import trio
from attrs import frozen

#: Longer than any of these tests takes.
PATIENCE_S = 60.0


@frozen
class Loaded:
    """How a load test ended."""

    status: int
    text: str
    """Standard output."""
    errors: str

    def json(self) -> dict[str, Any]:
        """The results, where they were asked for on standard output."""
        result: dict[str, Any] = json.loads(self.text)
        return result


async def run_load(*arguments: object, environ: Mapping[str, str] | None = None) -> Loaded:
    """Run it to its end."""
    command = [sys.executable, "-m", "seatsync", "load", *map(str, arguments)]
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            command, check=False, capture_stdout=True, capture_stderr=True, env={**os.environ, **(environ or {})}
        )
    return Loaded(done.returncode, done.stdout.decode(), done.stderr.decode())

"""`seatsync load` beside a test's server: as a program, or in the test's own process with threads for its processes."""

import argparse
import io
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import trio
from attrs import frozen
from rich.console import Console

from seatsync.errors import SeatSyncError
from seatsync.load import LoadError, command, worker
from seatsync.load.arguments import add_arguments
from seatsync.load.plan import Share
from seatsync.load.processes import Running
from seatsync.load.schedule import SendTimes
from seatsync.user import accounts
from tests.support.server import RunningServer

#: An upper bound for each of these tests.
PATIENCE_S = 60.0


@frozen
class Loaded:
    """The result of a load test."""

    status: int
    text: str
    """Standard output."""
    errors: str

    def json(self) -> dict[str, Any]:
        """The results, where they went to standard output."""
        result: dict[str, Any] = json.loads(self.text)
        return result


async def run_load(*arguments: object, environ: Mapping[str, str] | None = None) -> Loaded:
    """Run the program to its end."""
    command = [sys.executable, "-m", "seatsync", "load", *map(str, arguments)]
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            command, check=False, capture_stdout=True, capture_stderr=True, env={**os.environ, **(environ or {})}
        )
    return Loaded(done.returncode, done.stdout.decode(), done.stderr.decode())


def issue_tokens(server: RunningServer | None, count: int) -> list[str]:
    """Tokens of new sessions on a test's server, if it has a real one; called in the load test's thread."""
    if server is None:
        return ["any"]
    issue = partial(accounts.session_tokens, server.db, server.settings, "load_test", create=True, count=count)
    return trio.from_thread.run(issue)


def start_thread(share: Share, send_times: SendTimes) -> Running:
    """Do a client process's share in a thread."""
    ours, theirs = multiprocessing.Pipe()

    def run() -> None:
        with theirs:
            worker.work(theirs, share, send_times)

    thread = threading.Thread(target=run)
    thread.start()
    return Running(share.name, ours, thread.join)


async def load_here(*arguments: object, server: RunningServer | None = None) -> Loaded:
    """Run a load test to its end in this process. Its tokens come from the server's database."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args([*map(str, arguments), "--quiet"])

    def run() -> Loaded:
        console = Console(file=io.StringIO(), width=200)
        issue = partial(issue_tokens, server)
        try:
            status, errors = command.run(options, issue, "", start=start_thread, console=console), ""
        except (LoadError, SeatSyncError) as error:
            status, errors = 1, str(error)
        assert isinstance(console.file, io.StringIO)
        return Loaded(status, console.file.getvalue(), errors)

    with trio.fail_after(PATIENCE_S):
        return await trio.to_thread.run_sync(run)

"""A worker as its supervisor sees it: a process, and a socket between the two.

Over the socket the worker sends `READY` once it accepts connections, or the reason why it cannot. The supervisor sends
nothing: its end of the socket is open for as long as it lives, and a worker that reads the end of the stream drains.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import socket, socketpair

import trio
from attrs import define, field

READY = b"ready\n"


@define(eq=False)
class WorkerProcess:
    """One worker. `run` owns the process and the socket."""

    index: int
    process: trio.Process
    control: trio.abc.ReceiveStream
    ready: bool = False
    """It accepts connections, or has done so."""
    failure: str = ""
    """Why it cannot serve, in one sentence, if it has sent one."""
    reported: trio.Event = field(factory=trio.Event)
    """It is ready, or ending."""
    ended: trio.Event = field(factory=trio.Event)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        self.process.send_signal(number)

    async def run(self) -> None:
        """Take the worker's report and wait for its end; a cancellation kills it."""
        try:
            async with self.control:
                await self._read_report()
                await self.process.wait()
        finally:
            self.send_signal(signal.SIGKILL)
            self.reported.set()
            self.ended.set()

    async def _read_report(self) -> None:
        received = b""
        async for data in self.control:
            received += data
            if received.startswith(READY):
                self.ready = True
                self.reported.set()
        self.failure = received.removeprefix(READY).decode()


async def launch(
    index: int, listening: Sequence[socket], metrics_directory: Path, environment: Mapping[str, str]
) -> WorkerProcess:
    """Start a worker, in a session of its own: only the supervisor passes Ctrl-C on to it. Raises `OSError`.

    It inherits copies of the sockets, which stay open when the supervisor closes its own meanwhile.
    """
    ours, theirs = socketpair()
    with ExitStack() as inherited, ExitStack() as on_failure:
        on_failure.enter_context(ours)
        sockets = [inherited.enter_context(one) for one in (theirs, *(one.dup() for one in listening))]
        descriptors = [one.fileno() for one in sockets]
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "seatsync.serve.worker", f"{index}", f"{metrics_directory}", *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            env=os.environ | environment,
            start_new_session=True,
        )
        on_failure.pop_all()
    return WorkerProcess(index, process, trio.SocketStream(trio.socket.from_stdlib_socket(ours)))

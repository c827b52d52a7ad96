"""``seatsync serve`` as a process: its sockets, its database, its signals, and one server or several workers."""

import gc
import signal
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from socket import socket

import structlog
import trio

from seatsync import seed
from seatsync.app import StartError, serve, unless
from seatsync.config import Settings
from seatsync.core.embedded.programs import PostgresError
from seatsync.core.embedded.server import EmbeddedPostgres
from seatsync.core.net.listen import bind
from seatsync.core.postgres.migrate import migrate
from seatsync.core.postgres.notifications import address_fault
from seatsync.core.postgres.pool import Database, open_loop, pools_transactions
from seatsync.core.telemetry.logs import configure_logs
from seatsync.core.timing import Timing
from seatsync.serve.supervisor import Supervisor

#: The signals that end the server, cleanly.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

#: Thresholds of the garbage collector's generations. An open connection is some sixty objects that live long: with
#: CPython's 700 the collector visits all of them again and again, which costs a quarter of the CPU of a handshake.
GC_THRESHOLDS = (20_000, 50, 100)

logger = structlog.get_logger(__name__)


async def main(settings: Settings, postgres: EmbeddedPostgres | None, demo: bool) -> None:
    """Run the server until SIGINT or SIGTERM; a second signal ends it at once.

    SIGHUP replaces the workers where there are several, and else ends the server too: its terminal is gone, unless it
    was started to outlive that. ``settings`` name the database; ``postgres`` is the embedded one, if that is it.
    Raises `StartError`, `MigrationError`, `BindError` and `ServiceUnavailable`.
    """
    configure_logs(settings.log_level, settings.log_format)
    tune_garbage_collection()
    stop = trio.Event()
    with ExitStack() as sockets:
        listening = open_sockets(settings, sockets)
        started = partial(_welcome, settings, listening)
        async with trio.open_nursery() as nursery:
            await nursery.start(watch_signals, _stop_signals(settings), stop, nursery.cancel_scope)
            supervisor = Supervisor(settings, listening, stop)
            alone = settings.workers == 1
            if not alone:
                await nursery.start(_replace_on_hangup, supervisor)
            if postgres is not None:
                nursery.start_soon(_keep_running, postgres)
            async with unless(stop):
                await _prepare(settings, demo=demo)
            if not stop.is_set():
                await (serve(settings, listening, stop, started=started) if alone else supervisor.run(started))
            nursery.cancel_scope.cancel()


def tune_garbage_collection() -> None:
    """Collect seldom, and exempt what exists by now (modules, tables) for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def open_sockets(settings: Settings, sockets: ExitStack) -> list[socket]:
    """Listening sockets for both ports, those of `PORT` first; the same ones serve both where the ports are equal.

    They are closed with ``sockets``. Raises `BindError`.
    """
    listening = [sockets.enter_context(one) for one in bind(settings.hosts, settings.port)]
    if settings.ws_port != settings.port or settings.port == 0:
        listening += [sockets.enter_context(one) for one in bind(settings.hosts, settings.ws_port)]
    return listening


async def _prepare(settings: Settings, *, demo: bool) -> None:
    """Migrate the database, and add the demo cinemas where they are wanted and missing. Raises `StartError`."""
    async with open_loop():
        for name, dsn in (("DATABASE_URL", settings.database_url), ("LISTEN_URL", settings.listen_url)):
            if dsn is not None:
                await _check_address(name, dsn)
        async with Database.open(settings.database_url or "", size=1) as database:
            await migrate(database)
            if demo and await seed.demo(database):
                logger.info("demo_added")


async def _check_address(name: str, dsn: str) -> None:
    """Raises `StartError` for an address that libpq rejects, or that cannot LISTEN or prepare statements."""
    fault = address_fault(dsn)
    if fault is not None:
        raise StartError(f"{name} is not an address that PostgreSQL's own library understands: {fault}.")
    if await pools_transactions(dsn):
        raise StartError(
            f"{name} is a pooler that gives each transaction another connection (PgBouncer: pool_mode = transaction), "
            "where neither LISTEN nor prepared statements last: set it to PostgreSQL's own address, or have the pooler "
            "keep a connection for a whole session."
        )


def _stop_signals(settings: Settings) -> tuple[signal.Signals, ...]:
    """The signals that end this server. nohup(1) has SIGHUP ignored, and so it stays."""
    if settings.workers > 1 or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return STOP_SIGNALS
    return (*STOP_SIGNALS, signal.SIGHUP)


async def watch_signals(
    numbers: Iterable[signal.Signals],
    stop: trio.Event,
    scope: trio.CancelScope,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Set ``stop`` at the first of these signals, and cancel ``scope`` at the second, until cancelled."""
    with trio.open_signal_receiver(*numbers) as signals:
        task_status.started()
        async for number in signals:
            logger.info("stopping", signal=signal.Signals(number).name, at_once=stop.is_set())
            if stop.is_set():
                scope.cancel()
            stop.set()


async def _replace_on_hangup(supervisor: Supervisor, task_status: trio.TaskStatus[None]) -> None:
    """Replace the workers at every SIGHUP; those that arrive meanwhile count as one more."""
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            logger.info("replacing_workers")
            await supervisor.replace_all()


async def _keep_running(postgres: EmbeddedPostgres, *, timing: Timing = Timing()) -> None:
    """Restart the embedded PostgreSQL whenever it has ended, until cancelled."""
    while True:
        await trio.sleep(timing.postgres_check_s)
        try:
            if postgres.ensure_running():
                logger.warning("postgres_restarted")
        except PostgresError as error:
            logger.error("postgres_gone", error=str(error))  # noqa: TRY400 - the sentence says it all


async def _welcome(settings: Settings, listening: list[socket]) -> None:
    """Print where the server is, and log the warnings about its settings."""
    port, ws_port = (one.getsockname()[1] for one in (listening[0], listening[-1]))
    program = sys.argv[0] if Path(sys.argv[0]).name == "seatsync" else "python -m seatsync"
    sys.stdout.write(
        f"Seats Sync is up; Ctrl-C ends it.\n"
        f"  HTTP        http://localhost:{port}\n"
        f"  WebSocket   ws://localhost:{ws_port}/ws\n"
        f"  an admin    {program} user create NAME --role admin\n"
        f"  SQL         {program} psql\n"
    )
    sys.stdout.flush()
    for sentence in settings.warnings():
        logger.warning("settings", message=sentence)

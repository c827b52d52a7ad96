"""``seatsync serve`` as a process: its sockets, its database, its signals, and one server or several workers."""

import argparse
import os
import signal
import time
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from socket import socket

import structlog
import trio

from seatsync import seed
from seatsync.app import serve
from seatsync.config import Settings, load_settings
from seatsync.core.embedded.programs import PostgresError
from seatsync.core.embedded.server import EmbeddedPostgres, resolve_database
from seatsync.core.net.listen import bind
from seatsync.core.postgres.faults import DatabaseTooSlow
from seatsync.core.postgres.migrate import migrate
from seatsync.core.postgres.pool import Database, pools_transactions
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Row, address_fault, is_readable_on_the_way
from seatsync.core.stopping import unless
from seatsync.core.telemetry.logs import configure_logs
from seatsync.core.telemetry.sampling import REFUSALS, Lines, Reminders
from seatsync.core.timing import Timing
from seatsync.errors import StartError
from seatsync.serve.supervisor import Supervisor
from seatsync.serve.welcome import Welcome
from seatsync.user.encryption import encrypt_plain
from seatsync.user.keyring import Keyring

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

logger = structlog.get_logger(__name__)


def run(options: argparse.Namespace) -> None:
    """Run ``seatsync serve``."""
    welcome = Welcome(options.demo, options.open, time.monotonic())
    for name in ("WORKERS", "PORT", "WS_PORT", "HOST"):
        if (given := getattr(options, name.lower())) is not None:
            os.environ[name] = f"{given}"  # for the workers, too
    read = load_settings(demo=options.demo)
    if options.demo:
        os.environ["DEFAULT_ROLE"] = read.default_role  # for the workers, which do not know of the demo
    with resolve_database(read, create=True) as (settings, postgres):
        trio.run(main, settings, postgres, welcome)


async def main(settings: Settings, postgres: EmbeddedPostgres | None, welcome: Welcome) -> None:
    """Run the server until SIGINT or SIGTERM; a second signal ends it at once.

    SIGHUP replaces the workers where there are several, and else ends the server too, unless nohup(1) has it ignored.
    ``settings`` name the database; ``postgres`` is the embedded one, if that is it.
    Raises `Failure` and `ServiceUnavailable`.
    """
    configure_logs(settings.log_level, settings.log_format)
    alone = settings.workers == 1
    stop = trio.Event()
    with ExitStack() as sockets:
        listening = open_sockets(settings, sockets)
        async with trio.open_nursery() as nursery:
            supervisor = Supervisor(settings, listening, stop)
            if not alone:
                await nursery.start(_replace_on_hangup, supervisor)
            hangup_stops = alone and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
            numbers = (*STOP_SIGNALS, signal.SIGHUP) if hangup_stops else STOP_SIGNALS
            await nursery.start(_watch_signals, numbers, stop, nursery.cancel_scope)
            if postgres is not None:
                nursery.start_soon(_keep_running, postgres)
            async with unless(stop):
                site = await _prepare(settings, demo=welcome.demo)
            if not stop.is_set():
                started = partial(_greet, welcome, settings, listening, site)
                await (serve(settings, listening, stop, started=started) if alone else supervisor.run(started))
            nursery.cancel_scope.cancel()


def open_sockets(settings: Settings, sockets: ExitStack) -> list[socket]:
    """Listening sockets of both ports, those of `PORT` first, closed with ``sockets``. Raises `BindError`."""
    same = settings.ws_port == settings.port != 0
    ports = [settings.port] if same else [settings.port, settings.ws_port]
    return [sockets.enter_context(one) for port in ports for one in bind(settings.hosts, port)]


async def _prepare(settings: Settings, *, demo: bool) -> Row:
    """Check the addresses and keys, migrate the database, and add the demo cinemas if they are wanted and missing.

    Returns the numbers of cinemas and halls that there are then.
    Raises `StartError` for an address that libpq rejects, or that cannot LISTEN or prepare statements, and as
    `migrate` and `encrypt_plain` do.
    """
    for name, dsn in (("DATABASE_URL", settings.database_url), ("LISTEN_URL", settings.listen_url)):
        if dsn is None:
            continue
        if (fault := address_fault(dsn)) is not None:
            raise StartError(f"{name} is not an address that PostgreSQL's own library understands: {fault}.")
        await check_pooling(name, dsn)
    async with Database.open(settings.database_url or "", size=1) as database:
        await migrate(database)
        await encrypt_plain(database, Keyring(settings.secrets_keys))
        await check_timeline(database)
        if demo:
            await seed.demo(database)
        return await seed.counts(database)


async def check_pooling(name: str, dsn: str, *, timing: Timing = Timing()) -> None:
    """Wait until the address of a setting answers; raises `StartError` if it is a pooler of transactions.

    Raises `DatabaseGone` if it refuses.
    """
    lines = Lines(*REFUSALS)
    while True:
        try:
            if await pools_transactions(dsn, timing=timing):
                break
        except DatabaseTooSlow as error:
            message = f"{name} does not answer yet. Behind a pooler, there may be no connection free."
            lines.write(logger.warning, "database_awaited", message=message, error=str(error))
            await trio.sleep(timing.check_s)
        else:
            return
    raise StartError(
        f"{name} is a pooler that gives each transaction another connection (PgBouncer: pool_mode = transaction), "
        "where neither LISTEN nor prepared statements last: set it to PostgreSQL's own address, or have the pooler "
        "keep a connection for a whole session."
    )


async def check_timeline(database: Database) -> None:
    """Log a warning if epochs do not include PostgreSQL's timeline."""
    if not await database.fetchval(load("system")["has_timeline"]):
        logger.warning(
            "no_timeline",
            message="This PostgreSQL does not let its timeline be read (pg_current_wal_lsn). After a failover to a "
            "replica that was behind, renew the epochs: update hall set epoch = default",
        )


async def _watch_signals(
    numbers: Iterable[signal.Signals], stop: trio.Event, scope: trio.CancelScope, task_status: trio.TaskStatus[None]
) -> None:
    """Set ``stop`` at the first of these signals and cancel ``scope`` at the second."""
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
    """Restart the embedded PostgreSQL whenever it has ended, until cancelled; log each reason once a minute."""
    reminders = Reminders()
    while True:
        await trio.sleep(timing.postgres_check_s)
        try:
            if postgres.ensure_running():
                reminders.write(postgres.reason, logger.warning, "postgres_restarted", reason=postgres.reason)
        except PostgresError as error:
            reminders.write(str(error), logger.error, "postgres_gone", error=str(error))


async def _greet(welcome: Welcome, settings: Settings, listening: list[socket], site: Row) -> None:
    """Say that the server is ready, and log the warnings about its settings."""
    ports = (one.getsockname()[1] for one in (listening[0], listening[-1]))
    await welcome.say(settings, *ports, cinemas=site["cinemas"], halls=site["halls"])
    for sentence in [*([] if welcome.is_open_demo(settings) else settings.warnings()), *address_warnings(settings)]:
        logger.warning("settings", message=sentence)


def address_warnings(settings: Settings) -> list[str]:
    """Return the sentences about addresses of databases that passwords and seats go to without TLS."""
    return [
        f"{name} leads to another machine and does not insist on TLS, so everything sent may be read and changed on the"
        " way: add sslmode=verify-full to it, or at least sslmode=require."
        for name, dsn in (("DATABASE_URL", settings.database_url), ("LISTEN_URL", settings.listen_url))
        if dsn is not None and is_readable_on_the_way(dsn)
    ]

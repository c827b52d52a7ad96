"""Drills that come between the server and its database."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from tests.faults.drill import Outcome, Skipped, Stage, drill
from tests.faults.feed import FROZEN_DETECTION_S, measure_loss, measure_stale
from tests.faults.postgres import Postgres, running_postgres
from tests.faults.processes import send_signal, wait_until
from tests.faults.scene import scene
from tests.faults.server import SECRET, Server, running_server
from tests.support.places import free_port

#: Room for all clients of a drill at one address that is not loopback.
LIMITS = {"MAX_CONNECTIONS_PER_ADDRESS": "1000", "REQUESTS_PER_SECOND": "10000", "MESSAGES_PER_SECOND": "10000"}

#: A connection attempt whose first packet was dropped sends it again only after a second (RFC 6298, section 2).
MENDED_S = 2.0

_START_S = 15.0


@frozen
class Wires:
    """A network namespace for the server, with one wire to the database and one to the clients."""

    namespace: str
    prefix: str
    """Of the addresses: .1 is the database, .2 and .6 are the server's ends, .5 is where clients are."""

    @property
    def database(self) -> str:
        """The address of the database's end."""
        return f"{self.prefix}.1"

    @property
    def server(self) -> str:
        """Where clients reach the server."""
        return f"{self.prefix}.6"

    @property
    def database_wire(self) -> str:
        """The database's interface."""
        return f"{self.namespace}d"

    def cut(self) -> None:
        """Drop every packet between the server and the database, both ways, without an error to either."""
        self._filter("-I")

    def mend(self) -> None:
        """Let packets through again."""
        self._filter("-D")

    def _filter(self, what: str) -> None:
        for chain, side in (("INPUT", "-i"), ("OUTPUT", "-o")):
            _system("iptables", "--wait", what, chain, side, self.database_wire, "-j", "DROP")


def _system(*command: str) -> None:
    """Run a command that needs rights; raises `Skipped` where it does not work."""
    program = shutil.which(command[0])
    if program is None:
        raise Skipped(f"{command[0]} is not installed (Debian: apt install iproute2 iptables).")
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"this machine does not permit {' '.join(command[:3])}: {done.stderr.strip()}.")


@contextmanager
def wires() -> Iterator[Wires]:
    """The namespace and its wires, gone afterwards."""
    laid = Wires(f"ss{os.getpid() % 100_000}", f"10.213.{os.getpid() % 250 + 1}")
    inside = ("ip", "-n", laid.namespace)
    _system("iptables", "--wait", "--list", "--numeric")
    with ExitStack() as undo:
        _system("ip", "netns", "add", laid.namespace)
        # Its end takes along the wires that lead into it.
        undo.callback(_system, "ip", "netns", "del", laid.namespace)
        for letter, outer, inner in (("d", 1, 2), ("c", 5, 6)):
            name = f"{laid.namespace}{letter}"
            _system("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}i", "netns", laid.namespace)
            _system("ip", "addr", "add", f"{laid.prefix}.{outer}/30", "dev", name)
            _system("ip", "link", "set", name, "up")
            _system(*inside, "addr", "add", f"{laid.prefix}.{inner}/30", "dev", f"{name}i")
            _system(*inside, "link", "set", f"{name}i", "up")
        _system(*inside, "link", "set", "lo", "up")
        yield laid


@drill
def partition(stage: Stage) -> Outcome:
    """The network between server and database drops every packet for 15 s; no connection is closed."""
    outcome = Outcome()
    with wires() as laid, running_postgres(stage.directory, "-c", f"listen_addresses={laid.database}") as postgres:
        dsn = postgres.admit(laid.database)
        server = Server(
            stage.directory,
            {"DATABASE_URL": dsn, "HOST": laid.server, **LIMITS},
            host=laid.server,
            prefix=("ip", "netns", "exec", laid.namespace),
        )
        try:
            server.start()
            with scene(server, dsn) as the_scene:
                time.sleep(1.0)
                at = time.monotonic()
                laid.cut()
                try:
                    time.sleep(stage.choose(15, 6))
                    the_scene.sql_change()
                finally:
                    laid.mend()
                measure_loss(
                    the_scene,
                    outcome,
                    at,
                    time.monotonic(),
                    detection_limit_s=FROZEN_DETECTION_S,
                    recovery_limit_s=MENDED_S,
                )
                measure_stale(the_scene, outcome, at)
                the_scene.judge(outcome)
        finally:
            server.remove()
    return outcome


_PGBOUNCER = """\
[databases]
seatsync = host={postgres} port=5432 dbname=seatsync user=seatsync
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
logfile = {directory}/pgbouncer.log
pidfile = {directory}/pgbouncer.pid
"""


@frozen
class Pooler:
    """A pgbouncer in front of a PostgreSQL."""

    dsn: str
    process: subprocess.Popen[bytes]


@contextmanager
def running_pgbouncer(directory: Path, postgres: Postgres, mode: str, *, size: int = 20) -> Iterator[Pooler]:
    """A pgbouncer for the length of the block, with that many connections."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise Skipped("pgbouncer is not installed (Debian: apt install pgbouncer).")
    place = directory / "pgbouncer"
    place.mkdir()
    place.chmod(0o777)
    port = free_port()
    config = place / "pgbouncer.ini"
    config.write_text(_PGBOUNCER.format(postgres=postgres.directory, port=port, mode=mode, size=size, directory=place))
    user = ["--user", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([program, "--quiet", *user, str(config)], stderr=subprocess.DEVNULL)
    dsn = f"postgresql://seatsync@127.0.0.1:{port}/seatsync"
    try:
        wait_until(Postgres(place, address=dsn).accepts, _START_S, "pgbouncer accepts connections")
        yield Pooler(dsn, process)
    finally:
        send_signal([process.pid], signal.SIGCONT)
        process.kill()
        process.wait()


@drill
def pooler_of_transactions(stage: Stage) -> Outcome:
    """pgbouncer in transaction mode, where LISTEN is deaf: refused at the start with a sentence."""
    outcome = Outcome()
    with running_postgres(stage.directory) as postgres:
        postgres.open_to_all()
        with running_pgbouncer(stage.directory, postgres, "transaction") as pooler:
            for more in ({}, {"LISTEN_URL": postgres.dsn}):
                began = time.monotonic()
                refused = subprocess.run(
                    [sys.executable, "-m", "seatsync", "serve"],
                    env=os.environ
                    | {"DATABASE_URL": pooler.dsn, "JWT_SECRET": SECRET, "SECRETS_KEY": SECRET}
                    | {"PORT": "0", "WS_PORT": "0", **more},
                    capture_output=True,
                    text=True,
                    timeout=_START_S,
                    check=False,
                )
                outcome.measure("refused after", time.monotonic() - began, _START_S)
                printed = refused.stderr.strip().rpartition("\n")[2]
                outcome.require(refused.returncode == 1, f"the exit status was {refused.returncode}")
                outcome.require("DATABASE_URL" in printed and "pooler" in printed, f"the last words were {printed!r}")
    return outcome


@drill
def pooler_frozen(stage: Stage) -> Outcome:
    """pgbouncer in session mode, frozen for 10 s: a pooler that is dead, with all its connections open."""
    outcome = Outcome()
    with running_postgres(stage.directory) as postgres:
        postgres.open_to_all()
        with (
            running_pgbouncer(stage.directory, postgres, "session") as pooler,
            running_server(stage.directory, pooler.dsn) as server,
            scene(server, postgres.dsn) as the_scene,
        ):
            time.sleep(1.0)
            at = time.monotonic()
            send_signal([pooler.process.pid], signal.SIGSTOP)
            time.sleep(stage.choose(10, 5))
            the_scene.sql_change()
            send_signal([pooler.process.pid], signal.SIGCONT)
            measure_loss(the_scene, outcome, at, time.monotonic(), detection_limit_s=FROZEN_DETECTION_S)
            measure_stale(the_scene, outcome, at)
            the_scene.judge(outcome)
    return outcome


@drill
def feed_frozen(stage: Stage) -> Outcome:
    """Only the feed is frozen for 10 s: writes are answered, snapshots are served and marked stale."""
    outcome = Outcome()
    with running_postgres(stage.directory) as postgres:
        postgres.open_to_all()
        with (
            running_pgbouncer(stage.directory, postgres, "session") as pooler,
            running_server(stage.directory, postgres.dsn, environment={"LISTEN_URL": pooler.dsn}) as server,
            scene(server, postgres.dsn) as the_scene,
        ):
            time.sleep(1.0)
            at = time.monotonic()
            send_signal([pooler.process.pid], signal.SIGSTOP)
            time.sleep(stage.choose(9, 4))
            answered = len(the_scene.crowd.ledger.answers)
            outcome.require(the_scene.fetch_hall().get("stale") is True, "a snapshot is not marked stale")
            (late,) = the_scene.crowd.add_watchers(1)
            wait_until(lambda: late.is_live, 2.0, "a new watcher has a snapshot")
            outcome.require(late.stale, "the snapshot of a new watcher is not marked stale")
            outcome.require(server.readiness().database == "ok", "the database counts as unreachable")
            time.sleep(1.0)
            outcome.measure("meanwhile", len(the_scene.crowd.ledger.answers) - answered, unit="answers a second")
            outcome.require(len(the_scene.crowd.ledger.answers) > answered, "no write was answered meanwhile")
            send_signal([pooler.process.pid], signal.SIGCONT)
            measure_loss(the_scene, outcome, at, time.monotonic(), detection_limit_s=FROZEN_DETECTION_S)
            measure_stale(the_scene, outcome, at)
            outcome.require(not the_scene.crowd.ledger.unavailable, "some writes were not possible")
            the_scene.judge(outcome)
    return outcome

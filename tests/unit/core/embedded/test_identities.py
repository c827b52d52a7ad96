"""Who runs the embedded PostgreSQL, and who reaches it: an ordinary user, and root with user namespaces or without.

The rules of `test_server` hold here too.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seatsync.core.embedded import launch, programs
from seatsync.core.embedded.files import socket_directory
from seatsync.core.embedded.programs import PostgresError
from seatsync.core.embedded.server import EmbeddedPostgres
from tests.support.database import fetchval
from tests.support.embedded import another_process, cluster_of, on_linux, wait_until_gone
from tests.support.places import VOLATILE

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its identity")


def test_only_its_owner_can_reach_it(data_dir: Path) -> None:
    """No port is open, and other users can read neither the data nor the socket."""
    with EmbeddedPostgres(data_dir, VOLATILE) as postgres:
        assert "host=/" in postgres.dsn
        for private in (data_dir, data_dir / "postgres", data_dir / "run"):
            assert private.stat().st_mode & 0o077 == 0


@on_linux
@as_root
def test_as_an_ordinary_user(data_dir: Path) -> None:
    """Without root the programs run as the user that starts them.

    Here it is a user of a user namespace: not root for any program, but with root's access to the interpreter.
    """
    data_dir.mkdir(mode=0o700)
    prefix = [sys.executable, launch.__file__, str(os.getpid()), "namespace:65534:65534", str(data_dir)]
    with another_process(data_dir, *prefix) as (owner, line):
        assert int(line.split()[0]) > 0
        assert fetchval(line.split()[1], "select 1") == 1
        owner.kill()
        wait_until_gone(int(line.split()[0]))


@on_linux
@as_root
def test_as_root_in_a_directory_of_roots_alone(data_dir: Path) -> None:
    """Root needs no other account and changes no permission: a clone under /root works."""
    data_dir.parent.chmod(0o700)
    with EmbeddedPostgres(data_dir, VOLATILE) as postgres:
        assert fetchval(postgres.dsn, "select 1") == 1
    assert data_dir.parent.stat().st_mode & 0o777 == 0o700
    assert (data_dir / "postgres").stat().st_uid == 0


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A system that permits no user namespaces: the flag of the request is an invalid one."""
    source = Path(launch.__file__).read_text()
    script = tmp_path / "launch.py"
    script.write_text(source.replace("CLONE_NEWUSER = 0x10000000", "CLONE_NEWUSER = 0x7FFFFFFF"))
    assert script.read_text() != source
    monkeypatch.setattr(programs, "SCRIPT", script)


@as_root
@pytest.mark.usefixtures("no_namespaces")
def test_as_root_without_namespaces_an_account_runs_it(data_dir: Path) -> None:
    """Where namespaces are forbidden, an unprivileged account gets a database of its own."""
    program = programs.find_program("postgres")
    assert program is not None
    try:
        subprocess.run([program, "--version"], user="nobody", check=True, capture_output=True)
    except PermissionError:
        pytest.skip(f"nobody may not reach {program}")
    with EmbeddedPostgres(data_dir, VOLATILE) as postgres:
        assert fetchval(postgres.dsn, "select 1") == 1
        assert (data_dir / "postgres").stat().st_uid != 0
        assert (data_dir / "postgres").stat().st_mode & 0o077 == 0
    with EmbeddedPostgres(data_dir, VOLATILE) as postgres:
        assert fetchval(postgres.dsn, "select 1") == 1


@as_root
@pytest.mark.usefixtures("no_namespaces")
def test_as_root_without_namespaces_an_unreachable_directory_is_named(data_dir: Path) -> None:
    """The error names the directory that the account cannot reach and the setting that helps."""
    data_dir.parent.chmod(0o700)
    with pytest.raises(PostgresError, match=r"account \w+ cannot (reach|run) .*SEATSYNC_DATA"):
        EmbeddedPostgres(data_dir).start()
    assert data_dir.parent.stat().st_mode & 0o777 == 0o700


@as_root
@pytest.mark.usefixtures("no_namespaces")
def test_as_root_without_namespaces_roots_data_is_not_given_away(data_dir: Path) -> None:
    """A database that root made in a namespace is refused rather than handed to an account."""
    cluster = cluster_of(data_dir, "18")
    with pytest.raises(PostgresError, match=r"permits no user namespaces.*SEATSYNC_DATA"):
        EmbeddedPostgres(data_dir).start()
    assert cluster.stat().st_uid == 0


@pytest.mark.parametrize("name", ["x" * 120, "with space, 'quote' and é"])
def test_socket_of_a_long_or_odd_path_is_elsewhere(data_dir: Path, name: str) -> None:
    """Its directory is private, the same each time, and removed with the server."""
    deep = data_dir / name
    sockets = socket_directory(deep)
    assert sockets.parent == Path("/tmp")
    for _ in range(2):
        with EmbeddedPostgres(deep, VOLATILE) as postgres:
            assert str(sockets) in postgres.dsn
            assert fetchval(postgres.dsn, "select 1") == 1
            assert sockets.stat().st_mode & 0o077 == 0
        assert not sockets.exists()


def test_a_foreign_socket_directory_is_refused(data_dir: Path) -> None:
    """A directory or link of another user under /tmp gets no connections from us."""
    deep = data_dir / ("x" * 120)
    sockets = socket_directory(deep)
    sockets.symlink_to(data_dir.parent)
    try:
        with pytest.raises(PostgresError, match="not a directory of ours alone"):
            EmbeddedPostgres(deep, VOLATILE).start()
    finally:
        sockets.unlink()


@as_root
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Root changes the owner of the link, not of the file that it leads to."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.touch()
    link.symlink_to(target)
    programs.Identity("account:65534:65534", (65534, 65534)).own(link)
    assert (target.stat().st_uid, link.lstat().st_uid) == (0, 65534)

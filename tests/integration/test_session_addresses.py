"""The addresses that libpq understands: TLS, passwords, several hosts, services, variables, a pooler."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from seatsync import errors
from seatsync.core.embedded.cluster import DATABASE, USER
from seatsync.core.postgres.faults import DatabaseGone, DatabaseTooSlow
from seatsync.core.postgres.listener import Listener
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.session import Session
from seatsync.core.telemetry.metrics import Metrics
from tests.faults.drill import Skipped
from tests.faults.network import running_pgbouncer
from tests.faults.postgres import Postgres, running_postgres
from tests.support.places import scratch_directory
from tests.support.pool import ONE, query, unavailable, works
from tests.support.proxy import proxy_to

PASSWORD = "p%20a%C3%A4%2F%40"


@pytest.fixture(scope="module")
def postgres(new_cluster: Path) -> Iterator[Postgres]:
    """A server with a role that needs its password."""
    with scratch_directory() as directory, running_postgres(directory, new_cluster=new_cluster) as postgres:
        rules = postgres.directory / "cluster" / "pg_hba.conf"
        rules.write_text("local all ada scram-sha-256\n" + rules.read_text())
        postgres.sql("create role ada login password 'p aä/@'")
        postgres.sql("select pg_reload_conf()")
        postgres.open_to_all()
        yield postgres


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]


connect = partial(Session.connect, application_name="seatsync test")


async def test_password_over_tls(postgres: Postgres, tmp_path: Path) -> None:
    """SCRAM and a verified certificate; large results pass, and cancellation uses TLS, too."""
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with proxy_to(postgres.dsn, tls) as proxy:
        address = f"localhost:{proxy.port}/{DATABASE}?sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}"
        with closing(await connect(f"postgresql://ada:{PASSWORD}@{address}")) as session:
            assert await session.fetchval(query("select current_user")) == "ada"
            assert session.silent
            assert len(await session.fetchval(query("select repeat('x', 5000000)"))) == 5_000_000
            with trio.move_on_after(0.05):
                await session.execute(query("select pg_sleep(30)"))
            with trio.fail_after(5):
                await session.reset()
            assert await session.fetchval(ONE) == 1
        with pytest.raises(DatabaseGone, match="password authentication failed"):
            await Session.connect(f"postgresql://ada:wrong@{address}", application_name="seatsync test")
        elsewhere = address.replace("localhost", "127.0.0.1")
        with pytest.raises(DatabaseGone, match="does not match host name"):
            await Session.connect(f"postgresql://ada:{PASSWORD}@{elsewhere}", application_name="seatsync test")


async def test_second_host_is_reached(postgres: Postgres, silent_port: int) -> None:
    """Of two hosts, one that refuses and one that is silent are passed over; a query that cannot wait fails in time."""
    async with proxy_to(postgres.dsn) as proxy:
        for first in (1, silent_port):
            hosts = f"127.0.0.1:{first},127.0.0.1:{proxy.port}"
            dsn = f"postgresql://{USER}@{hosts}/{DATABASE}?target_session_attrs=read-write"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connects, dsn)
                if first == silent_port:
                    nursery.start_soon(is_reached_by_a_pool, dsn)


async def connects(dsn: str) -> None:
    """A session on that address."""
    with closing(await connect(dsn)) as session:
        assert await session.fetchval(ONE) == 1


async def is_reached_by_a_pool(dsn: str) -> None:
    """A query that has no time for the first host is told so; the next finds the second one."""
    async with Database.open(dsn, size=2) as db:
        assert await unavailable(db.fetchval(ONE, timeout=0.5)) < 1
        assert await db.fetchval(ONE, timeout=5) == 1
        await works(db)


async def test_unsuitable_host_is_passed_over(postgres: Postgres) -> None:
    """No host is suitable: the message says what was wanted."""
    with pytest.raises(DatabaseGone, match="read-only"):
        await Session.connect(f"{postgres.dsn}&target_session_attrs=read-only", application_name="seatsync test")


async def test_silent_server_is_given_up(silent_port: int) -> None:
    """The address's own connect_timeout bounds a connect."""
    before = trio.current_time()
    with pytest.raises(DatabaseTooSlow, match="timeout"):
        await Session.connect(f"postgresql://127.0.0.1:{silent_port}/x?connect_timeout=2", application_name="x")
    assert trio.current_time() - before < 4


async def test_service_and_variables(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service names the server, and libpq's variables fill in what the address leaves out."""
    service = tmp_path / "services"
    service.write_text(f"[seats]\nhost={postgres.directory}\ndbname={DATABASE}\nuser={USER}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    with closing(await connect("postgresql:///?service=seats")) as session:
        assert await session.fetchval(ONE) == 1
    for name, value in {"PGHOST": str(postgres.directory), "PGDATABASE": DATABASE, "PGUSER": "ada"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGPASSWORD", "p aä/@")
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=5MB")
    with closing(await connect("postgresql://")) as session:
        row = await session.fetchrow(query("select current_user::text as who, current_setting('work_mem') as mem"))
        assert row == {"who": "ada", "mem": "5MB"}


async def test_pooler_of_sessions(postgres: Postgres) -> None:
    """Behind pgbouncer in session mode: statements, notifications and cancellation work."""
    try:
        with scratch_directory() as directory, running_pgbouncer(directory, postgres, "session") as pooler:
            async with Database.open(pooler.dsn, size=2) as db:
                for number in range(3):
                    assert await db.fetchval(query("select $1::int"), number) == number
                with pytest.raises(errors.ServiceUnavailable):
                    await db.fetchval(query("select pg_sleep(30)"), timeout=0.1)
                await works(db)
            with closing(await connect(pooler.dsn)) as session:
                received: list[str] = []
                await session.script("listen odds; notify odds, 'one'")
                with trio.move_on_after(0.05):
                    await session.notifications(received.append)
                assert received == ["one"]
    except Skipped as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("sqlstate", ["57014", "XX000", "25006"])
async def test_server_that_refuses_the_first_statement(sqlstate: str) -> None:
    """A pooler accepts a login and refuses what follows: neither a pool nor a feed ends by it."""

    async def refuse(stream: trio.SocketStream) -> None:
        async with stream:
            while len(await stream.receive_some(1000)) == 8:  # requests for encryption, then the start-up
                await stream.send_all(b"N")
            await stream.send_all(message(b"R", bytes(4)) + message(b"Z", b"I"))
            while await stream.receive_some(1000):
                await stream.send_all(message(b"E", f"SERROR\0C{sqlstate}\0Mno\0\0".encode()) + message(b"Z", b"I"))

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + (len(body) + 4).to_bytes(4) + body

    async with trio.open_nursery() as nursery:
        (listening,) = await nursery.start(partial(trio.serve_tcp, refuse, 0, host="127.0.0.1"))
        dsn = f"postgresql://x@127.0.0.1:{listening.socket.getsockname()[1]}/x"
        async with Database.open(dsn, size=1) as db:
            for _ in range(3):
                await unavailable(db.fetchval(ONE))
        with trio.move_on_after(0.3):
            await Listener(dsn, {}, [], Metrics()).run()
        nursery.cancel_scope.cancel()

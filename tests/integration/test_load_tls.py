"""The load generator through TLS, and to a server below a path, as behind a proxy."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from tests.support.halls import make_hall
from tests.support.load import load_here
from tests.support.server import RunningServer

PATH = b" /seats/"


@asynccontextmanager
async def front(server: RunningServer, authority: trustme.CA) -> AsyncIterator[int]:
    """The port of a proxy that serves HTTPS on localhost and passes on what is below the path."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)

    async def relay(source: trio.abc.Stream, target: trio.abc.Stream, path: bytes = b"") -> None:
        try:
            data = bytes(await source.receive_some())
            if data and path:
                assert path in data
                data = data.replace(path, b" /", 1)
            while data:
                await target.send_all(data)
                data = bytes(await source.receive_some())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(target)

    async def serve(client: trio.SSLStream[trio.SocketStream]) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", server.ws_port) as behind, trio.open_nursery() as nursery:
            nursery.start_soon(relay, client, behind, PATH)
            nursery.start_soon(relay, behind, client)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_ssl_over_tcp_listeners(0, tls, host="127.0.0.1", https_compatible=True)
        nursery.start_soon(partial(trio.serve_listeners, serve, [listener]))
        assert isinstance(listener.transport_listener, trio.SocketListener)
        yield listener.transport_listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that OpenSSL trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return authority


async def test_a_server_behind_tls_and_below_a_path(server: RunningServer, authority: trustme.CA) -> None:
    """The list of halls, snapshots of many TLS records, and changes in both directions, none of them lost."""
    hall = await make_hall(server, rows=40, places=20)
    async with front(server, authority) as port:
        few = ("-n", 4, "-d", 0.5, "--rate", 40, "--bulk", 10, "--sign-in", "--json", "-")
        loaded = await load_here("watch", *few, "--url", f"wss://localhost:{port}/seats/ws", server=server)
    assert (loaded.status, loaded.errors) == (0, "")
    result = loaded.json()
    assert (result["faults"]["total"], result["halls"]) == (0, [hall.id])
    assert result["counts"]["answered"] >= 20
    assert result["counts"]["snapshots"] == 4


async def test_a_certificate_of_somebody_else_is_refused(server: RunningServer, authority: trustme.CA) -> None:
    """Before the test begins, with the reason."""
    async with front(server, trustme.CA()) as port:
        loaded = await load_here("idle", "--url", f"wss://localhost:{port}/ws", server=server)
    assert (loaded.status, loaded.text) == (1, "")
    assert loaded.errors == f"Cannot connect to 127.0.0.1, port {port}: unable to get local issuer certificate."

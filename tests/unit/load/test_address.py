"""Addresses of servers, and the refusal of anything else."""

import socket

import pytest

from seatsync.client import NoConnection
from seatsync.load import LoadError
from seatsync.load.address import Address


def test_an_address_is_resolved_once() -> None:
    """The host as it was written goes into the Host field; no path is the server's own."""
    address = Address.parse("ws://localhost:3001")
    assert (address.host, address.path, address.sockaddr) == ("localhost:3001", "/ws", ("127.0.0.1", 3001))


def test_a_server_may_be_behind_tls_and_below_a_path() -> None:
    """The port is then that of HTTPS, and a certificate has to have the name; a bare path is the server's own."""
    address = Address.parse("wss://localhost/seats/ws")
    assert (address.name, address.path, address.sockaddr) == ("localhost", "/seats/ws", ("127.0.0.1", 443))
    assert address.tls is not None
    assert address.tls.check_hostname
    assert Address.parse("ws://localhost/").path == "/ws"


def test_every_form_of_an_address_will_do() -> None:
    """As for the other commands, without a scheme and with that of HTTP, too."""
    assert (
        Address.parse("localhost:3001")
        == Address.parse("http://localhost:3001/")
        == Address.parse("ws://localhost:3001")
    )


@pytest.mark.parametrize("url", ["ws://", "ws://localhost:x", "ftp://localhost", "ws://no.such.host.invalid"])
def test_anything_else_is_refused(url: str) -> None:
    """Anything but an address is refused before the test starts."""
    with pytest.raises((LoadError, NoConnection)):
        Address.parse(url)


@pytest.mark.parametrize(("connections", "sources"), [(1, 1), (20_000, 1), (20_001, 2), (100_000, 5)])
def test_many_connections_need_several_sources(connections: int, sources: int) -> None:
    """One address has some 28,000 ports, not all of them free."""
    address, used = Address.parse("localhost", connections), set[str]()
    for _ in range(6):
        with socket.socket() as sock:
            address.bind(sock)
            used.add(sock.getsockname()[0])
    assert len(used) == sources


def test_another_machine_is_left_to_the_kernel() -> None:
    """It does not know 127.0.0.2."""
    with socket.socket() as sock:
        Address.parse("192.0.2.1", 100_000).bind(sock)
        assert sock.getsockname() == ("0.0.0.0", 0)

"""Listening sockets: which there are, and what is said where there can be none."""

import socket
from contextlib import ExitStack

import pytest

from seatsync.core.net import accept as module
from seatsync.core.net.accept import BindError, bind


def bound(stack: ExitStack, hosts: tuple[str, ...], port: int = 0) -> list[socket.socket]:
    """Sockets that are closed with the stack."""
    return [stack.enter_context(one) for one in bind(hosts, port)]


def test_both_loopback_addresses_share_a_port() -> None:
    """A browser's ``localhost`` may be either."""
    with ExitStack() as stack:
        four, six = bound(stack, ("127.0.0.1", "::1"))
        port = four.getsockname()[1]
        assert six.getsockname()[1] == port
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as client:
                client.connect((host, port))


def test_addresses_that_this_machine_has_not_are_left_out() -> None:
    """A machine without IPv6, say; only when none is left is that an error."""
    with ExitStack() as stack:
        (one,) = bound(stack, ("192.0.2.77", "127.0.0.1"))
        assert one.getsockname()[0] == "127.0.0.1"
    with pytest.raises(BindError, match=r"192\.0\.2\.77.*HOST"):
        bind(("192.0.2.77",), 0)


def test_port_that_is_taken_is_named() -> None:
    """With what to do about it; nothing stays open."""
    with ExitStack() as stack:
        (six,) = bound(stack, ("::1",))
        port = six.getsockname()[1]
        with pytest.raises(BindError, match=f"Port {port} on ::1 is taken.*WS_PORT"):
            bind(("127.0.0.1", "::1"), port)
        bound(stack, ("127.0.0.1",), port)


def test_free_port_is_free_on_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is free on the first address and taken on the second is not it."""
    bind_one, failures = module._bind_one, [OSError(98, "Address already in use")]

    def unlucky(host: str, port: int) -> socket.socket:
        if host == "::1" and failures:
            raise failures.pop()
        return bind_one(host, port)

    monkeypatch.setattr(module, "_bind_one", unlucky)
    with ExitStack() as stack:
        assert len(bound(stack, ("127.0.0.1", "::1"))) == 2


def test_listening_does_not_block() -> None:
    """Nor do the sockets wait to send what is small."""
    with ExitStack() as stack:
        (one,) = bound(stack, ("127.0.0.1",))
        assert not one.getblocking()
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with pytest.raises(BlockingIOError):
            one.accept()

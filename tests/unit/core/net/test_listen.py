"""Listening sockets: their addresses, errors, and the descriptors for connections."""

import resource
import socket
from contextlib import ExitStack

import pytest
import structlog

from seatsync.core.net import listen as module
from seatsync.core.net.listen import BindError, bind, make_room

MEBIBYTE = 1024 * 1024


def bound(stack: ExitStack, hosts: tuple[str, ...], port: int = 0) -> list[socket.socket]:
    """Sockets that are closed with the stack."""
    return [stack.enter_context(one) for one in bind(hosts, port)]


def test_both_loopback_addresses_share_a_port() -> None:
    """Both loopback addresses are bound, since ``localhost`` may be either."""
    with ExitStack() as stack:
        four, six = bound(stack, ("127.0.0.1", "::1"))
        port = four.getsockname()[1]
        assert six.getsockname()[1] == port
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as client:
                client.connect((host, port))


@pytest.mark.parametrize(
    ("hosts", "own"),
    [
        (("0.0.0.0", "::"), ["0.0.0.0", "::"]),
        (("::", "0.0.0.0"), ["::", "0.0.0.0"]),
        (("127.0.0.1", "::"), ["127.0.0.1", "::"]),
        (("::1", "0.0.0.0", "127.0.0.1"), ["::1", "0.0.0.0"]),
        (("::", "::1"), ["::"]),
    ],
)
def test_wildcards_do_not_take_their_own_port(hosts: tuple[str, ...], own: list[str]) -> None:
    """``::`` leaves IPv4 to an address of IPv4 beside it, and an address that a wildcard covers has no other socket."""
    with ExitStack() as stack:
        assert [one.getsockname()[0] for one in bound(stack, hosts)] == own


def test_the_wildcard_of_ipv6_alone_takes_ipv4() -> None:
    """As it does by itself on Linux, whatever the machine's default."""
    with ExitStack() as stack:
        (one,) = bound(stack, ("::",))
        with socket.socket() as client:
            client.connect(("127.0.0.1", one.getsockname()[1]))


def test_addresses_that_this_machine_has_not_are_left_out() -> None:
    """Missing addresses, as on a machine without IPv6, are skipped unless none is left."""
    with ExitStack() as stack:
        (one,) = bound(stack, ("192.0.2.77", "127.0.0.1"))
        assert one.getsockname()[0] == "127.0.0.1"
    with pytest.raises(BindError, match=r"192\.0\.2\.77.*HOST"):
        bind(("192.0.2.77",), 0)


def test_port_that_is_taken_is_named() -> None:
    """A port in use is an error that names it and the remedy; no socket stays open."""
    with ExitStack() as stack:
        (six,) = bound(stack, ("::1",))
        port = six.getsockname()[1]
        with pytest.raises(BindError, match=f"Port {port} on ::1 is taken.*WS_PORT"):
            bind(("127.0.0.1", "::1"), port)
        bound(stack, ("127.0.0.1",), port)


def test_free_port_is_free_on_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A free port is free on every address, not only on the first."""
    bind_one, failures = module._bind_one, [OSError(98, "Address already in use")]

    def unlucky(host: str, port: int, *, dual_stack: bool) -> socket.socket:
        if host == "::1" and failures:
            raise failures.pop()
        return bind_one(host, port, dual_stack=dual_stack)

    monkeypatch.setattr(module, "_bind_one", unlucky)
    with ExitStack() as stack:
        assert len(bound(stack, ("127.0.0.1", "::1"))) == 2


def test_listening_does_not_block() -> None:
    """Listening sockets are non-blocking, and their connections have TCP_NODELAY."""
    with ExitStack() as stack:
        (one,) = bound(stack, ("127.0.0.1",))
        assert not one.getblocking()
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with pytest.raises(BlockingIOError):
            one.accept()


def test_the_kernel_keeps_little_for_a_peer_that_does_not_read() -> None:
    """The kernel's send buffer is small, so that backpressure and coalescing begin early."""
    (listening,) = bind(["127.0.0.1"], 0)
    with listening, socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
        accepted.setblocking(False)
        taken = 0
        try:
            while taken < 2 * MEBIBYTE:
                taken += accepted.send(bytes(1000))
        except BlockingIOError:
            pass
    assert taken < MEBIBYTE


@pytest.mark.parametrize(
    ("limits", "room", "allowed"),
    [
        ((20_000, 20_000), 1000, None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 1000, None),
        ((1024, 20_000), 1000, 1384),
        ((1024, resource.RLIM_INFINITY), 1000, 1384),
        ((1024, 1024), 640, 1024),
        ((256, 1024), 640, 1024),
        ((64, 64), 1, 64),
    ],
)
def test_room_is_what_descriptors_allow(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], room: int, allowed: int | None
) -> None:
    """The process raises its limit of descriptors; if that is not enough, it accepts fewer connections."""
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: made.append(wanted))
    with structlog.testing.capture_logs() as logs:
        assert make_room(1000) == room
    assert made == ([] if allowed is None else [(allowed, limits[1])])
    assert [line["event"] for line in logs] == ([] if room == 1000 else ["descriptors"])

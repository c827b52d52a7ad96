"""Addresses: every form that works means the same, and any other is an error in words."""

import pytest

from seatsync.client import NoConnection
from seatsync.client.address import parse


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://localhost:3000", "ws://localhost:3000/ws"),
        ("https://seats.example.org", "wss://seats.example.org/ws"),
        ("ws://localhost:3001/ws", "ws://localhost:3001/ws"),
        ("WSS://Seats.Example.org:443/ws/", "wss://seats.example.org/ws"),
        ("localhost:3000", "ws://localhost:3000/ws"),
        (" localhost ", "ws://localhost/ws"),
        ("[::1]:3000", "ws://[::1]:3000/ws"),
        ("https://example.org/seats/", "wss://example.org/seats/ws"),
        ("example.org:8443/seats/ws?a=b c#d", "ws://example.org:8443/seats/ws?a=b%20c"),
        ("http://example.org/größe", "ws://example.org/gr%C3%B6%C3%9Fe/ws"),
        ("http://kino-größe.example", "ws://xn--kino-grsse-kcb.example/ws"),
    ],
)
def test_an_address_that_works(url: str, meant: str) -> None:
    """The path is where the server is; ``/ws`` is added once."""
    assert str(parse(url)) == meant


@pytest.mark.parametrize("url", ["", "http://", ":3000", "ftp://localhost", "localhost:70000", "a b", "a..b", "[::1"])
def test_an_address_that_does_not(url: str) -> None:
    """It is named."""
    with pytest.raises(NoConnection, match="is not the address of a server") as raised:
        parse(url)
    assert repr(url) in str(raised.value)

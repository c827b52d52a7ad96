"""Where requests come from: what is local, what came over TLS, and the warning of a proxy that is not trusted."""

from collections.abc import Mapping
from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs

from seatsync.core.http.request import Request
from seatsync.core.http.source import FORWARDING, MAX_USER_AGENT, Source, Sources

PROXIES = (ip_network("172.16.0.0/12"),)
CLAIM, OVER_TLS = {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-Proto": "https"}


def source(
    peer: str, fields: Mapping[str, str] | None = None, *, version: bytes = b"1.1", always_tls: bool = False
) -> Source:
    """The source of a request with these header fields."""
    headers = {name.lower().encode(): value.encode() for name, value in (fields or {}).items()}
    return Sources(PROXIES, always_tls=always_tls).of(Request("GET", "/", "localhost", version, headers), peer)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1"])
def test_a_program_on_this_machine_is_local(peer: str) -> None:
    """Its peer is a loopback address, and nothing was forwarded."""
    assert source(peer) == Source(peer, is_local=True)


@pytest.mark.parametrize("field", sorted(FORWARDING))
def test_what_was_forwarded_is_not_local(field: bytes) -> None:
    """Any one field will do, whatever it holds: a proxy on this machine makes no client local."""
    for value in ("", "127.0.0.1", "198.51.100.1"):
        assert not source("127.0.0.1", {field.decode(): value}).is_local


def test_http_1_0_is_not_local() -> None:
    """Proxies speak it, and nginx adds no field unless told to."""
    assert not source("127.0.0.1", version=b"1.0").is_local


@pytest.mark.parametrize("peer", ["172.17.0.2", "10.0.0.1", "localhost"])
def test_no_header_makes_a_request_local(peer: str) -> None:
    """A peer among the trusted proxies that claims a loopback address is not on this machine."""
    for fields in ({}, CLAIM, {"Forwarded": "for=127.0.0.1"}, {"X-Real-IP": "::1"}):
        assert not source(peer, fields).is_local
    assert source("172.17.0.2", CLAIM).address == "127.0.0.1"


def test_a_trusted_proxy_says_what_came_over_tls() -> None:
    """Others do not, unless the settings say that everything does."""
    assert source("172.17.0.2", OVER_TLS).is_tls
    assert not source("172.17.0.2", {"X-Forwarded-Proto": "http"}).is_tls
    assert not source("172.17.0.2").is_tls
    assert not source("127.0.0.1", OVER_TLS).is_tls
    assert source("127.0.0.1", always_tls=True).is_tls


def test_the_user_agent_is_cut() -> None:
    """It is whatever the client sends, so only so much of it is kept; none and an empty one are the same."""
    assert source("192.0.2.1", {"User-Agent": "till/2"}).user_agent == "till/2"
    assert source("192.0.2.1", {"User-Agent": "x" * 5000}).user_agent == "x" * MAX_USER_AGENT
    assert source("192.0.2.1").user_agent is source("192.0.2.1", {"User-Agent": ""}).user_agent is None


def test_a_proxy_that_is_not_trusted_is_warned_of_once() -> None:
    """The line names the setting; proxies on other machines, which anybody can be, are no reason for a line."""
    sources = Sources(PROXIES, always_tls=False)
    forwarded = Request("GET", "/", "localhost", b"1.1", {b"via": b"1.1 proxy"})
    with capture_logs() as logs:
        sources.of(Request("GET", "/", "localhost", b"1.1", {}), "127.0.0.1")
        sources.of(forwarded, "198.51.100.1")
        sources.of(forwarded, "172.17.0.2")
        assert not logs
        for _ in range(3):
            sources.of(forwarded, "127.0.0.1")
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("proxy_not_trusted", "warning")
    assert "TRUSTED_PROXIES=127.0.0.1" in line["message"]

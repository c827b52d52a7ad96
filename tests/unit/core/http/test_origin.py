"""Host and Origin checks, and CORS."""

import pytest

from seatsync import errors
from seatsync.core.http.origin import OriginPolicy, preflight
from seatsync.core.http.request import Request

LOOPBACK = OriginPolicy((), loopback_only=True)
PUBLIC = OriginPolicy(("https://app.example",), loopback_only=False)


def request(origin: str | None = None, host: str = "localhost") -> Request:
    """A request from a page of that origin."""
    headers = {} if origin is None else {b"origin": origin.encode("latin-1")}
    return Request("POST", "/", host, b"1.1", headers)


@pytest.mark.parametrize("host", ["localhost", "seats.localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_loopback_hosts_are_served(host: str) -> None:
    """Bound to loopback, every name of loopback is served."""
    LOOPBACK.check_host(request(host=host))


@pytest.mark.parametrize("host", ["", "evil.example", "localhost.evil.example", "evillocalhost", "10.0.0.1", "[::2]"])
def test_other_hosts_are_not(host: str) -> None:
    """Bound to loopback, other names are refused (DNS rebinding); elsewhere any name is accepted."""
    with pytest.raises(errors.Forbidden):
        LOOPBACK.check_host(request(host=host))
    PUBLIC.check_host(request(host=host))


def test_only_the_named_hosts_are_served() -> None:
    """Beyond loopback, where some are named; this machine's names have to be named, too."""
    named = OriginPolicy((), loopback_only=False, hosts=("seats.example", "[2001:db8::7]"))
    for host in ("seats.example", "[2001:db8::7]"):
        named.check_host(request(host=host))
    for host in ("", "localhost", "evil.example", "sub.seats.example", "[2001:db8::8]"):
        with pytest.raises(errors.Forbidden, match="Only the host names in ALLOWED_HOSTS are served here"):
            named.check_host(request(host=host))


WILD = OriginPolicy(("https://*.app.example", "capacitor://localhost", "https://*.x.example:444"), loopback_only=False)


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://a.app.example", True),
        ("https://a.b.app.example", True),
        ("https://b.x.example:444", True),
        ("capacitor://localhost", True),
        ("https://app.example", False),
        ("https://.app.example", False),
        ("https://aapp.example", False),
        ("https://a.appxexample", False),
        ("https://a.app.example:444", False),
        ("https://b.x.example", False),
        ("http://a.app.example", False),
        ("https://a.app.example.evil.example", False),
        ("https://evil.example/.app.example", False),
        ("https://evil.example#.app.example", False),
        ("capacitor://localhost:80", False),
        ("ionic://localhost", False),
    ],
)
def test_wildcards_and_other_schemes(origin: str, is_allowed: bool) -> None:
    """A wildcard stands for one or more labels; scheme and port stay exact."""
    assert (len(WILD.cors(request(origin, "api.example"))) > 1) is is_allowed


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        ("evil.example", "not 'evil.example'."),
        ("", "and the request names none."),
        ("x" * 16_000, f"not '{'x' * 280}'."),
    ],
)
def test_the_refused_host_is_named(host: str, seen: str) -> None:
    """The message names the host, as far as a host name can go, or says that there was none."""
    with pytest.raises(errors.Forbidden) as caught:
        LOOPBACK.check_host(request(host=host))
    assert caught.value.message == f"Only loopback host names are served here, {seen}"


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        ("null", "'null'"),
        ("", "''"),
        ("https://evil.example", "'https://evil.example'"),
        ("x' error=None\x1b[2J\r\n\x85\u00e4", '"x\' error=None\\x1b[2J\\r\\n\\x85\\xe4"'),
        ("x" * 16_000, f"'{'x' * 280}'"),
    ],
)
def test_the_refused_origin_is_named(origin: str, shown: str) -> None:
    """With the host that it was compared to, quoted, escaped and bounded: a header's text is not to pass for ours."""
    with pytest.raises(errors.Forbidden) as caught:
        PUBLIC.check_origin(request(origin, "api.example"))
    assert caught.value.message == (
        f"Pages of the origin {shown} may not use this server under the host name 'api.example'; see ALLOWED_ORIGINS."
    )


@pytest.mark.parametrize(
    ("policy", "origin", "host"),
    [
        (LOOPBACK, None, "localhost"),
        (LOOPBACK, "http://localhost:5173", "127.0.0.1"),
        (LOOPBACK, "https://app.localhost", "localhost"),
        (LOOPBACK, "http://127.0.0.1:80", "localhost"),
        (LOOPBACK, "http://[::1]:8080", "localhost"),
        (PUBLIC, "https://app.example", "api.example"),
        (PUBLIC, "https://api.example", "api.example"),
        (PUBLIC, "http://api.example:8080", "api.example"),
        (OriginPolicy(("https://app.example",), loopback_only=True), "http://localhost:5173", "localhost"),
    ],
)
def test_allowed_origins(policy: OriginPolicy, origin: str | None, host: str) -> None:
    """No origin (a program), a configured one, the own host, and by default on loopback any loopback one."""
    policy.check_origin(request(origin, host))


@pytest.mark.parametrize(
    ("policy", "origin", "host"),
    [
        (LOOPBACK, "null", "localhost"),
        (LOOPBACK, "", "localhost"),
        (LOOPBACK, "https://evil.example", "localhost"),
        (LOOPBACK, "http://localhost.evil.example", "localhost"),
        (LOOPBACK, "http://localhost:5173, http://localhost:5173", "localhost"),
        (LOOPBACK, "http://localhost/", "localhost"),
        (LOOPBACK, "http://evil.example@localhost", "localhost"),
        (LOOPBACK, "http://localhost\u00e4", "localhost"),
        (PUBLIC, "http://app.example", "api.example"),
        (PUBLIC, "https://app.example:444", "api.example"),
        (PUBLIC, "https://evil.app.example", "api.example"),
        (PUBLIC, "http://localhost:5173", "api.example"),
        (PUBLIC, "http://", ""),
        (OriginPolicy(("https://app.example",), loopback_only=True), "http://127.0.0.1", "localhost"),
    ],
)
def test_refused_origins(policy: OriginPolicy, origin: str, host: str) -> None:
    """Exact means exact; ``null`` is never allowed; a list of origins replaces the default of loopback."""
    with pytest.raises(errors.Forbidden):
        policy.check_origin(request(origin, host))
    assert policy.cors(request(origin, host)) == [(b"Vary", b"Origin")]


def test_allowed_page_may_read_the_answer() -> None:
    """The origin is echoed exactly, with credentials, and ``Vary`` for caches."""
    assert PUBLIC.cors(request("https://app.example", "api.example")) == [
        (b"Vary", b"Origin"),
        (b"Access-Control-Allow-Origin", b"https://app.example"),
        (b"Access-Control-Allow-Credentials", b"true"),
        (b"Access-Control-Expose-Headers", b"Retry-After"),
    ]


def test_program_needs_no_cors() -> None:
    """Without an Origin there is ``Vary`` alone, for caches."""
    assert PUBLIC.cors(request()) == [(b"Vary", b"Origin")]


def test_preflight() -> None:
    """The methods and fields a page may send, and how long the browser may cache that."""
    assert dict(preflight(b"POST, OPTIONS")) == {
        b"Allow": b"POST, OPTIONS",
        b"Access-Control-Allow-Methods": b"POST, OPTIONS",
        b"Access-Control-Allow-Headers": b"content-type, authorization",
        b"Access-Control-Max-Age": b"600",
    }

"""The parsed head of a request."""

import h11
import pytest

from seatsync.core.http.request import Request, read_request
from seatsync.errors import MalformedRequest


def read(target: str = "/", *fields: tuple[str, str], host: str = "localhost:3000") -> Request:
    """The request that these parts make."""
    return read_request(h11.Request(method="GET", target=target, headers=[("Host", host), *fields]))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/api//user/login", "/api/user/login"),
        ("//ws", "/ws"),
        ("/ws?token=1&a=//b", "/ws"),
        ("/?a", "/"),
        ("/api/user%2Flogin", "/api/user%2Flogin"),
        ("http://localhost/ws?x", "/ws"),
        ("HTTP://localhost", "/"),
        ("http://localhost?x", "/"),
        ("*", "*"),
        ("localhost:443", "localhost:443"),
    ],
)
def test_path(target: str, path: str) -> None:
    """Repeated slashes count as one, a query is no part of the path, and nothing is decoded."""
    assert read(target).path == path


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Example.ORG:3000", "example.org"),
        ("example.org.", "example.org"),
        ("localhost.:3000", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:3001", "[::1]"),
        ("under_score", "under_score"),
        ("", ""),
    ],
)
def test_host(host: str, name: str) -> None:
    """The host is a name in lower case, without the port."""
    assert read(host=host).host == name


def test_absolute_target_goes_before_host() -> None:
    """RFC 9112, 3.2.2: so no proxy and this server can see two different hosts."""
    assert read("http://evil.example/ws", host="localhost").host == "evil.example"


@pytest.mark.parametrize("host", ["a b", "a/b", "user@host", "[::1", "a:b"])
def test_bad_host(host: str) -> None:
    """RFC 9112, 3.2: a malformed Host is a bad request."""
    with pytest.raises(MalformedRequest):
        read(host=host)


def test_repeated_fields_are_joined() -> None:
    """Lists by a comma, cookies by a semicolon (RFC 9113, 8.2.3)."""
    request = read("/", ("Connection", "keep-alive"), ("Cookie", "a=1"), ("connection", "Upgrade"), ("Cookie", "b=2"))
    assert request.header(b"connection") == "keep-alive, Upgrade"
    assert request.cookies() == {"a": "1", "b": "2"}


@pytest.mark.parametrize("value", ["upgrade", "Upgrade", "keep-alive, Upgrade", "a,UPGRADE ,b"])
def test_token_is_found(value: str) -> None:
    """Tokens of a list have no case, and blanks around them mean nothing."""
    assert read("/", ("Connection", value)).has_token(b"connection", b"upgrade")


@pytest.mark.parametrize("value", ["", "upgraded", "up grade", "keep-alive"])
def test_token_is_not_found(value: str) -> None:
    """A token matches as a whole only."""
    assert not read("/", ("Connection", value)).has_token(b"connection", b"upgrade")
    assert not read("/").has_token(b"connection", b"upgrade")


@pytest.mark.parametrize(
    ("field", "cookies"),
    [
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2;", {"a": "1", "b": "2"}),
        ("a=1; a=2", {"a": "1"}),
        ("a=x=y==; =z; alone; b=", {"a": "x=y==", "": "z", "b": ""}),
        ('a="1, 2"', {"a": '"1, 2"'}),
        ("gr\u00fc\u00dfe=1; a=1", {"gr\u00fc\u00dfe": "1", "a": "1"}),
    ],
)
def test_cookies(field: str, cookies: dict[str, str]) -> None:
    """Malformed cookies of other programs on the same host do not hide ours."""
    request = read()
    request.headers[b"cookie"] = field.encode("latin-1")
    assert request.cookies() == cookies


def test_no_cookies() -> None:
    """A request without cookies has none."""
    assert read().cookies() == {}

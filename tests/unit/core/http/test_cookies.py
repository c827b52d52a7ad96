"""The session and the visitor cookie: made, read back, and refused."""

from typing import Any

import pytest

from seatsync.core.http.cookies import SESSION_LIFETIME_S, Cookies
from seatsync.core.protocol.call import new_id

SECRET = "0123456789abcdef0123456789abcdef"


def make(secret: str = SECRET, *, secure: bool = False) -> Cookies:
    """The cookies of a server with that secret."""
    return Cookies(secret, secure=secure)


@pytest.fixture
def jar() -> Cookies:
    """Cookies on plain HTTP."""
    return make()


def cookies(set_cookie: str) -> dict[str, str]:
    """The cookie that a `Set-Cookie` value leaves in a browser."""
    name, _, value = set_cookie.partition(";")[0].partition("=")
    return {name: value}


def test_a_visitor_cookie_is_read_back(jar: Cookies) -> None:
    """A visitor cookie reads back as the two ids that were set."""
    visitor, enrolment = new_id(), new_id()
    assert jar.visitor(cookies(jar.visitor_cookie(visitor, enrolment))) == (visitor, enrolment)


def test_a_key_is_changed_without_forgetting_a_visitor(jar: Cookies) -> None:
    """The first of several keys signs, and all verify."""
    ids = new_id(), new_id()
    new = make(SECRET[::-1])
    both = Cookies(SECRET[::-1], SECRET, secure=False)
    assert both.visitor(cookies(jar.visitor_cookie(*ids))) == ids
    assert new.visitor(cookies(both.visitor_cookie(*ids))) == ids
    assert new.visitor(cookies(jar.visitor_cookie(*ids))) is None


def test_an_id_is_128_random_bits() -> None:
    """32 hexadecimal digits, never the same twice."""
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(bytes.fromhex(visitor)) == 16 for visitor in ids)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda value: "0" * 32 + value[32:],
        lambda value: value[:33] + "0" * 32 + value[65:],
        lambda value: value[:33] + value[:32] + value[65:],
        lambda value: value[33:65] + "." + value[:32] + value[65:],
        lambda value: value[:-1] + ("0" if value[-1] != "0" else "1"),
        lambda value: value[:66],
        lambda value: value[:65],
        lambda value: value[:32],
        lambda value: value[:32].upper() + value[32:],
        lambda value: value + "0",
        lambda value: value + "\n",
        lambda value: "é" + value[1:],
        lambda value: value[:-1] + "\udc80",
        lambda _: "",
    ],
)
def test_a_tampered_visitor_cookie_is_none(jar: Cookies, tamper: Any) -> None:
    """Ids or a signature that are not exactly ours make a new visitor: neither id goes with another's."""
    cookie = cookies(jar.visitor_cookie("abcdef01" * 4, "12345678" * 4))
    assert jar.visitor({name: tamper(value) for name, value in cookie.items()}) is None


def test_a_visitor_cookie_of_another_secret_is_none(jar: Cookies) -> None:
    """Only nodes that share the secret share visitors."""
    other = make(SECRET[::-1])
    assert jar.visitor(cookies(other.visitor_cookie(new_id(), new_id()))) is None


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(jar: Cookies) -> None:
    """Both cookies are `HttpOnly`, `SameSite=Strict` and for every path."""
    for cookie in (jar.session_cookie("t"), jar.clear_session_cookie(), jar.visitor_cookie("0" * 32, "1" * 32)):
        assert {"Path=/", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        assert "Secure" not in cookie


def test_the_session_cookie_lives_five_days(jar: Cookies) -> None:
    """The session cookie lives five days, as long as a session."""
    assert jar.session_cookie("t").startswith("seatsync=t; Max-Age=432000; ")
    assert SESSION_LIFETIME_S == 432_000


def test_clearing_ends_the_cookie_at_once(jar: Cookies) -> None:
    """A cleared cookie is empty and expires at once."""
    assert jar.clear_session_cookie().startswith("seatsync=; Max-Age=0; ")


def test_secure_cookies_have_the_host_prefix() -> None:
    """With `COOKIE_SECURE` both cookies are `Secure` and named ``__Host-``."""
    jar = make(secure=True)
    for cookie in (jar.session_cookie("t"), jar.clear_session_cookie(), jar.visitor_cookie("0" * 32, "1" * 32)):
        assert cookie.startswith("__Host-seatsync")
        assert "Secure" in cookie.split("; ")


def test_secure_reads_no_other_name() -> None:
    """With `COOKIE_SECURE` a cookie without the prefix, which a sibling domain could plant, is ignored."""
    plain, secure = make(), make(secure=True)
    planted = cookies(plain.visitor_cookie(new_id(), new_id())) | {"seatsync": "t"}
    assert secure.visitor(planted) is None
    assert secure.session_token(planted) is None
    assert secure.session_token({"__Host-seatsync": "t"}) == "t"

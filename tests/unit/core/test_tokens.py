"""Session tokens and visitor cookies: what is accepted, and everything else that is not."""

import base64
import json
from typing import Any
from uuid import UUID

import jwt
import pytest

from seatsync.core.tokens import SESSION_LIFETIME_S, Claims, Tokens

SECRET = "0123456789abcdef0123456789abcdef"
SESSION = UUID("12345678-1234-5678-1234-567812345678")
NOW = 1_700_000_000.0
TYPE = {"typ": "seatsync-session+jwt"}


@pytest.fixture
def tokens() -> Tokens:
    """Tokens on plain HTTP, the time standing still."""
    return Tokens(SECRET, cookie_secure=False, clock=lambda: NOW)


def forged(algorithm: str = "HS256", key: str = SECRET, typ: str = "seatsync-session+jwt", **claims: Any) -> str:
    """A token that is right but for what is said."""
    good = {"iss": "seatsync", "sub": "7", "sid": str(SESSION), "iat": int(NOW), "exp": int(NOW) + 60}
    payload = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(payload, key, algorithm=algorithm, headers={"typ": typ})


def cookies(set_cookie: str) -> dict[str, str]:
    """The cookie that a `Set-Cookie` value leaves in a browser."""
    name, _, value = set_cookie.partition(";")[0].partition("=")
    return {name: value}


def test_a_token_says_what_it_was_issued_for(tokens: Tokens) -> None:
    """User, session and expiry come back as they were put in."""
    token = tokens.issue(7, SESSION, NOW + 60)
    assert tokens.verify(token) == Claims(7, SESSION, NOW + 60)


def test_a_token_names_its_type_issuer_and_times(tokens: Tokens) -> None:
    """A token has `typ`, `iss`, `sub`, `sid`, `iat` and `exp`, and nothing else to read."""
    token = tokens.issue(7, SESSION, NOW + 60)
    decoded = jwt.decode_complete(token, options={"verify_signature": False})
    assert decoded["header"] == {"alg": "HS256"} | TYPE
    assert decoded["payload"] == {
        "iss": "seatsync",
        "sub": "7",
        "sid": str(SESSION),
        "iat": int(NOW),
        "exp": int(NOW) + 60,
    }


def test_the_forgery_is_good_where_nothing_is_changed(tokens: Tokens) -> None:
    """The tests below refuse what they change, not the rest."""
    assert tokens.verify(forged()) == Claims(7, SESSION, NOW + 60)


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "somebody"},
        {"iss": None},
        {"sub": None},
        {"sub": "seven"},
        {"sid": None},
        {"sid": "not a uuid"},
        {"iat": None},
        {"exp": None},
        {"exp": int(NOW)},
        {"exp": "soon"},
        {"typ": "JWT"},
        {"key": SECRET[::-1]},
        {"algorithm": "HS384", "key": SECRET * 2},
        {"algorithm": "HS512", "key": SECRET * 2},
    ],
    ids=str,
)
def test_a_token_with_one_thing_wrong_is_refused(tokens: Tokens, changed: dict[str, Any]) -> None:
    """Issuer, subject, session, times, type, key and algorithm are all needed."""
    assert tokens.verify(forged(**changed)) is None


def test_a_stronger_hash_with_the_right_key_is_refused() -> None:
    """HS256 is pinned: the token's own header does not choose."""
    tokens = Tokens(SECRET * 2, cookie_secure=False, clock=lambda: NOW)
    assert tokens.verify(forged(key=SECRET * 2)) is not None
    assert tokens.verify(forged("HS512", key=SECRET * 2)) is None


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
def test_an_unsigned_token_is_refused(tokens: Tokens, algorithm: str) -> None:
    """``alg`` none is nobody's signature (RFC 8725 §3.2)."""

    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    payload = forged().split(".")[1]
    assert tokens.verify(f"{part({'alg': algorithm} | TYPE)}.{payload}.") is None


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.ü.ö", "\ud800", "[" * 400, "x" * 100_000])
def test_rubbish_is_no_token(tokens: Tokens, token: str) -> None:
    """Whatever a header may hold makes a guest, not an error."""
    assert tokens.verify(token) is None


def test_deep_nesting_is_no_token(tokens: Tokens) -> None:
    """A header that would exhaust the parser is not parsed."""
    nested = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    assert tokens.verify(f"{nested}.e30.x") is None


def test_a_token_from_a_clock_ahead_is_good(tokens: Tokens) -> None:
    """Another node's clock may run ahead: ``iat`` in the future is no reason to refuse."""
    assert tokens.verify(forged(iat=int(NOW) + 30)) is not None


def test_a_visitor_cookie_is_read_back(tokens: Tokens) -> None:
    """The id that was set is the id that is read."""
    visitor = tokens.new_visitor()
    assert tokens.visitor(cookies(tokens.visitor_cookie(visitor))) == visitor


def test_a_visitor_id_is_128_random_bits(tokens: Tokens) -> None:
    """32 hexadecimal digits, never the same twice."""
    ids = {tokens.new_visitor() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(bytes.fromhex(visitor)) == 16 for visitor in ids)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda value: "0" * 32 + value[32:],
        lambda value: value[:-1] + ("0" if value[-1] != "0" else "1"),
        lambda value: value[:33],
        lambda value: value[:32],
        lambda value: value[:32].upper() + value[32:],
        lambda value: value + "0",
        lambda value: "é" + value[1:],
        lambda value: value[:-1] + "\udc80",
        lambda _: "",
    ],
)
def test_a_tampered_visitor_cookie_is_none(tokens: Tokens, tamper: Any) -> None:
    """An id or a signature that is not exactly ours makes a new visitor."""
    cookie = cookies(tokens.visitor_cookie("abcdef01" * 4))
    assert tokens.visitor({name: tamper(value) for name, value in cookie.items()}) is None


def test_a_visitor_cookie_of_another_secret_is_none(tokens: Tokens) -> None:
    """Only nodes that share the secret share visitors."""
    other = Tokens(SECRET[::-1], cookie_secure=False)
    assert tokens.visitor(cookies(other.visitor_cookie(other.new_visitor()))) is None


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(tokens: Tokens) -> None:
    """Both cookies are `HttpOnly`, `SameSite=Strict` and for every path."""
    for cookie in (tokens.session_cookie("t"), tokens.clear_session_cookie(), tokens.visitor_cookie("0" * 32)):
        assert {"Path=/", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        assert "Secure" not in cookie


def test_the_session_cookie_lives_five_days(tokens: Tokens) -> None:
    """As long as a session."""
    assert tokens.session_cookie("t").startswith("seatsync=t; Max-Age=432000; ")
    assert SESSION_LIFETIME_S == 432_000


def test_clearing_ends_the_cookie_at_once(tokens: Tokens) -> None:
    """No token and no time left."""
    assert tokens.clear_session_cookie().startswith("seatsync=; Max-Age=0; ")


def test_secure_cookies_have_the_host_prefix() -> None:
    """With `COOKIE_SECURE` both cookies are `Secure` and named ``__Host-``."""
    tokens = Tokens(SECRET, cookie_secure=True)
    for cookie in (tokens.session_cookie("t"), tokens.clear_session_cookie(), tokens.visitor_cookie("0" * 32)):
        assert cookie.startswith("__Host-seatsync")
        assert "Secure" in cookie.split("; ")


def test_secure_reads_no_other_name() -> None:
    """With `COOKIE_SECURE` a cookie without the prefix, which a sibling domain could plant, is not looked at."""
    plain, secure = Tokens(SECRET, cookie_secure=False), Tokens(SECRET, cookie_secure=True)
    planted = cookies(plain.visitor_cookie(plain.new_visitor())) | {"seatsync": "t"}
    assert secure.visitor(planted) is None
    assert secure.session_token(planted) is None
    assert secure.session_token({"__Host-seatsync": "t"}) == "t"

"""Session tokens: one is accepted, and every deviation is refused."""

import base64
import hmac
import json
from typing import Any
from uuid import UUID

import jwt
import pytest

from seatsync import errors
from seatsync.user.keyring import key_id
from seatsync.user.tokens import Claims, Tokens

SECRET = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
SESSION = UUID("12345678-1234-5678-1234-567812345678")
NOW = 1_700_000_000.0
TYPE = {"typ": "seatsync-session+jwt"}


@pytest.fixture
def tokens() -> Tokens:
    """Tokens at a fixed time."""
    return Tokens(SECRET, clock=lambda: NOW)


def forged(algorithm: str = "HS256", key: str = SECRET, typ: str = "seatsync-session+jwt", **claims: Any) -> str:
    """A valid token with these changes."""
    good = {"iss": "seatsync", "sub": "7", "sid": str(SESSION), "iat": int(NOW), "exp": int(NOW) + 60}
    payload = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(payload, key, algorithm=algorithm, headers={"typ": typ})


def test_a_token_carries_its_claims(tokens: Tokens) -> None:
    """A token carries user, session and expiry."""
    token = tokens.issue(7, SESSION, NOW + 60)
    assert tokens.verify(token) == Claims(7, SESSION, NOW + 60)


def test_a_token_names_its_type_issuer_and_times(tokens: Tokens) -> None:
    """A token has `typ`, `iss`, `sub`, `sid`, `iat` and `exp`, and nothing else to read."""
    token = tokens.issue(7, SESSION, NOW + 60)
    decoded = jwt.decode_complete(token, options={"verify_signature": False})
    assert decoded["header"] == {"alg": "HS256", "kid": key_id(SECRET)} | TYPE
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
        {"iss": "other"},
        {"iss": None},
        {"sub": None},
        {"sub": "seven"},
        {"sid": None},
        {"sid": "not a uuid"},
        {"iat": None},
        {"exp": None},
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
    with pytest.raises(errors.TokenInvalid):
        tokens.verify(forged(**changed))


@pytest.mark.parametrize("exp", [int(NOW), 0, -1])
def test_an_expired_token_is_called_so(tokens: Tokens, exp: int) -> None:
    """Only one that is good otherwise: nobody learns more of a forged one."""
    with pytest.raises(errors.TokenExpired):
        tokens.verify(forged(exp=exp))
    for changed in ({"key": SECRET[::-1]}, {"typ": "JWT"}, {"iss": "other"}):
        with pytest.raises(errors.TokenInvalid):
            tokens.verify(forged(exp=exp, **changed))


def test_a_stronger_hash_with_the_right_key_is_refused() -> None:
    """HS256 is pinned: the token's header does not select the algorithm."""
    tokens = Tokens(SECRET * 2, clock=lambda: NOW)
    assert tokens.verify(forged(key=SECRET * 2)) == Claims(7, SESSION, NOW + 60)
    with pytest.raises(errors.TokenInvalid):
        tokens.verify(forged("HS512", key=SECRET * 2))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
def test_an_unsigned_token_is_refused(tokens: Tokens, algorithm: str) -> None:
    """``alg`` none is no signature (RFC 8725 §3.2)."""

    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    payload = forged().split(".")[1]
    with pytest.raises(errors.TokenInvalid):
        tokens.verify(f"{part({'alg': algorithm} | TYPE)}.{payload}.")


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.ü.ö", "\ud800", "[" * 400, "x" * 100_000])
def test_garbage_is_no_token(tokens: Tokens, token: str) -> None:
    """Whatever a header holds is a token or an invalid one."""
    with pytest.raises(errors.TokenInvalid):
        tokens.verify(token)


def test_deep_nesting_is_no_token(tokens: Tokens) -> None:
    """A deeply nested header is refused like any other."""
    nested = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with pytest.raises(errors.TokenInvalid):
        tokens.verify(f"{nested}.e30.x")


def test_a_token_from_a_clock_ahead_is_good(tokens: Tokens) -> None:
    """Another node's clock may run ahead: ``iat`` in the future is no reason to refuse."""
    assert tokens.verify(forged(iat=int(NOW) + 30)) == Claims(7, SESSION, NOW + 60)


def test_a_key_is_changed_without_ending_a_session(tokens: Tokens) -> None:
    """The first of several keys signs, all verify; without the old key its tokens are invalid."""
    old = tokens.issue(7, SESSION, NOW + 60)
    both, new = (Tokens(*keys, clock=lambda: NOW) for keys in ((OTHER, SECRET), (OTHER,)))
    assert both.verify(old) == Claims(7, SESSION, NOW + 60)
    issued = both.issue(7, SESSION, NOW + 60)
    assert new.verify(issued) == both.verify(issued)
    for keys, token in ((tokens, issued), (new, old)):
        with pytest.raises(errors.TokenInvalid):
            keys.verify(token)


def test_a_token_that_names_no_key_is_tried_with_all() -> None:
    """Earlier versions named none."""
    assert Tokens(OTHER, SECRET, clock=lambda: NOW).verify(forged()) == Claims(7, SESSION, NOW + 60)


@pytest.mark.parametrize("kid", ["", "0" * 8, "../../key", key_id(SECRET), 7, None, []], ids=str)
def test_a_token_of_a_foreign_key_is_refused(kid: object) -> None:
    """Whatever key it names: the name proves nothing."""
    claims = {"iss": "seatsync", "sub": "7", "sid": str(SESSION), "iat": int(NOW), "exp": int(NOW) + 60}

    def part(content: dict[str, Any]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "kid": kid} | TYPE) + b"." + part(claims)
    signature = base64.urlsafe_b64encode(hmac.digest(b"f" * 32, signed, "sha256")).rstrip(b"=")
    token = (signed + b"." + signature).decode()
    for keys in ([SECRET], [OTHER, SECRET]):
        with pytest.raises(errors.TokenInvalid):
            Tokens(*keys, clock=lambda: NOW).verify(token)

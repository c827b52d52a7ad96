"""Session tokens, visitor ids and the cookies that carry them.

A session token is a JWT (RFC 7519) signed with HS256 and nothing else; it names a row of ``session`` and is worth as
much as that row. A visitor id says which browser a request comes from, signed in or not: 128 random bits, signed with
a key of its own, so that neither kind can pass for the other (RFC 8725 §3.12).
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import jwt
import orjson
from attrs import frozen

#: Gives the time in seconds since the epoch.
Clock = Callable[[], float]

SESSION_LIFETIME_S: Final = 5 * 86_400
#: 400 days: browsers keep no cookie longer (RFC 6265bis §5.5).
VISITOR_LIFETIME_S: Final = 400 * 86_400

_ISSUER = "seatsync"
_TYPE = "seatsync-session+jwt"
_CLAIMS = ("iss", "sub", "sid", "iat", "exp")
# Ours take about 280 characters. Longer text is not worth parsing, and could nest deeply.
_MAX_TOKEN = 512
_VISITOR_BYTES = 16
_HEX = frozenset("0123456789abcdef")

# PyJWT's verification of the signature alone: its check of the claims takes as long again, at every handshake.
_jws = jwt.PyJWS(algorithms=["HS256"])


@frozen
class Claims:
    """What a token says of itself; whether its session is still there is for the database to say."""

    user_id: int
    session_id: UUID
    expires_at: float
    """Seconds since the epoch."""


class Tokens:
    """Makes and checks what clients carry. Every node with the same ``secret`` accepts the same ones.

    With ``cookie_secure`` cookies are `Secure` and have the `__Host-` prefix, and only those names are read: a
    sibling domain or a plain-HTTP page cannot plant one (RFC 6265bis §4.1.3.2).
    """

    def __init__(self, secret: str, cookie_secure: bool, clock: Clock = time.time) -> None:
        self._secret = secret.encode()
        self._visitor_key = hmac.digest(self._secret, b"seatsync visitor", hashlib.sha256)
        self._clock = clock
        prefix = "__Host-" if cookie_secure else ""
        self._session_name = f"{prefix}seatsync"
        self._visitor_name = f"{prefix}seatsync_visitor"
        self._attributes = "Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if cookie_secure else "")

    def issue(self, user_id: int, session_id: UUID, expires_at: float) -> str:
        """A token for that session; ``expires_at`` in seconds since the epoch."""
        claims = {
            "iss": _ISSUER,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": int(self._clock()),
            "exp": int(expires_at),
        }
        return jwt.encode(claims, self._secret, algorithm="HS256", headers={"typ": _TYPE})

    def verify(self, token: str) -> Claims | None:
        """What a good token says; ``None`` for one that is forged, foreign, malformed or expired."""
        if len(token) > _MAX_TOKEN:
            return None
        try:
            decoded = _jws.decode_complete(token, self._secret, algorithms=["HS256"])
            payload = orjson.loads(decoded["payload"])
            claims = _claims(payload)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            return None
        if decoded["header"].get("typ") != _TYPE or payload["iss"] != _ISSUER:
            return None
        return claims if claims.expires_at > self._clock() else None

    def new_visitor(self) -> str:
        """A visitor id nobody had before: 32 hexadecimal digits."""
        return secrets.token_hex(_VISITOR_BYTES)

    def visitor(self, cookies: Mapping[str, str]) -> str | None:
        """The id in the visitor cookie; ``None`` when there is none, or not one of ours."""
        visitor, _, signature = cookies.get(self._visitor_name, "").partition(".")
        if len(visitor) != 2 * _VISITOR_BYTES or not _HEX.issuperset(visitor):
            return None
        good = hmac.compare_digest(signature.encode(errors="replace"), self._sign(visitor).encode())
        return visitor if good else None

    def session_token(self, cookies: Mapping[str, str]) -> str | None:
        """The token in the session cookie, unchecked."""
        return cookies.get(self._session_name)

    def session_cookie(self, token: str) -> str:
        """The `Set-Cookie` value that signs a browser in."""
        return f"{self._session_name}={token}; Max-Age={SESSION_LIFETIME_S}; {self._attributes}"

    def clear_session_cookie(self) -> str:
        """The `Set-Cookie` value that takes the token away."""
        return f"{self._session_name}=; Max-Age=0; {self._attributes}"

    def visitor_cookie(self, visitor: str) -> str:
        """The `Set-Cookie` value that makes a browser this visitor."""
        value = f"{visitor}.{self._sign(visitor)}"
        return f"{self._visitor_name}={value}; Max-Age={VISITOR_LIFETIME_S}; {self._attributes}"

    def _sign(self, visitor: str) -> str:
        return hmac.digest(self._visitor_key, visitor.encode(), hashlib.sha256).hex()


def _claims(payload: Mapping[str, Any]) -> Claims:
    """Raises `KeyError` where one is missing. ``iat`` is no reason to refuse a node whose clock runs ahead."""
    if missing := [name for name in _CLAIMS if name not in payload]:
        raise KeyError(missing)
    return Claims(int(payload["sub"]), UUID(str(payload["sid"])), float(payload["exp"]))

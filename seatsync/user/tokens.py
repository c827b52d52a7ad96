"""Session tokens: JWTs (RFC 7519) signed with HS256 and nothing else.

A token names a row of ``session`` and is worth as much as that row. Its header names the key that signed it (``kid``),
for people: all keys are tried, as there are few.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import jwt
from attrs import frozen

from seatsync import errors, jsontext
from seatsync.user.keyring import key_id

#: Returns seconds since the epoch.
Clock = Callable[[], float]

_ISSUER: Final = "seatsync"
_TYPE: Final = "seatsync-session+jwt"
# Ours take about 280 characters. Longer text is not worth parsing, and could nest deeply.
_MAX_TOKEN: Final = 512

# PyJWT verifies the signature alone: its check of the claims takes as long again, at every handshake.
_jws = jwt.PyJWS(algorithms=["HS256"])


@frozen
class Claims:
    """The claims of a verified token. Its session may have ended meanwhile."""

    user_id: int
    session_id: UUID
    expires_at: float
    """Seconds since the epoch."""


class Tokens:
    """Issues and verifies tokens: the first of ``secrets`` signs, all verify. Nodes accept each other's."""

    def __init__(self, *secrets: str, clock: Clock = time.time) -> None:
        self._keys = [secret.encode() for secret in secrets]
        self._kid = key_id(secrets[0])
        self._clock = clock

    def issue(self, user_id: int, session_id: UUID, expires_at: float) -> str:
        """A token of that session; ``expires_at`` in seconds since the epoch."""
        claims = {
            "iss": _ISSUER,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": int(self._clock()),
            "exp": int(expires_at),
        }
        return jwt.encode(claims, self._keys[0], algorithm="HS256", headers={"typ": _TYPE, "kid": self._kid})

    def verify(self, token: str) -> Claims:
        """The claims of a valid token.

        Raises `TokenInvalid` for one that is forged, foreign or malformed, and `TokenExpired` for one that was valid.
        """
        if len(token) > _MAX_TOKEN:
            raise errors.TokenInvalid
        try:
            decoded = self._decode(token)
            payload = jsontext.loads(decoded["payload"])
            claims = Claims(int(payload["sub"]), UUID(str(payload["sid"])), float(payload["exp"]))
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            raise errors.TokenInvalid from None
        if decoded["header"].get("typ") != _TYPE or payload.get("iss") != _ISSUER or "iat" not in payload:
            raise errors.TokenInvalid
        # ``iat`` is not compared: another node's clock may run ahead.
        if claims.expires_at <= self._clock():
            raise errors.TokenExpired
        return claims

    def _decode(self, token: str) -> dict[str, Any]:
        """The parts of a token that one of the keys has signed. Raises `jwt.PyJWTError`."""
        for key in self._keys:
            with suppress(jwt.InvalidSignatureError):
                return _jws.decode_complete(token, key, algorithms=["HS256"])
        raise jwt.InvalidSignatureError

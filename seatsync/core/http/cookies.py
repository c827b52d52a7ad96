"""The two cookies: the session token, and the visitor id, which identifies a browser, signed in or not."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Final

SESSION_LIFETIME_S: Final = 5 * 86_400
#: 400 days: browsers keep no cookie longer (RFC 6265bis §5.5).
VISITOR_LIFETIME_S: Final = 400 * 86_400

_VISITOR_DIGITS: Final = 32


def new_visitor() -> str:
    """A fresh visitor id: 128 random bits as hexadecimal digits."""
    return secrets.token_hex(_VISITOR_DIGITS // 2)


class Cookies:
    """Reads and makes the cookies; nodes with the same ``secret`` accept the same visitors.

    A new client is given its visitor cookie by a handshake and by responses below ``visitor_path``. With ``secure``
    cookies are `Secure` and have the `__Host-` prefix, and only those names are read: a sibling domain or a plain-HTTP
    page cannot plant one (RFC 6265bis §4.1.3.2).
    """

    def __init__(self, secret: str, *, secure: bool, visitor_path: str) -> None:
        self.visitor_path = visitor_path
        # A key of its own, so that neither kind of credential passes for the other (RFC 8725 §3.12).
        self._visitor_key = hmac.digest(secret.encode(), b"seatsync visitor", hashlib.sha256)
        prefix = "__Host-" if secure else ""
        self._session_name = f"{prefix}seatsync"
        self._visitor_name = f"{prefix}seatsync_visitor"
        self._attributes = "Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")

    def visitor(self, cookies: Mapping[str, str]) -> str | None:
        """The id in the visitor cookie; ``None`` if it is absent or its signature is wrong."""
        visitor, _, signature = cookies.get(self._visitor_name, "").partition(".")
        if len(visitor) != _VISITOR_DIGITS:  # most often there is none: spare the signature
            return None
        good = hmac.compare_digest(signature.encode(errors="replace"), self._sign(visitor).encode())
        return visitor if good else None

    def session_token(self, cookies: Mapping[str, str]) -> str | None:
        """The token in the session cookie, not verified."""
        return cookies.get(self._session_name)

    def session_cookie(self, token: str) -> str:
        """The `Set-Cookie` value that signs a browser in."""
        return f"{self._session_name}={token}; Max-Age={SESSION_LIFETIME_S}; {self._attributes}"

    def clear_session_cookie(self) -> str:
        """The `Set-Cookie` value that deletes the session cookie."""
        return f"{self._session_name}=; Max-Age=0; {self._attributes}"

    def visitor_cookie(self, visitor: str) -> str:
        """The `Set-Cookie` value that makes a browser this visitor."""
        value = f"{visitor}.{self._sign(visitor)}"
        return f"{self._visitor_name}={value}; Max-Age={VISITOR_LIFETIME_S}; {self._attributes}"

    def _sign(self, visitor: str) -> str:
        return hmac.digest(self._visitor_key, visitor.encode(), hashlib.sha256).hex()

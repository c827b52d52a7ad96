"""The two cookies: the session token, and the visitor cookie, which identifies a browser, signed in or not.

The visitor cookie signs two ids together. One finds the browser's open sockets. The other owns an enrolment: whoever
planted or knows an earlier cookie, which has another, is not shown the secret of an enrolment that was begun since.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

#: The name of the session cookie; with ``secure`` a prefix stands before it.
SESSION_COOKIE: Final = "seatsync"
SESSION_LIFETIME_S: Final = 5 * 86_400
#: 400 days: browsers keep no cookie longer (RFC 6265bis §5.5).
VISITOR_LIFETIME_S: Final = 400 * 86_400

_VISITOR = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{64})")


class Cookies:
    """Reads and makes the cookies: the first of ``secrets`` signs, all verify. Nodes accept each other's visitors.

    With ``secure`` cookies are `Secure` and have the `__Host-` prefix, and only those names are read: a sibling domain
    or a plain-HTTP page cannot plant one (RFC 6265bis §4.1.3.2).
    """

    def __init__(self, *secrets: str, secure: bool) -> None:
        # Keys of their own, so that neither kind of credential passes for the other (RFC 8725 §3.12).
        self._visitor_keys = [hmac.digest(one.encode(), b"seatsync visitor", hashlib.sha256) for one in secrets]
        prefix = "__Host-" if secure else ""
        self._session_name = prefix + SESSION_COOKIE
        self._visitor_name = f"{prefix}seatsync_visitor"
        self._attributes = "Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")

    def visitor(self, cookies: Mapping[str, str]) -> tuple[str, str] | None:
        """`Client.visitor` and `Client.enrolment` in the cookie; ``None`` if it is absent or its signature is wrong."""
        match = _VISITOR.fullmatch(cookies.get(self._visitor_name, ""))
        if match is None:
            return None
        good = any(hmac.compare_digest(match[3], _sign(key, match[1], match[2])) for key in self._visitor_keys)
        return (match[1], match[2]) if good else None

    def session_token(self, cookies: Mapping[str, str]) -> str | None:
        """The token in the session cookie, not verified."""
        return cookies.get(self._session_name)

    def session_cookie(self, token: str) -> str:
        """The `Set-Cookie` value that signs a browser in."""
        return f"{self._session_name}={token}; Max-Age={SESSION_LIFETIME_S}; {self._attributes}"

    def clear_session_cookie(self) -> str:
        """The `Set-Cookie` value that deletes the session cookie."""
        return f"{self._session_name}=; Max-Age=0; {self._attributes}"

    def visitor_cookie(self, visitor: str, enrolment: str) -> str:
        """The `Set-Cookie` value that makes a browser this visitor, and the owner of that enrolment."""
        value = f"{visitor}.{enrolment}.{_sign(self._visitor_keys[0], visitor, enrolment)}"
        return f"{self._visitor_name}={value}; Max-Age={VISITOR_LIFETIME_S}; {self._attributes}"


def _sign(key: bytes, visitor: str, enrolment: str) -> str:
    return hmac.digest(key, f"{visitor}.{enrolment}".encode(), hashlib.sha256).hex()

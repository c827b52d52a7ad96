"""The data of the methods ``user.*``: parameters, validated when structured, and what is sent."""

import re
from typing import Annotated, Any, Literal

from attrs import Attribute, field, frozen

from seatsync import errors
from seatsync.config import Role
from seatsync.core.protocol.call import Identity
from seatsync.core.protocol.wire import REQUIRED, Count, Keywords, Timestamp, rule, sent

_USERNAME = re.compile(r"[a-zA-Z0-9_-]{3,32}")
_CODE = re.compile(r"[0-9]{6}")
#: As apps show it, and people copy and type it.
_SPACED_CODE = re.compile(r"[0-9](?:[ -]*[0-9]){5}")
_MAX_PHRASE = 256

GUEST = {"status": "guest"}


def login_state(identity: Identity | None) -> dict[str, str]:
    """The login state as clients receive it."""
    return GUEST if identity is None else {"status": "user", "username": identity.username, "role": identity.role}


def check_username(username: str) -> None:
    """Raises `RequiredUsername` or `InvalidUsername`."""
    if not username:
        raise errors.RequiredUsername
    if _USERNAME.fullmatch(username) is None:
        raise errors.InvalidUsername


@rule(pattern=f"^{_USERNAME.pattern}$")
def _username(_: Any, __: "Attribute[str]", value: str) -> None:
    check_username(value)


@rule(pattern=f"^{_SPACED_CODE.pattern}$")
def _code(_: Any, __: "Attribute[str]", value: str) -> None:
    if _CODE.fullmatch(value) is None:
        raise errors.InvalidCode("A code is six digits.")


def _joined(code: str) -> str:
    """The code without the blanks and hyphens between its digits."""
    return code.replace(" ", "").replace("-", "") if _SPACED_CODE.fullmatch(code) else code


@rule(minLength=1, maxLength=_MAX_PHRASE)
def _phrase(_: Any, __: "Attribute[str]", value: str) -> None:
    if not value or len(value) > _MAX_PHRASE:
        raise errors.InvalidRecoveryPhrase


# Every field has a default, so that a missing one ends in the error of its validator.


@frozen
class Named:
    """A username."""

    username: str = field(default="", validator=_username, metadata=REQUIRED)


@frozen
class Coded:
    """A code of the caller's authenticator."""

    code: str = field(default="", converter=_joined, validator=_code, repr=False, metadata=REQUIRED)


@frozen
class Phrased:
    """A recovery phrase."""

    phrase: str = field(default="", validator=_phrase, repr=False, metadata=REQUIRED)


@frozen
class NamedCode(Named):
    """A username and a code of its authenticator."""

    code: str = field(default="", converter=_joined, validator=_code, repr=False, metadata=REQUIRED)


@frozen
class NamedPhrase(Named):
    """A username and its recovery phrase."""

    phrase: str = field(default="", validator=_phrase, repr=False, metadata=REQUIRED)


# What is sent.


@sent
class Guest:
    """Nobody is signed in."""

    status: Literal["guest"]


@sent
class SignedIn:
    """The user who is signed in."""

    status: Literal["user"]
    username: str
    role: Role


@sent
class KnownUser:
    """There is such a user: ask for a code."""

    status: Literal["user"]
    username: str


@sent
class Candidate:
    """A new authenticator to enrol, in force once `user.register` confirms it."""

    status: Literal["candidate"]
    username: str
    qr_url: Annotated[str, Keywords(pattern="^otpauth://totp/.*secret=[A-Z2-7]+$")]
    """What the QR code says. Behind `secret=`, its last parameter, is the key to type."""
    qr_code: Annotated[str, Keywords(pattern="^data:image/svg\\+xml;base64,")]
    """The image of it, for `src`."""


@sent
class NewSession(KnownUser):
    """A new session: over HTTP it is in the cookie as well. Reconnect to use it."""

    token: str


@sent
class Phrase:
    """A new recovery phrase, in force once it is saved."""

    phrase: str


@sent
class UserSession:
    """A session of the user who is signed in."""

    id: str
    """For `user.end_sessions`."""
    created_at: Timestamp
    last_seen_at: Timestamp | None
    """Within the last few minutes of its use."""
    expires_at: Timestamp | None
    address: str | None
    """From which it was used last."""
    user_agent: str | None
    """What the client says of itself: show it as text."""
    current: bool
    """It is the session of this request."""


@sent
class SessionsEnded:
    """The number of sessions that have ended."""

    ended: Count

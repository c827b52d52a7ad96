"""What the methods take and give: requests that check themselves, and answers."""

import re
from typing import Any, Literal

from attrs import Attribute, field, frozen

from seatsync import errors
from seatsync.core.protocol.call import Identity, Role

_USERNAME = re.compile(r"[a-zA-Z0-9_-]{3,32}")
_CODE = re.compile(r"[0-9]{6}")
_MAX_PHRASE = 256


def check_username(username: str) -> None:
    """Raises `RequiredUsername` or `InvalidUsername`."""
    if not username:
        raise errors.RequiredUsername
    if _USERNAME.fullmatch(username) is None:
        raise errors.InvalidUsername


def _username(_: Any, __: "Attribute[str]", value: str) -> None:
    check_username(value)


def _code(_: Any, __: "Attribute[str]", value: str) -> None:
    if _CODE.fullmatch(value) is None:
        raise errors.InvalidCode("A code is six digits.")


def _phrase(_: Any, __: "Attribute[str]", value: str) -> None:
    if not value or len(value) > _MAX_PHRASE:
        raise errors.InvalidRecoveryPhrase


# requests: a missing field is an empty one, so that its own error names it


@frozen
class Named:
    """A request about a username."""

    username: str = field(default="", validator=_username)


@frozen
class Coded:
    """A request proved by a code of the caller's authenticator."""

    code: str = field(default="", validator=_code, repr=False)


@frozen
class NamedCode:
    """A username and a code of its authenticator."""

    username: str = field(default="", validator=_username)
    code: str = field(default="", validator=_code, repr=False)


@frozen
class NamedPhrase:
    """A username and its recovery phrase."""

    username: str = field(default="", validator=_username)
    phrase: str = field(default="", validator=_phrase, repr=False)


@frozen
class Phrased:
    """A recovery phrase, typed in again."""

    phrase: str = field(default="", validator=_phrase, repr=False)


# answers


@frozen
class Guest:
    """The caller is nobody in particular."""

    status: Literal["guest"] = "guest"


@frozen
class User:
    """The caller is this user."""

    status: Literal["user"] = field(default="user", init=False)
    username: str
    role: Role


@frozen
class Known:
    """There is such a user: ask for a code."""

    status: Literal["user"] = field(default="user", init=False)
    username: str


@frozen
class Candidate:
    """An authenticator to enrol."""

    status: Literal["candidate"] = field(default="candidate", init=False)
    username: str
    qr_url: str = field(repr=False)
    qr_code: str = field(repr=False)


@frozen
class SignedIn:
    """The caller may come back as this user."""

    status: Literal["user"] = field(default="user", init=False)
    username: str
    token: str = field(repr=False)


@frozen
class NewPhrase:
    """A recovery phrase, shown this once."""

    phrase: str = field(repr=False)


@frozen
class Done:
    """It is done."""

    success: Literal[True] = True


def status_of(identity: Identity | None) -> Guest | User:
    """The login state as clients are told it."""
    return Guest() if identity is None else User(identity.username, identity.role)

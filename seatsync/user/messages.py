"""The data of requests, validated when structured, and of replies."""

import re
from typing import Any, Literal

from attrs import Attribute, field, frozen

from seatsync import errors
from seatsync.config import Role
from seatsync.core.protocol.call import Identity

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


# Requests. Every field has a default, so that a missing one ends in the error of its validator.


@frozen
class Named:
    """A username."""

    username: str = field(default="", validator=_username)


@frozen
class Coded:
    """A code of the caller's authenticator."""

    code: str = field(default="", validator=_code, repr=False)


@frozen
class Phrased:
    """A recovery phrase."""

    phrase: str = field(default="", validator=_phrase, repr=False)


@frozen
class NamedCode(Named):
    """A username and a code of its authenticator."""

    code: str = field(default="", validator=_code, repr=False)


@frozen
class NamedPhrase(Named):
    """A username and its recovery phrase."""

    phrase: str = field(default="", validator=_phrase, repr=False)


# Replies


@frozen
class Guest:
    """The caller is not signed in."""

    status: Literal["guest"] = "guest"


@frozen
class User:
    """The caller is signed in."""

    status: Literal["user"] = field(default="user", init=False)
    username: str
    role: Role


@frozen
class Known:
    """The user exists and signs in with a code."""

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
    """A session was opened; ``token`` names it."""

    status: Literal["user"] = field(default="user", init=False)
    username: str
    token: str = field(repr=False)


@frozen
class NewPhrase:
    """A recovery phrase, sent this once."""

    phrase: str = field(repr=False)


@frozen
class Done:
    """The request succeeded."""

    success: Literal[True] = True


def login_state(identity: Identity | None) -> Guest | User:
    """The login state as clients receive it."""
    return Guest() if identity is None else User(identity.username, identity.role)

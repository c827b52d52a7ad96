"""The data of requests, validated when structured, and the login state."""

import re
from typing import Any

from attrs import Attribute, field, frozen

from seatsync import errors
from seatsync.core.protocol.call import Identity

_USERNAME = re.compile(r"[a-zA-Z0-9_-]{3,32}")
_CODE = re.compile(r"[0-9]{6}")
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


def _username(_: Any, __: "Attribute[str]", value: str) -> None:
    check_username(value)


def _code(_: Any, __: "Attribute[str]", value: str) -> None:
    if _CODE.fullmatch(value) is None:
        raise errors.InvalidCode("A code is six digits.")


def _phrase(_: Any, __: "Attribute[str]", value: str) -> None:
    if not value or len(value) > _MAX_PHRASE:
        raise errors.InvalidRecoveryPhrase


# Every field has a default, so that a missing one ends in the error of its validator.


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

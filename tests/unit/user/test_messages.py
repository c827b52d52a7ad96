"""Requests are validated when structured; the error belongs to the bad field."""

from typing import Any
from uuid import uuid4

import pytest

from seatsync import errors
from seatsync.core.protocol.call import Identity
from seatsync.core.protocol.params import structure
from seatsync.core.protocol.registry import encode
from seatsync.user.messages import Coded, Named, NamedCode, NamedPhrase, Phrased, login_state


@pytest.mark.parametrize("username", ["abc", "A_b-9", "x" * 32, "---"])
def test_a_username_is_3_to_32_letters_digits_hyphens_underscores(username: str) -> None:
    """A name of the pattern is accepted unchanged."""
    assert structure({"username": username}, Named).username == username


@pytest.mark.parametrize("username", ["ab", "x" * 33, "a b", "abc\n", "äbc", "a.b", "\uff41bc"])
def test_another_username_is_invalid(username: str) -> None:
    """Anything else is `InvalidUsername`."""
    with pytest.raises(errors.InvalidUsername):
        structure({"username": username}, Named)


@pytest.mark.parametrize("data", [None, {}, {"username": ""}])
def test_a_missing_username_is_required(data: Any) -> None:
    """Missing and empty are `RequiredUsername`."""
    with pytest.raises(errors.RequiredUsername):
        structure(data, Named)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "12345",
        "1234567",
        "12345a",
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        "12345\n",
        " 123456",
        "123 456 ",
        "123\t456",
        "123 4567",
        "-",
    ],
)
def test_a_code_is_six_digits(code: str) -> None:
    """Anything else is `InvalidCode`, before anything is counted or looked up."""
    with pytest.raises(errors.InvalidCode):
        structure({"code": code}, Coded)


@pytest.mark.parametrize("code", ["123456", "123 456", "123-456", "1 2 3 4 5 6", "12 - 34 -- 56"])
def test_blanks_and_hyphens_between_the_digits_are_ignored(code: str) -> None:
    """As apps show a code."""
    assert structure({"code": code}, Coded).code == "123456"


@pytest.mark.parametrize("phrase", ["", "x" * 257])
def test_a_phrase_is_of_sensible_length(phrase: str) -> None:
    """Text that cannot be a phrase is not hashed."""
    with pytest.raises(errors.InvalidRecoveryPhrase):
        structure({"phrase": phrase}, Phrased)


@pytest.mark.parametrize("cls", [Named, NamedCode, NamedPhrase])
def test_a_username_of_another_type_is_a_validation_error(cls: type) -> None:
    """A username of another type is a ValidationError with its path."""
    with pytest.raises(errors.ValidationError, match="username"):
        structure({"username": 7, "code": "123456", "phrase": "x"}, cls)


def test_login_state_is_as_clients_expect() -> None:
    """The fields and their values on the wire."""
    assert encode(login_state(None)) == b'{"status":"guest"}'
    assert encode(login_state(Identity(1, "ada", "admin", uuid4()))) == (
        b'{"status":"user","username":"ada","role":"admin"}'
    )


def test_secrets_stay_out_of_reprs() -> None:
    """A logged request shows no code and no phrase."""
    assert "123456" not in repr(NamedCode("ada", "123456"))
    assert "babab" not in repr(NamedPhrase("ada", "babab"))

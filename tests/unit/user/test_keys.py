"""Service keys: how they look, and what the server keeps of them."""

import hashlib

import pytest

from seatsync import errors
from seatsync.user.keys import Key, new_key


def test_keys_are_random() -> None:
    """No two are alike, and each is one."""
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert len({Key.of(key).session_id for key in keys}) == 100


def test_hash_and_session() -> None:
    """SHA-256 of the whole text, and a session id of its first half; the repr shows neither."""
    text = new_key()
    key = Key.of(text)
    assert key.hash == hashlib.sha256(text.encode()).digest()
    assert key.session_id.bytes == key.hash[:16]
    assert text not in repr(key)
    assert repr(key.hash) not in repr(key)


@pytest.mark.parametrize(
    "text",
    ["", "ssk_", "ssk_" + "x" * 42, "ssk_" + "x" * 44, "SSK_" + "x" * 43, "ssk_" + "é" * 43, "ssk_" + "x" * 43 + "\n"],
)
def test_what_is_no_key(text: str) -> None:
    """Anything but `ssk_` and 43 characters of base64url is TokenInvalid."""
    with pytest.raises(errors.TokenInvalid):
        Key.of(text)

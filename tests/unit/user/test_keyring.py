"""Stored secrets: encrypted, bound to a user's name, and readable with every key of the keyring."""

import pytest

from seatsync.user.keyring import Keyring, UnreadableSecretError, key_id

OLD, NEW = "an old key of at least 32 bytes: " + "o" * 8, "a new key of at least 32 bytes: " + "n" * 8
SECRET = "JBSWY3DPEHPK3PXP"

STORED = "b65e82c3:OTEpf9149YO38qAl5IBoOJAq-arHDp7tfoGhFkl6jDZyo36xH8oI_Efv_2w"
"""What ``Keyring([OLD])`` has made once of `SECRET` for ada."""


def test_a_stored_secret_reads_back() -> None:
    """For its user, in any case of the name, and not to the eye."""
    keyring = Keyring([OLD])
    stored = keyring.encrypt("Ada", SECRET)
    assert keyring.decrypt("aDA", stored) == SECRET
    assert SECRET not in stored
    assert stored != keyring.encrypt("Ada", SECRET)


def test_the_format_stays() -> None:
    """What an earlier version has stored can be read: key id, derivation, cipher and associated data are the same."""
    assert key_id(OLD) == STORED.partition(":")[0]
    assert Keyring([OLD]).decrypt("ada", STORED) == SECRET


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    """So that a key can be changed while servers run."""
    before, both = Keyring([OLD]), Keyring([NEW, OLD])
    assert both.decrypt("ada", before.encrypt("ada", SECRET)) == SECRET
    stored = both.encrypt("ada", SECRET)
    assert stored.startswith(f"{key_id(NEW)}:")
    with pytest.raises(UnreadableSecretError, match=key_id(NEW)):
        before.decrypt("ada", stored)


def test_a_secret_of_another_name_is_unreadable() -> None:
    """A stored secret that is copied into another user's row signs nobody in."""
    keyring = Keyring([OLD])
    with pytest.raises(UnreadableSecretError, match="another name"):
        keyring.decrypt("eve", keyring.encrypt("ada", SECRET))


def test_an_altered_secret_is_unreadable() -> None:
    """Whichever character is changed, lost or added, where all bits of the last one count (60 bytes, 80 characters)."""
    keyring = Keyring([OLD])
    stored = keyring.encrypt("ada", 2 * SECRET)
    head = stored.index(":") + 1
    altered = [stored[:head], stored[:-4], stored + "AAAA", stored + "A", stored[:head] + "é" * 60]
    altered += [stored[:at] + ("A" if stored[at] != "A" else "B") + stored[at + 1 :] for at in range(head, len(stored))]
    for text in altered:
        with pytest.raises(UnreadableSecretError):
            keyring.decrypt("ada", text)


def test_a_plain_secret_is_itself() -> None:
    """SQL and earlier versions write plain ones."""
    assert Keyring([OLD]).decrypt("ada", SECRET) == SECRET


def test_a_key_id_tells_keys_apart() -> None:
    """Eight hexadecimal digits, not a part of the key."""
    assert len({key_id(OLD), key_id(NEW)}) == 2
    assert all(len(bytes.fromhex(key_id(key))) == 4 for key in (OLD, NEW))

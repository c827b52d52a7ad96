"""The file of keys: generated once, private, and never empty."""

from pathlib import Path

import pytest

from seatsync.config import ConfigError
from seatsync.core.embedded import secret_file
from seatsync.core.embedded.secret_file import read_or_make_keys


def test_it_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """The secret is made once for a directory, readable by its owner alone; later calls return it."""
    path = tmp_path / "jwt_secret"
    keys = read_or_make_keys(path)
    assert [len(key) for key in keys] == [64]
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_or_make_keys(path) == keys
    assert read_or_make_keys(tmp_path / "another") != keys
    assert {entry.name for entry in tmp_path.iterdir()} == {"jwt_secret", "another"}


def test_concurrent_processes_share_the_first_secret(tmp_path: Path) -> None:
    """Of two processes that found no file, one links its secret into place and the other uses it."""
    path = tmp_path / "jwt_secret"
    keys = read_or_make_keys(path)
    secret_file._make(path)
    assert read_or_make_keys(path) == keys
    assert [entry.name for entry in tmp_path.iterdir()] == ["jwt_secret"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "holds no key"), ("short\n", "has a key of 5 bytes"), (f"{'x' * 32}\nshort\n", "has a key of 5 bytes")],
)
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    """A file without a key, or with a short one, is refused, so no key is empty."""
    path = tmp_path / "jwt_secret"
    path.write_text(content)
    with pytest.raises(ConfigError, match=reason):
        read_or_make_keys(path)


def test_a_key_is_added_in_a_line_of_its_own(tmp_path: Path) -> None:
    """The file may have several keys; the first line's is the one in use."""
    path = tmp_path / "secrets_key"
    (old,) = read_or_make_keys(path)
    path.write_text(f"{'n' * 32}\n{path.read_text()}")
    assert read_or_make_keys(path) == ("n" * 32, old)

"""The secret file: generated once, private, and never empty."""

from pathlib import Path

import pytest

from seatsync.config import ConfigError
from seatsync.core.embedded import secret_file
from seatsync.core.embedded.secret_file import read_or_make_secret


def test_it_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """The secret is made once for a directory, readable by its owner alone; later calls return it."""
    path = tmp_path / "jwt_secret"
    secret = read_or_make_secret(path)
    assert len(secret) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_or_make_secret(path) == secret
    assert read_or_make_secret(tmp_path / "another") != secret
    assert {entry.name for entry in tmp_path.iterdir()} == {"jwt_secret", "another"}


def test_concurrent_processes_share_the_first_secret(tmp_path: Path) -> None:
    """Of two processes that found no file, one links its secret into place and the other uses it."""
    path = tmp_path / "jwt_secret"
    secret = read_or_make_secret(path)
    secret_file._make(path)
    assert read_or_make_secret(path) == secret
    assert [entry.name for entry in tmp_path.iterdir()] == ["jwt_secret"]


@pytest.mark.parametrize("content", ["", "short\n"])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: str) -> None:
    """A secret file without a secret is refused, so no key is empty."""
    path = tmp_path / "jwt_secret"
    path.write_text(content)
    with pytest.raises(ConfigError, match="holds no secret"):
        read_or_make_secret(path)

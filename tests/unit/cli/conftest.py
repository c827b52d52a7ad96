"""Fixtures for the tests of the command line."""

from pathlib import Path

import pytest

from tests.support.command import SECRET


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A directory without `.env`."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment with `database_url`."""
    for name, value in {"DATABASE_URL": database_url, "JWT_SECRET": SECRET, "SECRETS_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    return database_url

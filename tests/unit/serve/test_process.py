"""What a start warns of."""

import pytest

from seatsync.config import load_settings
from seatsync.serve.process import address_warnings

SECRET = "0123456789abcdef" * 2


def warned(dsn: str) -> bool:
    """A database at that address is warned of."""
    settings = load_settings({"DATABASE_URL": dsn, "JWT_SECRET": SECRET, "SECRETS_KEY": SECRET}, dotenv=None)
    sentences = address_warnings(settings)
    assert all("hidden-word" not in sentence and "sslmode" in sentence for sentence in sentences)
    return bool(sentences)


@pytest.mark.parametrize(
    ("dsn", "is_warned_of"),
    [
        ("postgresql://seats:hidden-word@db.example.org/seats", True),
        ("postgresql://db.example.org/seats?sslmode=prefer", True),
        ("postgresql://10.0.0.7/seats?sslmode=disable", True),
        ("postgresql:///seats?host=db.example.org", True),
        ("postgresql://localhost/seats?hostaddr=10.0.0.7", True),
        ("postgresql://localhost,db.example.org/seats", True),
        ("postgresql://db.example.org/seats?sslmode=require", False),
        ("postgresql://db.example.org/seats?sslmode=verify-full", False),
        ("postgresql://localhost/seats", False),
        ("postgresql://127.0.0.1:5433,[::1]/seats", False),
        ("postgresql://%2Frun%2Fpostgresql/seats", False),
        ("postgresql:///seats?host=/run/postgresql", False),
        ("postgresql:///seats", False),
    ],
)
def test_a_remote_database_without_tls_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, dsn: str, is_warned_of: bool
) -> None:
    """Loopback and sockets need none; ``prefer`` goes on without it."""
    for name in ("PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    assert warned(dsn) is is_warned_of


def test_the_environment_of_libpq_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the address leaves out comes from there."""
    monkeypatch.setenv("PGHOST", "db.example.org")
    monkeypatch.setenv("PGSSLMODE", "prefer")
    assert warned("postgresql:///seats")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert not warned("postgresql:///seats")


def test_the_address_for_listening_counts_too() -> None:
    """Notifications are the changes themselves."""
    local, remote = "postgresql://localhost/seats", "postgresql://db.example.org/seats?sslmode=prefer"
    settings = load_settings(
        {"DATABASE_URL": local, "LISTEN_URL": remote, "JWT_SECRET": SECRET, "SECRETS_KEY": SECRET}, dotenv=None
    )
    (sentence,) = address_warnings(settings)
    assert sentence.startswith("LISTEN_URL leads to another machine")

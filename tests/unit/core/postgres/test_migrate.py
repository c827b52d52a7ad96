"""The next migration, and the databases that are refused."""

import re
from collections.abc import Sequence

import pytest

from seatsync.core.postgres.migrate import Migration, migrations, pending
from seatsync.errors import Failure

ONE, TWO, THREE = (Migration(name, f"select '{name}'") for name in ("0001_one", "0002_two", "0003_three"))


def applied(*done: Migration) -> dict[str, str]:
    """The applied migrations, as the database has them."""
    return {migration.name: migration.checksum for migration in done}


@pytest.mark.parametrize(
    ("done", "following"),
    [([], ONE), ([ONE], TWO), ([ONE, TWO], THREE), ([ONE, TWO, THREE], None)],
)
def test_the_first_that_is_not_applied_is_next(done: Sequence[Migration], following: Migration | None) -> None:
    """Migrations are applied in the order of their numbers."""
    assert pending([ONE, TWO, THREE], applied(*done)) == following


@pytest.mark.parametrize(
    ("done", "sentence"),
    [
        ([ONE, TWO, THREE], "This database has the migration 0003_three: a newer version of seatsync is needed."),
        ([TWO], "The migration 0001_one is missing, although 0002_two is applied already."),
        (
            [Migration("0001_one", "select 2")],
            "The migration 0001_one has changed since it was applied to this database.",
        ),
    ],
)
def test_a_database_of_another_history_is_refused(done: Sequence[Migration], sentence: str) -> None:
    """A database of another history is refused with one sentence for the operator."""
    with pytest.raises(Failure, match=f"^{re.escape(sentence)}$"):
        pending([ONE, TWO], applied(*done))


def test_the_migrations_of_the_package() -> None:
    """Numbered from 1 without a gap, so that two branches cannot add the same number unnoticed."""
    names = [migration.name for migration in migrations()]
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


def test_statements_end_with_a_line() -> None:
    """A semicolon within a line ends nothing; lines of comments, and what is empty, are no statements."""
    sql = "-- online\n-- Why;\nselect 1\nas a;b;\n\n;\nselect 2;\n-- The end;\n"
    assert Migration("0001_one", sql).statements == ["\n\nselect 1\nas a;b", "\nselect 2"]


def test_online_migrations_are_split_at_their_statements() -> None:
    """They have no semicolon that ends no statement, and none behind a comment."""
    online = [migration for migration in migrations() if migration.online]
    assert online
    for statement in (one for migration in online for one in migration.statements):
        assert re.search(r"[;$]|--|/\*", statement) is None
        assert statement.count("'") % 2 == 0


def test_a_checksum_is_of_the_text() -> None:
    """SHA-256 in hex: one changed character is another migration."""
    assert ONE.checksum != Migration(ONE.name, ONE.sql + " ").checksum
    assert re.fullmatch("[0-9a-f]{64}", ONE.checksum)

"""`sql/schema.sql` is what the migrations make, and loads by itself."""

import os
import re

import pytest

from tests.support.database import execute
from tests.support.schema import SCHEMA, dump


@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="other releases of PostgreSQL show a schema differently")
def test_the_schema_file_is_up_to_date(database_url: str) -> None:
    """`sql/schema.sql` equals the schema that the migrations make; `make schema` writes it."""
    assert SCHEMA.read_text() == dump(database_url)


def test_the_schema_file_loads_by_itself(database_url: str, empty_database_url: str) -> None:
    """In an empty database it makes the same schema as the migrations.

    Parentheses are not compared: PostgreSQL nests the `or` of a condition, and does not when it reads what it showed.
    """
    execute(empty_database_url, SCHEMA.read_text())
    loaded, migrated = (re.sub("[()]", "", dump(dsn)) for dsn in (empty_database_url, database_url))
    assert loaded == migrated

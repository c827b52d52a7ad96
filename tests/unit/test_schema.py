"""`sql/schema.sql` is what the migrations make."""

import os

import pytest

from tests.support.schema import SCHEMA, dump


@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="other releases of PostgreSQL show a schema differently")
def test_the_schema_file_is_up_to_date(database_url: str) -> None:
    """`sql/schema.sql` equals the schema that the migrations make; `make schema` writes it."""
    assert SCHEMA.read_text() == dump(database_url)

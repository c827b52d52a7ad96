"""The named queries against the migrated schema."""

from importlib.resources import files

import pytest

from seatsync.core.postgres.queries import load
from tests.support.sql import World

MODULES = sorted(
    file.name.removesuffix(".sql")
    for file in files("seatsync.sql").joinpath("queries").iterdir()
    if file.name.endswith(".sql")
)


@pytest.mark.parametrize("module", MODULES)
def test_every_query_can_be_prepared(world: World, module: str) -> None:
    """Each named query parses against the schema: tables, columns, functions and types are there."""
    queries = load(module)
    if module == "system":
        world.do("drop table schema_migration")
        world.do(queries["migration_table"].sql)
    for query in queries.values():
        world.prepare(query.sql)

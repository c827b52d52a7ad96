"""The named queries: the format of their files, and what the loader makes of them."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from seatsync.core.postgres.queries import Query, load

PACKAGE = Path(str(files("seatsync")))

FILES = [file for file in files("seatsync.sql").joinpath("queries").iterdir() if file.name.endswith(".sql")]


@pytest.mark.parametrize("name", [file.name for file in FILES])
def test_every_query_has_a_name_an_intent_and_a_statement(name: str) -> None:
    """The name is the only one of its kind, and nothing but comments stands above the first."""
    (text,) = (file.read_text() for file in FILES if file.name == name)
    above, *blocks = re.split(r"^(?=-- name:)", text, flags=re.MULTILINE)
    assert all(line.startswith("--") for line in above.splitlines() if line)
    queries = load(name.removesuffix(".sql"))
    assert list(queries) == [block.split("\n")[0].removeprefix("-- name: ") for block in blocks]
    for query, block in zip(queries.values(), blocks, strict=True):
        _, intent, rest = block.split("\n", 2)
        assert re.fullmatch(r"-- \S.*\.", intent)
        assert query.sql == rest.strip().removesuffix(";")


@pytest.mark.parametrize("name", [file.name for file in FILES])
def test_every_query_is_sent(name: str) -> None:
    """Its name stands in the code."""
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert [query for query in load(name.removesuffix(".sql")) if f'"{query}"' not in code] == []


def test_queries_cannot_be_replaced() -> None:
    """The loaded queries are read-only."""
    with pytest.raises(TypeError):
        load("hall")["snapshot"] = Query("snapshot", "select 1")  # type: ignore[index]  # the point of the test

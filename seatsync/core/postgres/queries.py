"""The named queries of ``sql/queries/*.sql``: a name, one line of intent, one statement with parameters.

::

    -- name: alive
    -- Succeeds while the database answers.
    select true;
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from attrs import frozen

_NAME = re.compile(r"-- name: ([a-z][a-z0-9_]*)")
_INTENT = re.compile(r"-- (\S.*)")


@frozen
class Query:
    """One SQL statement with positional parameters."""

    name: str
    summary: str
    """Its line of intent."""
    sql: str


def load(module: str) -> Mapping[str, Query]:
    """Return the queries of one file by name; raises `ValueError` with file and line for a malformed one."""
    filename = f"{module}.sql"
    text = files("seatsync.sql").joinpath("queries", filename).read_text(encoding="utf-8")
    return parse(text, filename)


def parse(text: str, filename: str) -> Mapping[str, Query]:
    """Return the queries in ``text``; comments may stand above the first. ``filename`` is for the errors."""
    queries: dict[str, Query] = {}
    preamble, *blocks = re.split(r"^(?=-- name:)", text, flags=re.MULTILINE)
    for line, content in enumerate(preamble.splitlines(), start=1):
        if content.strip() and not content.startswith("--"):
            raise ValueError(f"{filename}:{line}: a statement without a name")
    line = preamble.count("\n") + 1
    for block in blocks:
        query = _query(block.splitlines(), f"{filename}:{line}")
        if query.name in queries:
            raise ValueError(f"{filename}:{line}: a second query named {query.name}")
        queries[query.name] = query
        line += block.count("\n")
    return MappingProxyType(queries)


def _query(block: list[str], place: str) -> Query:
    name = _NAME.fullmatch(block[0].rstrip())
    if name is None:
        raise ValueError(f"{place}: a query's name is lower-case letters, digits and underscores")
    intent = _INTENT.fullmatch(block[1].rstrip()) if len(block) > 1 else None
    if intent is None:
        raise ValueError(f"{place}: {name[1]} needs one line of intent under its name")
    sql = "\n".join(block[2:]).strip().removesuffix(";").rstrip()
    if not sql:
        raise ValueError(f"{place}: {name[1]} has no statement")
    return Query(name[1], intent[1], sql)

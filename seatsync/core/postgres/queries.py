"""The named queries of ``sql/queries/*.sql``: a name, one sentence of intent, one statement with parameters.

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

_QUERY = re.compile(r"-- name: ([a-z][a-z0-9_]*)\n-- \S[^\n]*\.\n\s*([^\s;].*?)[\s;]*", re.DOTALL)


@frozen
class Query:
    """One SQL statement with positional parameters."""

    name: str
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
    if any(line.strip() and not line.startswith("--") for line in preamble.splitlines()):
        raise ValueError(f"{filename}:1: a statement without a name")
    line = preamble.count("\n") + 1
    for block in blocks:
        query = _QUERY.fullmatch(block)
        if query is None:
            raise ValueError(f"{filename}:{line}: not a lower-case name, a sentence of intent and a statement")
        if query[1] in queries:
            raise ValueError(f"{filename}:{line}: a second query named {query[1]}")
        queries[query[1]] = Query(query[1], query[2])
        line += block.count("\n")
    return MappingProxyType(queries)

"""The named queries of ``sql/queries/*.sql``: a name, one sentence of intent, one statement with parameters.

::

    -- name: alive
    -- Succeeds while the database answers.
    select true;
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from attrs import frozen

_QUERY = re.compile(
    r"^-- name: ([a-z][a-z0-9_]*)\n-- \S[^\n]*\.\n\s*([^\s;].*?)[\s;]*(?=^-- name:|\Z)", re.DOTALL | re.MULTILINE
)


@frozen
class Query:
    """One SQL statement with positional parameters."""

    name: str
    sql: str


@cache
def load(module: str) -> Mapping[str, Query]:
    """Return the queries of one file by name. A test holds the files to their format."""
    text = files("seatsync.sql").joinpath("queries", f"{module}.sql").read_text(encoding="utf-8")
    return MappingProxyType({name: Query(name, sql) for name, sql in _QUERY.findall(text)})

"""Comments in the database: `\\d+` and `\\df+` in psql explain the schema.

Partitions, and the triggers that they have of their parent, are left out: the parent has the comment.
"""

import pytest

from tests.support.sql import World

TABLES = "c.relnamespace = 'public'::regnamespace and c.relkind = any('{r,p,v,m,f}') and not c.relispartition"

OBJECTS = {
    "table": f"select c.relname, obj_description(c.oid, 'pg_class') from pg_class c where {TABLES}",
    "column": "select c.relname || '.' || a.attname, col_description(c.oid, a.attnum) "
    "from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped "
    f"where {TABLES}",
    "function": "select oid::regprocedure::text, obj_description(oid, 'pg_proc') from pg_proc "
    "where pronamespace = 'public'::regnamespace",
    "trigger": "select c.relname || '.' || t.tgname, obj_description(t.oid, 'pg_trigger') "
    "from pg_trigger t join pg_class c on c.oid = t.tgrelid "
    "where c.relnamespace = 'public'::regnamespace and not t.tgisinternal and t.tgparentid = 0",
    "type": "select typname, obj_description(t.oid, 'pg_type') from pg_type t left join pg_class c on c.oid = typrelid "
    "where typnamespace = 'public'::regnamespace and (typtype = any('{e,d,r}') or c.relkind = 'c')",
}
"""For each kind of object, a query for the names and comments of all of them in the schema."""


@pytest.mark.parametrize("kind", OBJECTS)
def test_everything_has_a_comment(world: World, kind: str) -> None:
    """Tables and views, columns, functions, triggers and types: each says what it is for."""
    found = world.rows(f"select name, comment from ({OBJECTS[kind]}) o (name, comment) order by name")
    assert found
    assert [name for name, comment in found if not comment] == []


def test_a_partition_needs_no_comment(world: World) -> None:
    """Partitions come and go with the days; a table does not."""
    world.do("create table parted (at date) partition by range (at)")
    world.do("create table parted_1 partition of parted for values from ('2026-01-01') to ('2026-01-02')")
    names = world.values(f"select name from ({OBJECTS['column']}) o (name, comment) where comment is null")
    assert names == ["parted.at"]

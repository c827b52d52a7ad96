"""Splitting SQL text into statements."""

import pytest

from seatsync.core.postgres.statements import split


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("", []),
        ("-- nothing; at all\n;;\n", []),
        ("select 1", ["select 1"]),
        ("select 1;\n\nselect 2;\n", ["select 1", "select 2"]),
        ("-- why; so\nselect 1; -- and; so\nselect 2", ["select 1", "select 2"]),
        ("select/* a; b\n'c */1; select 2", ["select 1", "select 2"]),
        ("select 'a;''b;'; select 2", ["select 'a;''b;'", "select 2"]),
        ("select e'a\\';b', E'\\\\'; select 2", ["select e'a\\';b', E'\\\\'", "select 2"]),
        ("select name'a\\'; select 2", ["select name'a\\'", "select 2"]),
        ('select 1 as "a;""b;"; select 2', ['select 1 as "a;""b;"', "select 2"]),
        ("do $$begin; 'end$$; select 2", ["do $$begin; 'end$$", "select 2"]),
        ("do $a$ $b$ ; $$ ; $a$; select 2", ["do $a$ $b$ ; $$ ; $a$", "select 2"]),
        ("select a$b$; select c$b$", ["select a$b$", "select c$b$"]),
        ("select $1 - 2 / 3; select '-- a'", ["select $1 - 2 / 3", "select '-- a'"]),
    ],
)
def test_semicolons_end_statements(sql: str, statements: list[str]) -> None:
    """Only a semicolon outside of comments, strings and quoted identifiers ends a statement; comments are left out."""
    assert split(sql) == statements

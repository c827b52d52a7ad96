"""The loader of named queries: the format of a file, and the errors of a malformed one."""

from importlib.resources import files

import pytest

from seatsync.core.postgres.queries import Query, load, parse

MODULES = [file.name for file in files("seatsync.sql").joinpath("queries").iterdir() if file.name.endswith(".sql")]


def test_a_query_has_a_name_an_intent_and_a_statement() -> None:
    """Comments may stand above the first name; the semicolon at the end is not part of the statement."""
    one, two = "-- name: one\n-- The number one.\nselect 1;\n\n", "-- name: two\n-- Two.\nselect\n    2\n"
    text = f"\n-- About numbers.\n\n-- All of them.\n{one}{two}"
    assert parse(text, "numbers.sql") == {
        "one": Query("one", "select 1"),
        "two": Query("two", "select\n    2"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select 1;", r"x\.sql:1: a statement without a name"),
        ("-- About.\n\nselect 1;\n", r"x\.sql:1: a statement without a name"),
        ("\n-- name: One\n-- One.\nselect 1;", r"x\.sql:2: not a lower-case name"),
        ("-- name: one two\n-- One.\nselect 1;", r"x\.sql:1: not a lower-case name"),
        ("-- name: one", r"x\.sql:1: not .* a sentence of intent"),
        ("-- name: one\nselect 1;", r"x\.sql:1: not .* a sentence of intent"),
        ("-- name: one\n--\nselect 1;", r"x\.sql:1: not .* a sentence of intent"),
        ("-- name: one\n-- One\nselect 1;", r"x\.sql:1: not .* a sentence of intent"),
        ("-- name: one\n-- One.\n\n;\n", r"x\.sql:1: not .* a statement"),
        ("-- name: one\n-- One.\n-- name: two\n-- Two.\nselect 2;", r"x\.sql:1: not .* a statement"),
        ("-- name: one\n-- One.\nselect 1;\n-- name: one\n-- Uno.\nselect 1;", r"x\.sql:4: a second query named one"),
    ],
)
def test_a_malformed_file_is_rejected(text: str, message: str) -> None:
    """A malformed file is rejected when it is loaded, with file and line."""
    with pytest.raises(ValueError, match=message):
        parse(text, "x.sql")


@pytest.mark.parametrize("filename", MODULES)
def test_the_files_of_the_package(filename: str) -> None:
    """Each loads."""
    assert load(filename.removesuffix(".sql"))


def test_queries_cannot_be_replaced() -> None:
    """The loaded queries are read-only."""
    with pytest.raises(TypeError):
        load("hall")["snapshot"] = Query("snapshot", "select 1")  # type: ignore[index]  # the point of the test

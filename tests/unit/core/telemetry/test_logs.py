"""Logs: target, format, and redaction."""

import io
import json
import logging
from typing import Any

import pytest
import structlog
import trio

from seatsync.core.telemetry.logs import QUIET, REDACTED, configure_logs

pytestmark = pytest.mark.usefixtures("restored_logs")


def logged(level: str = "info", **values: Any) -> dict[str, Any]:
    """One event as a program reads it."""
    stream = io.StringIO()
    configure_logs(level, "json", stream)
    structlog.get_logger("seatsync.test").info("happened", **values)
    line: dict[str, Any] = json.loads(stream.getvalue())
    return line


def test_an_event_is_one_line_of_json() -> None:
    """With its name, level, time in UTC and values."""
    line = logged(connection=7, user="ada")
    assert (line["event"], line["level"], line["connection"], line["user"]) == ("happened", "info", 7, "ada")
    assert line["timestamp"].endswith("Z")


def test_people_get_plain_lines() -> None:
    """The plain format has colours only on a terminal."""
    stream = io.StringIO()
    configure_logs("info", "console", stream)
    structlog.get_logger("seatsync.test").info("happened", user="ada")
    assert "happened" in stream.getvalue()
    assert "user=ada" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    "name", ["token", "code", "secret", "phrase", "password", "cookie", "Authorization", "jwt_secret", "visitor_cookie"]
)
def test_secrets_are_redacted(name: str) -> None:
    """Secrets are redacted by name, at any depth, in objects and lists."""
    assert logged(**{name: "hidden"})[name] == REDACTED
    assert "hidden" not in json.dumps(logged(data={"inner": [{name: "hidden"}], name: ["hidden"]}))


def test_passwords_in_addresses_are_redacted() -> None:
    """A driver's message may contain its address."""
    line = logged(error="cannot connect to postgresql://seats:hidden@db:5432/seats")
    assert line["error"] == f"cannot connect to postgresql://seats:{REDACTED}@db:5432/seats"


@pytest.mark.parametrize(
    "secret",
    ["ssk_" + "aB3_-" * 8 + "xyz", "ssk_" + "a" * 29, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJhbGciOi.e"],
)
def test_keys_and_tokens_are_redacted_anywhere(secret: str) -> None:
    """A client may put them in a path or a name; the log often shows only the beginning."""
    line = logged(type=f"/{secret}/api", reason=f"not '{secret}'", data=[secret])
    assert (line["type"], line["reason"], line["data"]) == (f"/{REDACTED}/api", f"not '{REDACTED}'", [REDACTED])


@pytest.mark.parametrize("name", ["ssk_" + "a" * 28, "eyJ" + "a" * 29])
def test_no_username_is_redacted(name: str) -> None:
    """Who looks like a key, at any length that a name may have, is named all the same."""
    assert logged(user=name)["user"] == name


def test_words_that_only_contain_a_secret_word_stay() -> None:
    """`encoded` is no code, and a close code is no secret."""
    assert logged(encoded=1, close_code=4001)["encoded"] == 1
    assert logged(encoded=1, close_code=4001)["close_code"] == 4001


def test_nothing_a_client_sends_reaches_the_terminal_as_control_characters() -> None:
    """No line breaks, which forge lines, no escape sequences, no surrogates."""
    assert logged(user="a\nb\x1b[31m\ud800")["user"] == r"a\nb\x1b[31m\ud800"


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_shows_no_values(style: str) -> None:
    """A traceback has no local variables, which may hold secrets."""
    stream = io.StringIO()
    configure_logs("info", style, stream)
    hidden = "hid" + "den"
    try:
        int("bad")
    except ValueError:
        structlog.get_logger("seatsync.test").exception("failed")
    assert "ValueError: invalid literal" in stream.getvalue()
    assert hidden not in stream.getvalue()


def test_levels() -> None:
    """Lines below the level are not written; `debug` applies to our own lines, not to the libraries'."""
    stream = io.StringIO()
    configure_logs("warning", "json", stream)
    structlog.get_logger("seatsync.test").info("unseen")
    configure_logs("debug", "json", stream)
    structlog.get_logger("seatsync.test").debug("seen")
    logging.getLogger("library").info("unseen")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["seen"]


def test_libraries_are_rendered_alike_and_kept_quiet() -> None:
    """Their warnings look like our lines; those about disconnected peers are dropped."""
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    logging.getLogger("library").warning("%d of %d", 1, 2)
    for name in QUIET:
        logging.getLogger(name).warning("unseen")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("1 of 2", "warning")]


def test_a_stream_that_cannot_be_written_does_not_stop_the_server() -> None:
    """The line is dropped without an error."""

    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    closed = io.StringIO()
    closed.close()
    for stream in (Broken(), closed):
        configure_logs("info", "json", stream)
        structlog.get_logger("seatsync.test").info("lost")


async def test_bound_fields_are_in_the_lines_of_child_tasks() -> None:
    """Bound fields, such as a connection's id, are inherited by child tasks."""
    stream = io.StringIO()
    configure_logs("info", "json", stream)

    async def child() -> None:
        structlog.get_logger("seatsync.test").info("happened")

    with structlog.contextvars.bound_contextvars(connection=7):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
    assert json.loads(stream.getvalue())["connection"] == 7

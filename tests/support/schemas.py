"""Checks what a server sends against the schemas of the protocol; no field may be there that they do not declare."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import fastjsonschema

from seatsync.cli.protocol import methods
from seatsync.schema.messages import json_schema

NAMES = {name: method.name for method in methods() for name in (method.name, *method.aliases)}

PAGES = {"/healthz": "Health", "/readyz": "Readiness"}

SCHEMA = json_schema(methods(), closed=True)


def check_frame(frame: Any) -> None:
    """Fails the test unless the message is one that the server may send."""
    failed = frame["status"] == "error"
    _check("Failure" if failed else f"{NAMES.get(frame['type'])}.{frame['status']}", frame)


def check_response(path: str, body: Any) -> None:
    """Fails the test unless the body is a response to a request of that path."""
    if body.get("status") == "error":
        _check("HttpFailure", body)
    elif path.startswith("/api/"):
        _check(f"{NAMES['.'.join(path.split('/')[-2:])]}.http", body)
    elif path in PAGES:
        _check(PAGES[path], body)


def check_close(reason: str | None) -> None:
    """Fails the test unless the reason of a close is one that the server may give."""
    if reason:
        _check("CloseReason", json.loads(reason))


def _check(name: str, message: Any) -> None:
    assert name in SCHEMA["$defs"], f"{name} is not declared: {json.dumps(message)[:1000]}"
    try:
        validator(name)(message)
    except fastjsonschema.JsonSchemaValueException as error:
        raise AssertionError(f"{name}: {error}: {json.dumps(message)[:1000]}") from None


@cache
def validator(name: str) -> Callable[[Any], Any]:
    """Raises unless its argument fits the schema of that name."""
    validate: Callable[[Any], Any] = fastjsonschema.compile(
        {"$schema": "http://json-schema.org/draft-07/schema", "$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]},
        use_default=False,
        use_formats=False,
    )
    return validate

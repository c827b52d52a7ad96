"""The documents by name."""

import json
from collections.abc import Callable, Iterable

from seatsync.core.protocol.registry import Method
from seatsync.schema.asyncapi import asyncapi
from seatsync.schema.messages import json_schema
from seatsync.schema.openapi import openapi
from seatsync.schema.typescript import typescript


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


DOCUMENTS: dict[str, Callable[[Iterable[Method]], str]] = {
    "asyncapi": lambda methods: _json(asyncapi(methods)),
    "openapi": lambda methods: _json(openapi(methods)),
    "typescript": typescript,
    "jsonschema": lambda methods: _json(json_schema(methods)),
}
"""Each makes a document's text from the methods."""

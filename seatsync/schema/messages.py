"""The schemas of all messages, and the document of JSON Schema."""

import inspect
from collections.abc import Iterable
from typing import Any

from seatsync.core.protocol.registry import Kind, Method
from seatsync.schema.envelope import CloseReason, Failure, Frame, Health, HttpFailure, HttpResponse, Readiness, Request
from seatsync.schema.types import Schema, Schemas


def request_of(schemas: Schemas, method: Method) -> Schema:
    """A message that calls the method."""
    data = schemas.of(method.params)
    request = _filled(schemas, Request, method, data)
    if "required" in schemas.object(method.params):
        request["required"].append("data")
    else:
        request["properties"]["data"] = {"anyOf": [data, {"type": "null"}]}
    return request


def replies_of(schemas: Schemas, method: Method) -> dict[str, Schema]:
    """The frames that the server sends under the method's type, errors apart, by ``status``."""
    subscribes = method.kind is Kind.SUBSCRIBE
    data = {"snapshot": method.result, "update": method.update} if subscribes else {"success": method.result}
    return {status: _filled(schemas, Frame, method, schemas.of(type_), status) for status, type_ in data.items()}


def response_of(schemas: Schemas, method: Method) -> Schema:
    """The body of a successful response over HTTP."""
    response = schemas.object(HttpResponse)
    response["properties"]["data"] = schemas.of(method.result)
    return response


def summary_of(method: Method) -> str:
    """The first sentence of the method's docstring."""
    return (inspect.getdoc(method.run) or "").partition("\n")[0]


def _filled(schemas: Schemas, envelope: type, method: Method, data: Schema, status: str | None = None) -> Schema:
    schema = schemas.object(envelope)
    types = [method.name, *method.aliases]
    schema["properties"]["type"] |= {"const": method.name} if len(types) == 1 else {"enum": types}
    schema["properties"]["data"] = data
    if status is not None:
        schema["properties"]["status"] = {"const": status}
    return schema


def json_schema(methods: Iterable[Method], *, closed: bool = False) -> dict[str, Any]:
    """A document of JSON Schema that every message of the server fits.

    Each message is named in it: ``<method>.request``, ``<method>.<status>``, ``<method>.http``, ``Failure``,
    ``HttpFailure`` and so on. With ``closed`` no field may be there that is not declared.
    """
    schemas = Schemas(closed=closed)
    sent = [schemas.of(Failure)]
    for apart in (HttpFailure, CloseReason, Health, Readiness):
        schemas.of(apart)
    for method in methods:
        schemas.named[f"{method.name}.request"] = request_of(schemas, method)
        for status, schema in replies_of(schemas, method).items():
            schemas.named[f"{method.name}.{status}"] = schema
            sent.append(schemas.ref(f"{method.name}.{status}"))
        if method.over_http:
            schemas.named[f"{method.name}.http"] = response_of(schemas, method)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Seats Sync: the messages of the server",
        "anyOf": sent,
        "$defs": schemas.named,
    }

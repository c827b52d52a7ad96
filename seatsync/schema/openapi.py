"""The methods over HTTP, and the pages, as an OpenAPI 3.1 document."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from seatsync.core.protocol.registry import Method
from seatsync.schema.envelope import Health, HttpFailure, Readiness
from seatsync.schema.messages import response_of, summary_of
from seatsync.schema.security import SCHEMES, WHO, needs_user
from seatsync.schema.types import Schema, Schemas

_FAILURE = {"$ref": "#/components/responses/failure"}
_JSON = "application/json"


def openapi(methods: Iterable[Method]) -> dict[str, Any]:
    """The document."""
    schemas = Schemas("#/components/schemas/")
    paths = {f"/api/{one.name.replace('.', '/', 1)}": _path(schemas, one) for one in methods if one.over_http}
    paths |= {
        "/healthz": _page("The process is alive.", schemas.of(Health)),
        "/readyz": _page("Whether the server can serve.", schemas.of(Readiness), failing="503"),
        "/metrics": _page("Metrics for Prometheus.", {"type": "string"}, "text/plain"),
        "/asyncapi.json": _page("The WebSocket as an AsyncAPI document.", {"type": "object"}),
        "/openapi.json": _page("This document.", {"type": "object"}),
        "/": _page("The endpoints, for people.", {"type": "string"}, "text/plain"),
        "/ws": {"get": {"summary": "The WebSocket.", "responses": {"101": {"description": "It is open."}}}},
    }
    retry = {"description": "The seconds to wait, where waiting helps.", "schema": {"type": "integer"}}
    failure = _response("The request failed.", schemas.of(HttpFailure)) | {"headers": {"Retry-After": retry}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Seats Sync", "version": version("seatsync")},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "responses": {"failure": failure},
            "securitySchemes": SCHEMES,
        },
    }


def _path(schemas: Schemas, method: Method) -> Schema:
    users: list[dict[str, list[str]]] = [{name: []} for name in SCHEMES]
    return {
        "post": {
            "operationId": method.name,
            "tags": [method.name.partition(".")[0]],
            "summary": summary_of(method),
            "description": WHO[method.access],
            "security": users if needs_user(method) else [{}, *users],
            "requestBody": {
                "required": "required" in schemas.object(method.params),
                "content": {_JSON: {"schema": schemas.of(method.params)}},
            },
            "responses": {"200": _response("The reply.", response_of(schemas, method)), "default": _FAILURE},
        }
    }


def _page(summary: str, schema: Schema, type_: str = _JSON, *, failing: str | None = None) -> Schema:
    responses = {status: _response(summary, schema, type_) for status in ("200", failing) if status is not None}
    return {"get": {"summary": summary, "responses": responses | {"default": _FAILURE}}}


def _response(description: str, schema: Schema, type_: str = _JSON) -> Schema:
    return {"description": description, "content": {type_: {"schema": schema}}}

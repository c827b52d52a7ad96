"""The WebSocket as an AsyncAPI 3 document."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from seatsync.core.http.upgrade import BEARER, SUBPROTOCOL
from seatsync.core.protocol.registry import Kind, Method
from seatsync.core.websocket.frames import CloseCode
from seatsync.schema.envelope import CloseReason, Failure
from seatsync.schema.messages import replies_of, request_of, summary_of
from seatsync.schema.security import SCHEMES, WHO, needs_user
from seatsync.schema.types import Schema, Schemas, texts_of

_CHANNEL = {"$ref": "#/channels/socket"}
_SECURITY = [{"$ref": f"#/components/securitySchemes/{name}"} for name in SCHEMES]
_FAILURE, _HEARTBEAT = "failure", "heartbeat"


def asyncapi(methods: Iterable[Method]) -> dict[str, Any]:
    """The document, from the server's point of view: it receives requests and sends updates."""
    schemas = Schemas("#/components/schemas/")
    messages = {
        _FAILURE: _message("A request failed, or a subscription has ended.", schemas.of(Failure)),
        _HEARTBEAT: _message("The heartbeat, answered by itself.", {"const": 1}, correlates=False),
    }
    operations: dict[str, Any] = {
        _HEARTBEAT: _operation("receive", "The heartbeat.", _HEARTBEAT, reply=[_HEARTBEAT]),
    }
    for method in methods:
        request, summary = f"{method.name}.request", summary_of(method)
        messages[request] = _message(summary, request_of(schemas, method))
        replies = replies_of(schemas, method)
        messages |= {f"{method.name}.{status}": _message(summary, reply) for status, reply in replies.items()}
        answers = [f"{method.name}.{status}" for status in replies if status != "update"]
        operation = _operation("receive", summary, request, reply=[*answers, _FAILURE])
        operation["description"] = WHO[method.access]
        if needs_user(method):
            operation["security"] = _SECURITY
        operations[method.name] = operation
        if method.kind is Kind.SUBSCRIBE:
            operations[f"{method.name}.updates"] = _operation(
                "send", summary, f"{method.name}.snapshot", f"{method.name}.update", _FAILURE
            )
    schemas.of(CloseReason)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Seats Sync", "version": version("seatsync"), "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {"server": _SERVER},
        "channels": {"socket": _channel(messages)},
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": schemas.named,
            "securitySchemes": SCHEMES | {"cookie": SCHEMES["cookie"] | {"type": "httpApiKey"}},
        },
        "x-close-codes": close_codes(),
    }


DESCRIPTION = (
    f"Live seat occupancy. A handshake may offer the subprotocols `{SUBPROTOCOL}`, which is selected, and "
    f"`{BEARER}<token>`, which signs in as a bearer token does. The text frame `1` is the heartbeat, answered with `1`."
)

_SERVER: Schema = {
    "host": "{host}",
    "pathname": "/ws",
    "protocol": "ws",
    "variables": {"host": {"default": "localhost:3001", "description": "Host and port; both ports serve WebSockets."}},
}


def close_codes() -> dict[str, str]:
    """Meaning and advice of each close code."""
    texts = texts_of(CloseCode)
    return {str(int(code)): texts[code.name] for code in CloseCode}


def _channel(messages: Iterable[str]) -> Schema:
    offers = {"type": "string", "description": DESCRIPTION}
    headers = {"type": "object", "properties": {"Sec-WebSocket-Protocol": offers}}
    return {
        "address": "/",
        "title": "One WebSocket for everything",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"method": "GET", "headers": headers, "bindingVersion": "0.1.0"}},
    }


def _message(summary: str, payload: Schema, *, correlates: bool = True) -> Schema:
    message: Schema = {"summary": summary, "payload": payload}
    if correlates:
        message["correlationId"] = {"location": "$message.payload#/eid"}
    return message


def _operation(action: str, summary: str, *messages: str, reply: Iterable[str] = ()) -> Schema:
    operation: Schema = {"action": action, "channel": _CHANNEL, "summary": summary, "messages": _refs(messages)}
    if reply:
        operation["reply"] = {"channel": _CHANNEL, "messages": _refs(reply)}
    return operation


def _refs(messages: Iterable[str]) -> list[Schema]:
    return [{"$ref": f"#/channels/socket/messages/{name}"} for name in messages]

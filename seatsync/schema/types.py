"""JSON Schema of declared types: the vocabulary of `seatsync.core.protocol.wire`."""

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from textwrap import dedent
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import attrs

from seatsync.core.protocol.params import MAX_ID, Id
from seatsync.core.protocol.wire import Rule

Schema = dict[str, Any]

_NULL: Schema = {"type": "null"}

_SCALARS: dict[Any, Schema] = {
    Any: {},
    None: _NULL,
    NoneType: _NULL,
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    UUID: {"type": "string", "format": "uuid"},
    Id: {"type": "integer", "minimum": 1, "maximum": MAX_ID},
}


class Schemas:
    """Makes schemas, and collects those with a name."""

    def __init__(self, prefix: str = "#/$defs/", *, closed: bool = False) -> None:
        """``prefix`` begins a reference to a named schema. With ``closed`` objects have no other fields."""
        self.named: dict[str, Schema] = {}
        self._prefix = prefix
        self._closed = closed

    def ref(self, name: str) -> Schema:
        """A reference to a named schema."""
        return {"$ref": self._prefix + name}

    def of(self, type_: Any) -> Schema:
        """The schema of a type, or a reference to it."""
        origin, arguments = get_origin(type_), get_args(type_)
        if attrs.has(type_):
            return self._name(type_.__name__, self.object(type_))
        if origin is Annotated:
            return self._refine(self.of(arguments[0]), (one.keywords for one in arguments[1:]))
        if origin in {Union, UnionType}:
            return _any_of([self.of(argument) for argument in arguments])
        if origin is Literal:
            return {"const": arguments[0]} if len(arguments) == 1 else {"type": "string", "enum": list(arguments)}
        if origin is list:
            return {"type": "array", "items": self.of(arguments[0])}
        return dict(_SCALARS[type_])

    def object(self, cls: type) -> Schema:
        """The schema of an attrs class, without a name."""
        texts = texts_of(cls)
        schema: Schema = {"type": "object", "description": inspect.getdoc(cls), "properties": {}, "required": []}
        for attribute in attrs.fields(cls):
            name = attribute.name.rstrip("_")
            rules = [attribute.validator.keywords] if isinstance(attribute.validator, Rule) else []
            field = self._refine(self.of(attribute.type), rules)
            if "required" in attribute.metadata:
                field = _without_null(field)
            if attribute.default is attrs.NOTHING or "required" in attribute.metadata:
                schema["required"].append(name)
            if attribute.name in texts:
                field["description"] = texts[attribute.name]
            schema["properties"][name] = field
        if not schema["required"]:
            del schema["required"]
        if self._closed:
            schema["additionalProperties"] = False
        return schema

    def _name(self, name: str, schema: Schema) -> Schema:
        """Keep a schema under its name; raises `ValueError` if another has it."""
        if self.named.setdefault(name, schema) != schema:
            raise ValueError(f"two types are named {name}")
        return self.ref(name)

    def _refine(self, schema: Schema, more: Iterable[Mapping[str, Any]]) -> Schema:
        """The schema with further keywords, which constrain no null."""
        for keywords in more:
            plain = _without_null(schema)
            refined = {**plain, **keywords}
            name = refined.pop("title", None)
            if name is not None:
                refined = self._name(name, refined)
            schema = refined if plain == schema else _any_of([refined, _NULL])
        return schema


def _any_of(schemas: list[Schema]) -> Schema:
    """Their union; a type with a name and null are one list of types."""
    others = [one for one in schemas if one != _NULL]
    if len(schemas) == 1:
        return schemas[0]
    if len(others) == 1 and "type" in others[0] and "enum" not in others[0]:
        return others[0] | {"type": [others[0]["type"], "null"]}
    return {"anyOf": schemas}


def _without_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), list):
        return schema | {"type": schema["type"][0]}
    if "anyOf" in schema:
        return _any_of([one for one in schema["anyOf"] if one != _NULL])
    return dict(schema)


@cache
def texts_of(cls: type) -> Mapping[str, str]:
    """The strings below the members of a class and of those that it inherits from."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        if base.__module__.startswith("seatsync."):
            (definition,) = ast.parse(dedent(inspect.getsource(base))).body
            found |= dict(_strings(definition))
    return found


def _strings(definition: ast.AST) -> Iterator[tuple[str, str]]:
    for member, text in pairwise(getattr(definition, "body", [])):
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            match member:
                case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                    yield name, " ".join(str(text.value.value).split())

"""Python's values as PostgreSQL's, and back: psycopg's types with a few of our own."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.adapt import AdaptersMap, Buffer, Dumper
from psycopg.types.datetime import TimestamptzBinaryLoader
from psycopg.types.string import TextBinaryLoader

from seatsync import jsontext


class _HexDumper(Dumper):
    """``bytes`` in PostgreSQL's hex format, which arrays may contain."""

    def dump(self, obj: bytes) -> bytes:
        return b"\\x" + obj.hex().encode()


class _TimeLoader(TimestamptzBinaryLoader):
    """A time; the first or the last that Python has for one beyond, such as ``infinity``: SQL may set it."""

    def load(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            is_early = bytes(data)[0] & 0x80
            return datetime.min.replace(tzinfo=UTC) if is_early else datetime.max.replace(tzinfo=UTC)


class _LabelLoader(TextBinaryLoader):
    """The label of an enum. Other unknown types are not text in binary format: their zeros show it."""

    def load(self, data: Buffer) -> str:
        label = bytes(data).decode()
        if "\0" in label:
            raise psycopg.DataError("a value of this type has to be cast to text")
        return label


def _adapters() -> AdaptersMap:
    """psycopg's types, but ``json`` as PostgreSQL's text, labels of enums as ``str``, and no time out of range."""
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(bytes, _HexDumper)
    adapters.register_loader("timestamptz", _TimeLoader)
    adapters.register_loader("json", TextBinaryLoader)
    adapters.register_loader(0, _LabelLoader)  # 0 is any type that psycopg does not know
    return adapters


ADAPTERS = _adapters()

_PLAIN = frozenset({int, str, UUID, type(None)})


def array(value: Any) -> Any:
    """A list as PostgreSQL writes arrays, where its JSON without the brackets is just that; else the value itself.

    psycopg, which takes the rest, needs ten times as long: a sixth of the CPU time of a write.
    """
    if type(value) is list and _PLAIN.issuperset(map(type, value)):
        with suppress(TypeError):  # a number or a string that is no JSON
            text = jsontext.dumps(value)
            if b"\\" not in text:
                return f"{{{text[1:-1].decode()}}}"
    return value

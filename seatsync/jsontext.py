"""JSON: orjson or, where that has no wheel yet (Python 3.15), the standard library made as strict.

`loads` and `dumps` are orjson's or those below. Both refuse what is not UTF-8, lone surrogates and NaN, and write UUIDs
and times as strings.
"""

import json
from datetime import datetime
from json import JSONDecodeError
from typing import Any
from uuid import UUID


def plain_loads(text: bytes | str, /) -> Any:
    """Parse JSON; raises `JSONDecodeError`, also for what is nested too deep."""
    try:
        value = json.loads(text if isinstance(text, str) else bytes(text).decode(), parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # refuses lone surrogates and 1e400
    except JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise JSONDecodeError(str(error), "", 0) from None
    return value


def plain_dumps(value: Any, /) -> bytes:
    """Return compact JSON; raises `TypeError` for what it cannot express."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_string)
        return text.encode()
    except ValueError as error:
        raise TypeError(str(error)) from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _as_string(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


try:
    from orjson import dumps, loads
except ImportError:
    dumps, loads = plain_dumps, plain_loads  # type: ignore[assignment]  # without orjson's options, which are not used

__all__ = ["JSONDecodeError", "dumps", "loads", "plain_dumps", "plain_loads"]

"""The parameters of methods: attrs classes structured from a request's JSON, without coercion."""

from collections.abc import Callable
from typing import Any, NewType, get_origin
from uuid import UUID

import attrs
import cattrs
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn, override

from seatsync import errors

#: An id in a request's data: a positive integer that fits PostgreSQL's bigint.
Id = NewType("Id", int)

MAX_ID = 2**63 - 1

_Hook = Callable[[Any, Any], Any]


@attrs.frozen
class NoParams:
    """The parameters of a method that takes none."""


def _checked(wanted: type, name: str, inner: _Hook = lambda value, _: value) -> _Hook:
    """A hook for values of exactly that type: ``true`` is no integer."""

    def hook(value: Any, target: Any) -> Any:
        if type(value) is not wanted:
            raise ValueError(f"{name} is needed")
        return inner(value, target)

    return hook


def _id(value: Any, _: Any) -> Id:
    if type(value) is not int or not 0 < value <= MAX_ID:
        raise ValueError("a positive integer is needed")
    return Id(value)


def _uuid(value: Any, _: Any) -> UUID:
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise ValueError("a UUID is needed") from None


def _is_list(cls: Any) -> bool:
    return get_origin(cls) is list


def _structure_fn(cls: Any) -> _Hook:
    """A field that has an underscore behind its name, as Python has a keyword of it, has none on the wire."""
    names = (attribute.name for attribute in attrs.fields(cls))
    renamed: Any = {name: override(rename=name.rstrip("_")) for name in names if name.endswith("_")}
    return make_dict_structure_fn(cls, _converter, **renamed)


_converter = cattrs.Converter()
_converter.register_structure_hook(str, _checked(str, "a string"))
_converter.register_structure_hook(int, _checked(int, "an integer"))
_converter.register_structure_hook(Id, _id)
_converter.register_structure_hook(UUID, _uuid)
_converter.register_structure_hook_factory(attrs.has, lambda cls: _checked(dict, "an object", _structure_fn(cls)))
_converter.register_structure_hook_factory(
    _is_list, lambda cls: _checked(list, "a list", list_structure_factory(cls, _converter))
)


def structure(data: Any, params: type) -> Any:
    """An instance of ``params`` from a request's ``data``; ``None`` stands for ``{}``.

    Raises the `SeatSyncError` of a field's validator, else a `ValidationError` with the path of the first bad field.
    """
    try:
        return _converter.structure({} if data is None else data, params)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError, OverflowError) as error:
        path, cause = _innermost(error)
        if isinstance(cause, errors.SeatSyncError):
            raise cause from None
        raise errors.ValidationError(f"{path or 'data'}: {_reason(cause)}.") from None


def _innermost(error: BaseException) -> tuple[str, BaseException]:
    """The first leaf of a tree of validation errors, after the path to it."""
    path = ""
    while isinstance(error, cattrs.BaseValidationError):
        error = error.exceptions[0]
        for note in getattr(error, "__notes__", ()):
            if isinstance(note, cattrs.AttributeValidationNote):
                path = f"{path}.{note.name}".strip("._")
            elif isinstance(note, cattrs.IterableValidationNote):
                path = f"{path}[{note.index}]"
    return path, error


def _reason(cause: BaseException) -> str:
    return "is missing" if isinstance(cause, KeyError) else str(cause) or "has the wrong shape"

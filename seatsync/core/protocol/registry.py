"""The methods by name: who may call each, what its parameters look like, and how it is run.

A domain hands over a table of `Method`; WebSocket connections and the HTTP side look methods up here and run them
the same way. Nothing here knows a transport.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from enum import Enum, auto
from typing import Any, NewType, Protocol, get_origin
from uuid import UUID

import attrs
import cattrs
import orjson
from attrs import frozen
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn

from seatsync import errors
from seatsync.core.protocol.call import WRITERS, Call, Client

#: JSON text made by PostgreSQL (or by `encode`), passed through as bytes.
Json = NewType("Json", bytes)

#: An id in a request's data: a positive integer that fits PostgreSQL's bigint.
Id = NewType("Id", int)

_MAX_ID = 2**63 - 1


class Access(Enum):
    """Who may call a method."""

    ANYONE = auto()
    READ = auto()
    """Everyone while ``PUBLIC_VIEW`` is on, else users."""
    USER = auto()
    WRITE = auto()
    """Users whose role may change seats."""


class Kind(Enum):
    """How a connection runs a method."""

    CALL = auto()
    """Awaited before the connection's next message is looked at."""
    WRITE = auto()
    """Queued at once, answered when it has committed; up to 64 of a connection at a time."""
    SUBSCRIBE = auto()
    """As `CALL`; WebSocket only; sends its own first frame."""
    UNSUBSCRIBE = auto()


class Pending(Protocol):
    """A write that was queued: what `Kind.WRITE` methods return."""

    def on_done(self, callback: Callable[["Pending"], None]) -> None:
        """Call ``callback(self)`` once, from the writer's task, when the outcome is known."""

    def result(self) -> Json:
        """The answer's data; raises the `SeatSyncError` the write ended in. Only after it is done."""

    async def wait(self) -> Json:
        """Wait for the outcome, then `result`. A cancellation does not take the write back."""


@frozen
class Method:
    """One method of the protocol."""

    name: str
    params: type
    """An attrs class."""
    run: Callable[[Call, Any], Any]
    """`Kind.WRITE`: a plain function that returns a `Pending`; else an async function that returns the answer's data
    (``None`` for SUBSCRIBE, which sends its own)."""
    access: Access = Access.ANYONE
    kind: Kind = Kind.CALL
    aliases: tuple[str, ...] = ()

    @property
    def over_http(self) -> bool:
        """Everything but the subscriptions."""
        return self.kind in {Kind.CALL, Kind.WRITE}


@frozen
class NoParams:
    """Parameters of a method that takes none."""


class _Converter(cattrs.Converter):
    """attrs classes from JSON without coercion: ``"7"`` is no integer and ``true`` is none either."""

    def __init__(self) -> None:
        super().__init__(detailed_validation=True, forbid_extra_keys=False)
        self.register_structure_hook(str, _exactly(str, "a string"))
        self.register_structure_hook(int, _exactly(int, "an integer"))
        self.register_structure_hook(Id, _id)
        self.register_structure_hook(UUID, _uuid)
        self.register_structure_hook_factory(attrs.has, self._object)
        self.register_structure_hook_factory(_is_list, self._list)

    def _object(self, cls: type) -> Callable[[Any, Any], Any]:
        inner: Callable[[Any, Any], Any] = make_dict_structure_fn(cls, self)

        def hook(value: Any, wanted: Any) -> Any:
            if type(value) is not dict:
                raise ValueError("an object is needed")
            return inner(value, wanted)

        return hook

    def _list(self, wanted: type) -> Callable[[Any, Any], Any]:
        inner = list_structure_factory(wanted, self)

        def hook(value: Any, wanted: Any) -> Any:
            if type(value) is not list:
                raise ValueError("a list is needed")
            return inner(value, wanted)

        return hook


def _exactly(wanted: type, name: str) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not wanted:
            raise ValueError(f"{name} is needed")
        return value

    return hook


def _is_list(wanted: Any) -> bool:
    return get_origin(wanted) is list


def _id(value: Any, _: Any) -> Id:
    if type(value) is not int or not 0 < value <= _MAX_ID:
        raise ValueError("a positive integer is needed")
    return Id(value)


def _uuid(value: Any, _: Any) -> UUID:
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise ValueError("a UUID is needed") from None


_converter = _Converter()


def structure(data: Any, params: type) -> Any:
    """An instance of ``params`` from a request's ``data``; ``None`` stands for ``{}``.

    A `SeatSyncError` raised by a field's validator passes through as it is; any other fault is a `ValidationError`
    that names the path of the offending field.
    """
    try:
        return _converter.structure({} if data is None else data, params)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError, OverflowError) as error:
        path, cause = _innermost(error)
        if isinstance(cause, errors.SeatSyncError):
            raise cause from None
        raise errors.ValidationError(f"{path}: {_reason(cause)}." if path else f"data: {_reason(cause)}.") from None


def _innermost(error: BaseException) -> tuple[str, BaseException]:
    """The first leaf of a tree of validation errors and the path that leads to it."""
    path = ""
    while isinstance(error, cattrs.BaseValidationError):
        error = error.exceptions[0]
        for note in getattr(error, "__notes__", ()):
            if isinstance(note, cattrs.AttributeValidationNote):
                path = f"{path}.{note.name}" if path else note.name
            elif isinstance(note, cattrs.IterableValidationNote):
                path = f"{path}[{note.index}]"
    return path, error


def _reason(cause: BaseException) -> str:
    return "is missing" if isinstance(cause, KeyError) else str(cause) or "has the wrong shape"


def encode(data: Any) -> Json:
    """The answer's data as JSON; bytes made by PostgreSQL pass through."""
    if isinstance(data, bytes):
        return Json(data)
    return Json(orjson.dumps(data, default=attrs.asdict))


class Registry:
    """The methods by name and alias."""

    def __init__(self, methods: Iterable[Method], *, public_view: bool) -> None:
        self._public_view = public_view
        self._methods: dict[str, Method] = {}
        for method in methods:
            for name in (method.name, *method.aliases):
                if name in self._methods:
                    raise ValueError(f"two methods are named {name}")
                self._methods[name] = method

    def __iter__(self) -> Iterator[Method]:
        """Each method once, in the order of the domains' tables."""
        return iter(dict.fromkeys(self._methods.values()))

    def find(self, name: str) -> Method:
        """The method of that name; raises `UnknownMessageType`."""
        try:
            return self._methods[name]
        except KeyError:
            raise errors.UnknownMessageType(f"There is no method {name[:64]!r}.") from None

    async def admit(self, call: Call, data: Any) -> Any:
        """Check the caller's rights, then the data; returns the method's parameters.

        Raises `Unauthorized`, `Forbidden`, `SessionExpired`, `ServiceUnavailable` or a fault of the data. It does not
        checkpoint unless the client's token still has to be checked.
        """
        await self._authorize(call.method.access, call.client)
        return structure(data, call.method.params)

    async def _authorize(self, access: Access, client: Client) -> None:
        if access is Access.ANYONE or (access is Access.READ and self._public_view):
            return
        if client.ended:
            raise errors.SessionExpired
        identity = await client.identify()
        if identity is None:
            raise errors.Unauthorized
        if access is Access.WRITE and identity.role not in WRITERS:
            raise errors.Forbidden

    async def answer(self, call: Call, data: Any) -> Json:
        """Admit the call, run its method and wait for the outcome: the whole way, for a caller that has only one.

        Raises the `SeatSyncError` the call ends in. A cancellation does not take a queued write back.
        """
        params = await self.admit(call, data)
        if call.method.kind is Kind.WRITE:
            pending: Pending = call.method.run(call, params)
            return await pending.wait()
        run: Callable[[Call, Any], Awaitable[Any]] = call.method.run
        return encode(await run(call, params))

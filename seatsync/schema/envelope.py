"""The envelopes of messages, over WebSockets and HTTP, and the pages in JSON."""

from typing import Annotated, Any, Literal

from seatsync import errors
from seatsync.core.protocol.envelope import MAX_EID_BYTES
from seatsync.core.protocol.wire import OPTIONAL, Count, Keywords, sent

_ERRORS = {code: {"message": error.sentence(), "http": errors.statuses(code)} for code, error in errors.BY_CODE.items()}

ErrorCode = Annotated[str, Keywords(title="ErrorCode", enum=list(errors.BY_CODE), **{"x-errors": _ERRORS})]


@sent
class Request:
    """A message of a client."""

    type: str
    data: Any = OPTIONAL
    """The parameters; unknown fields are ignored."""
    eid: Annotated[str, Keywords(maxLength=MAX_EID_BYTES)] | int = OPTIONAL
    """The client's own id for the message; the reply has it, as a string."""
    ts: float = OPTIONAL
    """The client's clock; ignored."""


@sent
class Frame:
    """A message of the server: a reply, or the state of a subscription or a change to it."""

    type: str
    """The request's."""
    status: Literal["success", "snapshot", "update"]
    data: Any
    error: None
    eid: str
    """The request's; of an update the subscription's."""
    ts: int
    """The server's clock, in milliseconds since the epoch."""


@sent
class Failure:
    """The reply to a request that failed, or the end of a subscription."""

    type: str
    """The request's; empty where that could not be read."""
    status: Literal["error"]
    data: None
    error: ErrorCode
    message: str
    """What is wrong, in a sentence."""
    retry_after: Annotated[float, Keywords(minimum=0)] = OPTIONAL
    """The seconds to wait, where waiting helps."""
    eid: str
    ts: int


@sent
class HttpResponse:
    """The response to a method over HTTP."""

    data: Any
    status: Literal["success"]
    error: None


@sent
class HttpFailure:
    """The response to an HTTP request that failed."""

    data: None
    status: Literal["error"]
    error: ErrorCode
    message: str
    """What is wrong, in a sentence."""
    retry_after: Annotated[float, Keywords(minimum=0)] = OPTIONAL
    """The seconds to wait, where waiting helps."""


@sent
class CloseReason:
    """The reason of a close frame, as JSON."""

    reason: str
    retry_ms: Annotated[list[Count], Keywords(minItems=2, maxItems=2)] = OPTIONAL
    """Connect again after a random wait between these milliseconds."""


@sent
class Health:
    """The process is alive."""

    alive: Literal[True]


@sent
class Readiness:
    """The readiness of the server, and the part that fails."""

    ready: bool
    database: str
    """`ok`, or what is wrong with it."""
    feed: Literal["live", "lost"]
    server: Literal["ok", "stopping"]

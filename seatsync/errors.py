"""Every error that a client receives: one tree, one wire code and one HTTP status each.

A class's docstring is the default ``message`` on the wire. The first level is whose fault it is::

    SeatSyncError
    ├── ClientFault     the request cannot be served as it is
    │   ├── BadInput        it is malformed                 400 and others
    │   ├── NotAllowed      the sender lacks the right      401, 403
    │   ├── Missing         its subject does not exist      404
    │   ├── Refused         the present state forbids it    409
    │   └── TooMuch         it exceeds a limit              429
    ├── InternalServerError   a bug                         500
    ├── ServiceUnavailable    PostgreSQL is out of reach    503
    └── TooManyConnections    the server is full            503
"""

from typing import ClassVar, TypeGuard


class Failure(Exception):
    """A command cannot do its work. The message is one sentence for the person who ran it; no client reads it."""


class StartError(Failure):
    """A server cannot start."""


class SeatSyncError(Exception):
    """Something went wrong."""

    code: str = "InternalServerError"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        """``message`` replaces the docstring's sentence; ``retry_after`` is in seconds."""
        self.message = message or self.sentence()
        self.retry_after = retry_after
        super().__init__(self.message)

    def __init_subclass__(cls, status: int | None = None, code: str | None = None) -> None:
        """A class's name is its wire code unless ``code`` is given; ``status`` is inherited unless given."""
        cls.code = code or cls.__name__
        if status is not None:
            cls.http_status = status

    @classmethod
    def sentence(cls) -> str:
        """The default message: the first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]


class ClientFault(SeatSyncError, status=400):
    """The request cannot be served as it is."""


class BadInput(ClientFault):
    """The request is malformed."""


class NotAllowed(ClientFault, status=401):
    """The sender may not do that."""


class Missing(ClientFault, status=404):
    """There is no such thing."""


class Refused(ClientFault, status=409):
    """The present state does not allow that."""


class TooMuch(ClientFault, status=429):
    """That is one too many."""


# system


class InternalServerError(SeatSyncError):
    """The server met an error of its own; the request may be sent again."""


class ValidationError(BadInput):
    """The data of the request has the wrong shape."""


class Unauthorized(NotAllowed):
    """Sign in first."""


class Forbidden(NotAllowed, status=403):
    """Your role does not allow that."""


class NotFound(Missing):
    """There is nothing here."""


class MethodNotAllowed(BadInput, status=405, code="BadRequest"):
    """That HTTP method is not allowed here."""


class BadRequest(BadInput):
    """The request is not understood."""


class RouteNotFound(Missing):
    """There is no such route."""


class RateLimitExceeded(TooMuch):
    """Too many messages; wait a moment."""


class UnknownMessageType(Missing):
    """There is no such method."""


class MessageTooLarge(BadInput, status=413):
    """The message is too large."""


class MessageTypeRequired(BadInput):
    """The message has no type."""


class TooManyRequests(TooMuch):
    """Too many requests; wait a moment."""


class TooManyConnections(SeatSyncError, status=503):
    """The server has no room for another connection; try again later."""


class TooManySubscriptions(TooMuch):
    """This connection has as many subscriptions as it may have."""


class SubscriptionAlreadyExists(Refused):
    """This connection already has a subscription with that eid."""


class SubscriptionNotFound(Missing):
    """This connection has no subscription with that sub_eid."""


class ServiceUnavailable(SeatSyncError, status=503):
    """The database cannot be reached just now; try again in a moment."""


# HTTP requests as such; `MessageTooLarge` (413) and `MethodNotAllowed` (405) are above


class MalformedRequest(BadInput, code="BadRequest"):
    """The request does not follow HTTP/1.1."""


class RequestTimeout(BadInput, status=408, code="BadRequest"):
    """The request took too long to arrive."""


class TargetTooLong(BadInput, status=414, code="BadRequest"):
    """The address of the request is too long."""


class UpgradeRequired(BadInput, status=426, code="BadRequest"):
    """This address speaks the WebSocket protocol, version 13, only."""


class HeadTooLarge(BadInput, status=431, code="BadRequest"):
    """The header fields of the request are too large."""


# user


class InvalidUsername(BadInput):
    """A username is 3 to 32 letters, digits, hyphens and underscores."""


class RequiredUsername(BadInput):
    """A username is needed."""


class UserNotFound(Missing):
    """There is no such user."""


class UserAlreadyExists(Refused):
    """There already is a user of that name."""


class InvalidCode(NotAllowed):
    """That code is not valid."""


class RegistrationInProgress(Refused):
    """Somebody else is registering that name just now; try again in a few minutes."""


class RegistrationNotInProgress(Refused):
    """No registration of that name has been begun here."""


class RegistrationExpired(Refused):
    """The registration took too long; begin anew."""


class RegistrationClosed(NotAllowed, status=403):
    """Registration is closed here; ask an administrator for an account."""


class TooManyLoginAttempts(TooMuch):
    """Too many wrong codes; wait before the next one."""


class TooManyValidationAttempts(TooMuch):
    """Too many attempts; wait before the next one."""


class InvalidRecoveryPhrase(NotAllowed):
    """That recovery phrase is not valid."""


class TokenExpired(NotAllowed):
    """The token has expired; sign in again."""


class TokenInvalid(NotAllowed):
    """The token is not valid; sign in again."""


class SessionExpired(NotAllowed):
    """The session has ended; sign in again."""


# domain


class CinemaNotFound(Missing):
    """There is no such cinema."""


class HallNotFound(Missing):
    """There is no such hall."""


class HistoryNotFound(Missing):
    """The history of the hall does not go there."""


class RequiredHallId(BadInput):
    """The id of a hall is needed."""


class SeatNotFound(Missing):
    """There is no such seat in this hall."""


class SeatOccupied(Refused):
    """The seat is occupied."""


class SeatReserved(Refused):
    """The seat is reserved by somebody else."""


class SeatConflict(Refused):
    """The seat is not in the state that this change needs."""


class InvalidSeatData(BadInput):
    """A rule of the database does not allow that value for a seat."""


class SeatTypeNotFound(Missing):
    """There is no such seat type."""


def leaves(error: type[SeatSyncError]) -> list[type[SeatSyncError]]:
    """The classes at the ends of the tree below a class."""
    children = error.__subclasses__()
    return [leaf for child in children for leaf in leaves(child)] if children else [error]


#: Wire code → class, for the codes that SQL functions return.
BY_CODE = {error.code: error for error in leaves(SeatSyncError) if error.code == error.__name__}


def statuses(code: str) -> list[int]:
    """The HTTP statuses of a wire code."""
    return sorted({error.http_status for error in leaves(SeatSyncError) if error.code == code})


def is_for_clients(error: Exception) -> TypeGuard[SeatSyncError]:
    """A client may read the error; any other is a bug, and the client reads a plain `InternalServerError`."""
    return isinstance(error, SeatSyncError) and not isinstance(error, InternalServerError)


def from_code(code: str, message: str | None = None) -> SeatSyncError:
    """The error of a code that a SQL function returned."""
    return BY_CODE.get(code, InternalServerError)(message)

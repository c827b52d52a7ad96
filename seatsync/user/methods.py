"""The methods ``user.*``: registration with an authenticator, sign-in, and recovery by a phrase."""

import time
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from attrs import Factory, evolve, field, frozen

from seatsync import errors
from seatsync.config import Settings
from seatsync.core.connections.connection import at_end, subscribing, unsubscribing
from seatsync.core.net.networks import client_network
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.session import Row
from seatsync.core.protocol.call import Call, Login, Reply, new_id
from seatsync.core.protocol.params import NoParams
from seatsync.core.protocol.registry import Access, Kind, Method
from seatsync.core.protocol.wire import Done
from seatsync.user import phrases
from seatsync.user.auth_events import failures_recorded
from seatsync.user.last_seen import LastSeen
from seatsync.user.login_topic import SUBSCRIBE, LoginTopic, state_of
from seatsync.user.messages import (
    GUEST,
    Candidate,
    Coded,
    Guest,
    KnownUser,
    Named,
    NamedCode,
    NamedPhrase,
    NewSession,
    Phrase,
    Phrased,
    SignedIn,
)
from seatsync.user.secrets import Secrets
from seatsync.user.store import QUERIES, begin_attempt, digest, find_enrolment, open_session
from seatsync.user.tokens import Clock, Tokens
from seatsync.user.totp import Draw, qr_code

_DONE = {"success": True}

#: The methods of this domain that a service key may call.
_FOR_SERVICES = frozenset({"user.status", SUBSCRIBE})

_NO_COOKIE = (
    "The request has no cookie of the one that began it: send cookies with both; a page of another site, which gets "
    "none, signs in over its WebSocket."
)

logger = structlog.get_logger(__name__)


@frozen
class UserMethods:
    """The API of this domain."""

    _db: Database
    _tokens: Tokens
    _settings: Settings
    _logins: LoginTopic
    _clock: Clock = time.time
    _seen: LastSeen = field(kw_only=True)
    _phrase_cost: phrases.Cost = field(default=phrases.Cost(), kw_only=True)
    _draw: Draw = field(default=qr_code, kw_only=True)
    _secrets: Secrets = field(
        default=Factory(lambda self: Secrets(self._settings, self._clock, self._draw), takes_self=True), init=False
    )

    @property
    def _is_open(self) -> bool:
        return self._settings.registration == "open"

    def table(self) -> tuple[Method, ...]:
        """The methods of this domain."""
        recorded = partial(failures_recorded, self._db)
        methods = (
            Method("user.status", NoParams, status, result=Guest | SignedIn),
            Method(
                SUBSCRIBE,
                NoParams,
                self.subscribe,
                Access.IDENTIFIED,
                Kind.SUBSCRIBE,
                result=Guest | SignedIn,
                update=Guest | SignedIn,
            ),
            unsubscribing("user.unsubscribe", SUBSCRIBE),
            Method("user.auth_start", Named, self.start_registration, makes_visitor=True, result=KnownUser | Candidate),
            Method("user.auth_reset", Named, self.drop_registration, result=Done),
            Method("user.register", NamedCode, self.register, makes_visitor=True, result=NewSession),
            Method("user.login", NamedCode, recorded(self.log_in), makes_visitor=True, result=NewSession),
            Method("user.logout", NoParams, self.log_out, result=Done),
            Method("user.recovery_phrase", Coded, recorded(self.offer_phrase), Access.USER, result=Phrase),
            Method("user.save_recovery_phrase", Phrased, self.save_phrase, Access.USER, result=Done),
            Method("user.recover", NamedPhrase, recorded(self.recover), makes_visitor=True, result=Candidate),
        )
        return tuple(evolve(method, people_only=method.name not in _FOR_SERVICES) for method in methods)

    def subscribe(self, call: Call, _: NoParams) -> None:
        """The login state now, and its next change."""
        with subscribing(call, self._logins) as subscriber:
            self._logins.subscribe(subscriber, call.client)

    # Registration

    async def start_registration(self, call: Call, params: Named) -> Reply:
        """Find the user, or begin to enrol an authenticator.

        What is begun over HTTP belongs to a new id, which only this response has: a cookie known before does not do.
        Raises `RegistrationClosed`, `RegistrationInProgress`, `TooManyRequests`; `UserAlreadyExists` for the name of a
        service, which cannot sign in.
        """
        await self._count_lookup(call, params.username)
        client, secret, owner = call.client, self._secrets.new(params.username), self._owner(call)
        new_owner = new_id() if call.transport == "http" else client.enrolment
        visitor, network = _device(call)
        args = (params.username, visitor, owner, digest(new_owner), network, secret, self._is_open)
        enrolment = await find_enrolment(self._db, "start_registration", *args)
        if enrolment["id"] is None:
            return Reply(data={"status": "user", "username": enrolment["username"]})
        data = await self._secrets.candidate(enrolment["username"], enrolment["secret"])
        return Reply(data=data, enrolment=new_owner if enrolment["secret"] == secret else None)

    async def drop_registration(self, call: Call, params: Named) -> dict[str, bool]:
        """Delete the client's registration of that username, if there is one."""
        await self._db.execute(QUERIES["drop_registration"], params.username, digest(call.client.enrolment))
        return _DONE

    def _owner(self, call: Call) -> bytes:
        """The owner of an enrolment that the call may begin. One over a WebSocket ends with its connection."""
        owner = digest(call.client.enrolment)
        at_end(call, partial(self._db.execute, QUERIES["drop_enrolments"], owner))
        return owner

    async def register(self, call: Call, params: NamedCode) -> Reply:
        """Complete a registration or a recovery, and open a session.

        Raises `UserAlreadyExists`, `RegistrationClosed`, `RegistrationNotInProgress`, `RegistrationExpired`,
        `TooManyValidationAttempts`, `InvalidCode`; `TooManyRequests` to who would find out whether the user exists.
        """
        owner = digest(call.client.enrolment)
        try:
            enrolment = await find_enrolment(self._db, "find_enrolment", params.username, owner, self._is_open)
        except (errors.UserAlreadyExists, errors.RegistrationNotInProgress, errors.RegistrationClosed) as error:
            await self._count_lookup(call, params.username)
            if call.transport == "http" and call.client.visitor_is_new:
                raise type(error)(f"{error.message} {_NO_COOKIE}") from None
            raise
        step = self._secrets.step(params.username, enrolment["secret"], params.code)
        confirmed = enrolment["id"], enrolment["secret"], step
        gone = errors.RegistrationNotInProgress
        if enrolment["user_id"] is None:
            account = self._settings.default_role, call.client.is_local and not self._settings.is_published
            return await self._open_session(call, gone, "create_account", *confirmed, *account)
        return await self._open_session(call, gone, "finish_recovery", *confirmed)

    # Sign-in

    async def log_in(self, call: Call, params: NamedCode) -> Reply:
        """Open a session with a code.

        Raises `TooManyRequests`, `UserNotFound`, `TooManyLoginAttempts`, `InvalidCode`.
        """
        await self._count_lookup(call, params.username)
        try:
            user = await begin_attempt(
                self._db,
                "begin_login",
                params.username,
                *_device(call),
                call.client.address,
                missing=errors.UserNotFound,
                throttled=errors.TooManyLoginAttempts,
            )
        except errors.UserNotFound:
            with suppress(errors.InvalidCode):  # takes the time that a user's code takes
                self._secrets.step(params.username, self._secrets.new(params.username), params.code)
            raise
        step = self._secrets.step(params.username, user["secret"], params.code)
        if user["is_disabled"]:  # only now: a right code has to take the time of a wrong one
            raise errors.InvalidCode
        proof = user["user_id"], user["secret"], step, user["is_known"]
        return await self._open_session(call, errors.InvalidCode, "log_in", *proof)

    async def log_out(self, call: Call, _: NoParams) -> Reply:
        """End the call's session; a guest, who has none, receives the same reply."""
        identity = await call.client.identify()
        if identity is not None:
            client = call.client
            args = (identity.session_id, client.address, digest(client.visitor))
            await self._db.execute(QUERIES["end_session"], *args)
            logger.info("logout", user=identity.username, address=client.address)
        return Reply(data=_DONE, logged_out=True, announcement=GUEST)

    async def _open_session(self, call: Call, gone: type[errors.SeatSyncError], query: str, *args: Any) -> Reply:
        """Open a session in place of the call's own; raises ``gone`` if what was checked has changed meanwhile.

        Over HTTP the visitor changes, so that an id planted before the login is worth nothing after it; a WebSocket
        cannot set the cookie.
        """
        client, identity = call.client, await call.client.identify()
        replaces = None if identity is None else identity.session_id
        visitor = new_id() if call.transport == "http" else client.visitor
        seen, network = _device(call)
        args = (*args, replaces, seen, digest(visitor), network, client.address)
        opened = await open_session(self._db, query, *args)
        if opened is None:
            raise gone
        username = opened["username"]
        token = self._tokens.issue(opened["user_id"], opened["session_id"], opened["expires_at"].timestamp())
        self._seen.note(opened["session_id"], client.address, client.user_agent)
        logger.info("login", user=username, type=call.method, address=client.address)
        return Reply(
            data={"status": "user", "username": username, "token": token},
            login=Login(token, visitor),
            announcement={"status": "user", "username": username, "role": opened["role"]},
        )

    # Recovery

    async def offer_phrase(self, call: Call, params: Coded) -> dict[str, str]:
        """A new phrase; `save_phrase` puts it in force, within 15 minutes.

        Raises `SessionExpired`, `TooManyValidationAttempts`, `InvalidCode`.
        """
        identity, device = call.identity, _device(call)
        attempt = (identity.session_id, *device, call.client.address)
        user = await begin_attempt(self._db, "begin_code", *attempt, missing=errors.SessionExpired)
        step, phrase = self._secrets.step(identity.username, user["secret"], params.code), phrases.new_phrase()
        phrase_hash = await phrases.hash_phrase(phrase, self._phrase_cost)
        args = (user["user_id"], user["secret"], step, phrase_hash, *device, user["is_known"])
        if await self._db.fetchrow(QUERIES["offer_phrase"], *args) is None:
            raise errors.InvalidCode
        return {"phrase": phrase}

    async def save_phrase(self, call: Call, params: Phrased) -> dict[str, bool]:
        """Put the offered phrase in force.

        Raises `SessionExpired`, `TooManyValidationAttempts`, `InvalidRecoveryPhrase`.
        """
        identity = call.identity
        offer = await begin_attempt(self._db, "begin_save", identity.session_id, missing=errors.SessionExpired)
        await self._check_phrase(offer, params.phrase)
        if not await self._db.fetchval(QUERIES["save_phrase"], offer["user_id"], offer["phrase_hash"]):
            raise errors.InvalidRecoveryPhrase
        logger.info("recovery_phrase_saved", user=identity.username, address=call.client.address)
        return _DONE

    async def recover(self, call: Call, params: NamedPhrase) -> dict[str, str]:
        """Enrol a new authenticator in exchange for the phrase, which is used up once a code confirms the enrolment.

        Raises `TooManyRequests`, `UserNotFound`, `TooManyValidationAttempts` (before the phrase is compared),
        `InvalidRecoveryPhrase`.
        """
        await self._count_lookup(call, params.username)
        visitor, network = _device(call)
        attempt = (params.username, visitor, network, call.client.address)
        user = await begin_attempt(self._db, "begin_recovery", *attempt, missing=errors.UserNotFound)
        await self._check_phrase(user, params.phrase)
        owner, secret = self._owner(call), self._secrets.new(params.username)
        args = (user["user_id"], user["phrase_hash"], visitor, owner, network, secret)
        username = await self._db.fetchval(QUERIES["start_recovery"], *args)
        if username is None:
            raise errors.InvalidRecoveryPhrase
        logger.info("recovery_begun", user=username, address=call.client.address)
        return await self._secrets.candidate(username, secret)

    async def _check_phrase(self, row: Row, phrase: str) -> None:
        """Raises `InvalidRecoveryPhrase`, for a user without a phrase too, and no sooner."""
        stored = row["phrase_hash"]
        if not await phrases.matches(phrase, stored or phrases.hash_of_none(self._phrase_cost)) or stored is None:
            raise errors.InvalidRecoveryPhrase

    async def _count_lookup(self, call: Call, username: str) -> None:
        """Count a question about a name before it is answered; raises `TooManyRequests`."""
        args = (username, *_device(call), self._settings.lookups_per_minute)
        if (wait := await self._db.fetchval(QUERIES["count_lookup"], *args)) > 0:
            raise errors.TooManyRequests(retry_after=wait)


async def status(call: Call, _: NoParams) -> dict[str, str]:
    """The login state of the caller."""
    await call.client.identify()
    return state_of(call.client)


def _device(call: Call) -> tuple[bytes, str]:
    """The marks of a caller without a session: the hash of its visitor id, and its network."""
    return digest(call.client.visitor), client_network(call.client.address)

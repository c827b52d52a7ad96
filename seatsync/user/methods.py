"""The methods ``user.*``: registration with an authenticator, sign-in, and recovery by a phrase."""

import time
from typing import Any

import structlog

from seatsync import errors
from seatsync.config import Settings
from seatsync.core.connections.connection import subscribing, unsubscribing
from seatsync.core.http.cookies import new_visitor
from seatsync.core.net.networks import client_network, is_loopback
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.session import Row
from seatsync.core.protocol.call import Call, Identity, Login, Reply
from seatsync.core.protocol.params import NoParams
from seatsync.core.protocol.registry import Access, Kind, Method
from seatsync.user import phrases, totp
from seatsync.user.login_topic import SUBSCRIBE, LoginTopic, state_of
from seatsync.user.messages import GUEST, Coded, Named, NamedCode, NamedPhrase, Phrased
from seatsync.user.store import QUERIES, begin_attempt, digest, find_enrolment, open_session
from seatsync.user.tokens import Clock, Tokens

_DONE = {"success": True}

logger = structlog.get_logger(__name__)


class UserMethods:
    """The API of this domain; codes are checked against ``clock``."""

    def __init__(
        self, db: Database, tokens: Tokens, settings: Settings, logins: LoginTopic, clock: Clock = time.time
    ) -> None:
        self._db = db
        self._logins = logins
        self._tokens = tokens
        self._clock = clock
        self._allowed = settings.registration == "open"
        self._role = settings.default_role

    def table(self) -> tuple[Method, ...]:
        """The methods of this domain."""
        return (
            Method("user.status", NoParams, status),
            Method(SUBSCRIBE, NoParams, self.subscribe, Access.IDENTIFIED, Kind.SUBSCRIBE),
            unsubscribing("user.unsubscribe", SUBSCRIBE),
            Method("user.auth_start", Named, self.start_registration),
            Method("user.auth_reset", Named, self.drop_registration),
            Method("user.register", NamedCode, self.register),
            Method("user.login", NamedCode, self.log_in),
            Method("user.logout", NoParams, self.log_out),
            Method("user.recovery_phrase", Coded, self.offer_phrase, Access.USER),
            Method("user.save_recovery_phrase", Phrased, self.save_phrase, Access.USER),
            Method("user.recover", NamedPhrase, self.recover),
        )

    def subscribe(self, call: Call, _: NoParams) -> None:
        """The login state now, and its next change."""
        with subscribing(call, self._logins) as subscriber:
            self._logins.subscribe(subscriber, call.client)

    # Registration

    async def start_registration(self, call: Call, params: Named) -> dict[str, str]:
        """Find the user, or begin to enrol an authenticator.

        Raises `RegistrationClosed`, `RegistrationInProgress`, `TooManyRequests`.
        """
        visitor, network = digest(call.client.visitor), client_network(call.client.address)
        args = (params.username, visitor, network, totp.new_secret(), self._allowed)
        enrolment = await find_enrolment(self._db, "start_registration", *args)
        if enrolment["id"] is None:
            return {"status": "user", "username": enrolment["username"]}
        return await _candidate(enrolment["username"], enrolment["secret"])

    async def drop_registration(self, call: Call, params: Named) -> dict[str, bool]:
        """Delete the visitor's registration of that username, if there is one."""
        await self._db.execute(QUERIES["drop_registration"], params.username, digest(call.client.visitor))
        return _DONE

    async def register(self, call: Call, params: NamedCode) -> Reply:
        """Complete a registration or a recovery, and open a session.

        Raises `UserAlreadyExists`, `RegistrationClosed`, `RegistrationNotInProgress`, `RegistrationExpired`,
        `TooManyValidationAttempts`, `InvalidCode`.
        """
        visitor = digest(call.client.visitor)
        enrolment = await find_enrolment(self._db, "find_enrolment", params.username, visitor, self._allowed)
        confirmed = enrolment["id"], enrolment["secret"], self._step(enrolment, params.code)
        gone = errors.RegistrationNotInProgress
        if enrolment["user_id"] is None:
            account = self._role, is_loopback(call.client.address)
            return await self._open_session(call, gone, "create_account", *confirmed, *account)
        return await self._open_session(call, gone, "finish_recovery", *confirmed)

    # Sign-in

    async def log_in(self, call: Call, params: NamedCode) -> Reply:
        """Open a session with a code. Raises `UserNotFound`, `TooManyLoginAttempts`, `InvalidCode`."""
        user = await begin_attempt(
            self._db,
            "begin_login",
            params.username,
            digest(call.client.visitor),
            missing=errors.UserNotFound,
            throttled=errors.TooManyLoginAttempts,
        )
        step = self._step(user, params.code)
        return await self._open_session(call, errors.InvalidCode, "log_in", user["user_id"], user["secret"], step)

    async def log_out(self, call: Call, _: NoParams) -> Reply:
        """End the call's session; a guest, who has none, receives the same reply."""
        identity = await call.client.identify()
        if identity is not None:
            await self._db.execute(QUERIES["end_session"], identity.session_id)
            logger.info("logout", user=identity.username)
        return Reply(data=_DONE, logged_out=True, announcement=GUEST)

    async def _open_session(self, call: Call, gone: type[errors.SeatSyncError], query: str, *args: Any) -> Reply:
        """Open a session in place of the call's own; raises ``gone`` if what was checked has changed meanwhile.

        Over HTTP the visitor changes, so that an id planted before the login is worth nothing after it; a WebSocket
        cannot set the cookie.
        """
        client, identity = call.client, await call.client.identify()
        replaces = None if identity is None else identity.session_id
        visitor = new_visitor() if call.transport == "http" else client.visitor
        opened = await open_session(self._db, query, *args, replaces, digest(client.visitor), digest(visitor))
        if opened is None:
            raise gone
        username = opened["username"]
        token = self._tokens.issue(opened["user_id"], opened["session_id"], opened["expires_at"].timestamp())
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
        session_id, visitor = (await _identity(call)).session_id, digest(call.client.visitor)
        user = await begin_attempt(self._db, "begin_code", session_id, visitor, missing=errors.SessionExpired)
        step, phrase = self._step(user, params.code), phrases.new_phrase()
        args = (user["user_id"], user["secret"], step, await phrases.hash_phrase(phrase), visitor)
        if await self._db.fetchrow(QUERIES["offer_phrase"], *args) is None:
            raise errors.InvalidCode
        return {"phrase": phrase}

    async def save_phrase(self, call: Call, params: Phrased) -> dict[str, bool]:
        """Put the offered phrase in force.

        Raises `SessionExpired`, `TooManyValidationAttempts`, `InvalidRecoveryPhrase`.
        """
        identity = await _identity(call)
        offer = await begin_attempt(self._db, "begin_save", identity.session_id, missing=errors.SessionExpired)
        await _check_phrase(offer, params.phrase)
        if not await self._db.fetchval(QUERIES["save_phrase"], offer["user_id"], offer["phrase_hash"]):
            raise errors.InvalidRecoveryPhrase
        logger.info("recovery_phrase_saved", user=identity.username)
        return _DONE

    async def recover(self, call: Call, params: NamedPhrase) -> dict[str, str]:
        """Enrol a new authenticator in exchange for the phrase, which is used up once a code confirms the enrolment.

        Raises `UserNotFound`, `TooManyValidationAttempts` (before the phrase is compared), `InvalidRecoveryPhrase`.
        """
        visitor, network = digest(call.client.visitor), client_network(call.client.address)
        user = await begin_attempt(
            self._db, "begin_recovery", params.username, visitor, network, missing=errors.UserNotFound
        )
        await _check_phrase(user, params.phrase)
        args = (user["user_id"], user["phrase_hash"], visitor, network, secret := totp.new_secret())
        username = await self._db.fetchval(QUERIES["start_recovery"], *args)
        if username is None:
            raise errors.InvalidRecoveryPhrase
        logger.info("recovery_begun", user=username, address=call.client.address)
        return await _candidate(username, secret)

    def _step(self, row: Row, code: str) -> int:
        """The time step of a code for the row's ``secret``; raises `InvalidCode`."""
        step = totp.matching_step(row["secret"], code, self._clock())
        if step is None:
            raise errors.InvalidCode
        return step


async def status(call: Call, _: NoParams) -> dict[str, str]:
    """The login state of the caller."""
    await call.client.identify()
    return state_of(call.client)


async def _identity(call: Call) -> Identity:
    identity = await call.client.identify()
    if identity is None:
        raise errors.Unauthorized
    return identity


async def _candidate(username: str, secret: str) -> dict[str, str]:
    """The data that enrols that secret in an authenticator."""
    uri = totp.enrolment_uri(username, secret)
    return {"status": "candidate", "username": username, "qr_url": uri, "qr_code": await totp.qr_code(uri)}


async def _check_phrase(row: Row, phrase: str) -> None:
    """Raises `InvalidRecoveryPhrase`, also for a user without a phrase."""
    if row["phrase_hash"] is None or not await phrases.matches(phrase, row["phrase_hash"]):
        raise errors.InvalidRecoveryPhrase

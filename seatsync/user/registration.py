"""Registration: an authenticator is enrolled for a username, and a code from it creates the account."""

from seatsync import errors
from seatsync.config import Role
from seatsync.core.net.networks import client_network, is_loopback
from seatsync.core.protocol.call import Call, Reply
from seatsync.user import totp
from seatsync.user.messages import Candidate, Done, Known, Named, NamedCode
from seatsync.user.sign_in import SignIn, visit_of
from seatsync.user.store import UserStore, digest
from seatsync.user.tokens import Clock


async def candidate(username: str, secret: str) -> Candidate:
    """The data that enrols that secret in an authenticator."""
    uri = totp.enrolment_uri(username, secret)
    return Candidate(username, uri, await totp.qr_code(uri))


class Registration:
    """Begins, drops and confirms enrolments, of new accounts and of recoveries."""

    def __init__(self, store: UserStore, sign_in: SignIn, clock: Clock, *, allowed: bool, role: Role) -> None:
        """With ``allowed`` people may register themselves; they get ``role``."""
        self._store = store
        self._sign_in = sign_in
        self._clock = clock
        self._allowed = allowed
        self._role = role

    async def start(self, call: Call, params: Named) -> Known | Candidate:
        """Find the user, or begin a registration. Raises `RegistrationClosed`, `RegistrationInProgress`,
        `TooManyRequests`.
        """
        client = call.client
        enrolment = await self._store.start_registration(
            params.username,
            digest(client.visitor),
            client_network(client.address),
            totp.new_secret(),
            allowed=self._allowed,
        )
        if enrolment.id is None:
            return Known(enrolment.username)
        return await candidate(enrolment.username, enrolment.secret)

    async def drop(self, call: Call, params: Named) -> Done:
        """Delete the visitor's registration of that username, if there is one."""
        await self._store.drop_registration(params.username, digest(call.client.visitor))
        return Done()

    async def confirm(self, call: Call, params: NamedCode) -> Reply:
        """Complete a registration or a recovery, and open a session.

        Raises `UserAlreadyExists`, `RegistrationClosed`, `RegistrationNotInProgress`, `RegistrationExpired`,
        `TooManyValidationAttempts`, `InvalidCode`.
        """
        visit = await visit_of(call)
        enrolment = await self._store.find_enrolment(params.username, visit.digest, allowed=self._allowed)
        step = totp.matching_step(enrolment.secret, params.code, self._clock())
        if step is None:
            raise errors.InvalidCode
        if enrolment.user_id is None:
            local = is_loopback(call.client.address)
            opened = await self._store.create_account(enrolment, step, visit, role=self._role, local=local)
        else:
            opened = await self._store.finish_recovery(enrolment, step, visit)
        if opened is None:
            raise errors.RegistrationNotInProgress
        return self._sign_in.signed_in(call, visit, opened)

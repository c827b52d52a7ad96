"""Registering: an authenticator is enrolled for a name, and a code from it makes the account."""

from seatsync import errors
from seatsync.core.net.networks import client_network, is_loopback
from seatsync.core.protocol.call import Call, Role
from seatsync.core.tokens import Clock
from seatsync.user import totp
from seatsync.user.messages import Candidate, Done, Known, SignedIn
from seatsync.user.sign_in import SignIn
from seatsync.user.store import UserStore, digest


async def candidate(username: str, secret: str) -> Candidate:
    """What a person needs to enrol that secret."""
    uri = totp.enrolment_uri(username, secret)
    return Candidate(username, uri, await totp.qr_code(uri))


class Registration:
    """Begins, drops and confirms enrolments, of new accounts and of recoveries."""

    def __init__(self, store: UserStore, sign_in: SignIn, clock: Clock, *, allowed: bool, role: Role) -> None:
        """``allowed``: people may register themselves; they get ``role``."""
        self._store = store
        self._sign_in = sign_in
        self._clock = clock
        self._allowed = allowed
        self._role = role

    async def start(self, call: Call, username: str) -> Known | Candidate:
        """Raises `RegistrationClosed`, `RegistrationInProgress`, `TooManyRequests`."""
        client = call.client
        enrolment = await self._store.start_registration(
            username, digest(client.visitor), client_network(client.address), totp.new_secret(), allowed=self._allowed
        )
        if enrolment.id is None:
            return Known(enrolment.username)
        return await candidate(enrolment.username, enrolment.secret)

    async def drop(self, call: Call, username: str) -> Done:
        """Forget what this visitor has begun for the name, if anything."""
        await self._store.drop_registration(username, digest(call.client.visitor))
        return Done()

    async def confirm(self, call: Call, username: str, code: str) -> SignedIn:
        """Raises `UserAlreadyExists`, `RegistrationClosed`, `RegistrationNotInProgress`, `RegistrationExpired`,
        `TooManyValidationAttempts`, `InvalidCode`.
        """
        visit = await self._sign_in.visit(call)
        enrolment = await self._store.find_enrolment(username, visit.seen, allowed=self._allowed)
        step = totp.matching_step(enrolment.secret, code, self._clock())
        if step is None:
            raise errors.InvalidCode
        if enrolment.user_id is None:
            local = is_loopback(call.client.address)
            opened = await self._store.create_account(enrolment, step, visit, role=self._role, local=local)
        else:
            opened = await self._store.finish_recovery(enrolment, step, visit)
        if opened is None:
            raise errors.RegistrationNotInProgress
        return self._sign_in.welcome(call, opened)

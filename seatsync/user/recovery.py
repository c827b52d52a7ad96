"""Recovery phrases: the way back in after an authenticator is lost."""

import structlog

from seatsync import errors
from seatsync.core.net.networks import client_network
from seatsync.core.protocol.call import Call, Identity
from seatsync.user import phrases, totp
from seatsync.user.messages import Candidate, Coded, Done, NamedPhrase, NewPhrase, Phrased
from seatsync.user.registration import candidate
from seatsync.user.store import Proof, UserStore, digest
from seatsync.user.tokens import Clock

logger = structlog.get_logger(__name__)


class Recovery:
    """Offers phrases, puts them in force, and accepts them in place of a lost authenticator."""

    def __init__(self, store: UserStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def offer(self, call: Call, params: Coded) -> NewPhrase:
        """A new phrase; `save` puts it in force, within 15 minutes.

        Raises `SessionExpired`, `TooManyValidationAttempts`, `InvalidCode`.
        """
        visitor = digest(call.client.visitor)
        proof = await self._store.begin_code((await _identity(call)).session_id, visitor)
        if proof is None:
            raise errors.SessionExpired
        proof.check_wait(errors.TooManyValidationAttempts)
        step = totp.matching_step(proof.secret, params.code, self._clock())
        if step is None:
            raise errors.InvalidCode
        phrase = phrases.new_phrase()
        if not await self._store.offer_phrase(proof, step, await phrases.hash_phrase(phrase), visitor):
            raise errors.InvalidCode
        return NewPhrase(phrase)

    async def save(self, call: Call, params: Phrased) -> Done:
        """Put the offered phrase in force. Raises `SessionExpired`, `TooManyValidationAttempts`,
        `InvalidRecoveryPhrase`.
        """
        identity = await _identity(call)
        proof = await self._store.begin_save(identity.session_id)
        if proof is None:
            raise errors.SessionExpired
        await _check_phrase(proof, params.phrase)
        if not await self._store.save_phrase(proof):
            raise errors.InvalidRecoveryPhrase
        logger.info("recovery_phrase_saved", user=identity.username)
        return Done()

    async def begin(self, call: Call, params: NamedPhrase) -> Candidate:
        """Enrol a new authenticator in exchange for the phrase, which is used up once a code confirms the enrolment.

        Raises `UserNotFound`, `TooManyValidationAttempts` (before the phrase is compared), `InvalidRecoveryPhrase`.
        """
        client = call.client
        visitor, network = digest(client.visitor), client_network(client.address)
        proof = await self._store.begin_recovery(params.username, visitor, network)
        if proof is None:
            raise errors.UserNotFound
        await _check_phrase(proof, params.phrase)
        secret = totp.new_secret()
        username = await self._store.start_recovery(proof, visitor, network, secret)
        if username is None:
            raise errors.InvalidRecoveryPhrase
        logger.info("recovery_begun", user=username, address=client.address)
        return await candidate(username, secret)


async def _check_phrase(proof: Proof, phrase: str) -> None:
    proof.check_wait(errors.TooManyValidationAttempts)
    if proof.phrase_hash is None or not await phrases.matches(phrase, proof.phrase_hash):
        raise errors.InvalidRecoveryPhrase


async def _identity(call: Call) -> Identity:
    identity = await call.client.identify()
    if identity is None:
        raise errors.Unauthorized
    return identity

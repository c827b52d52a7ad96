"""Recovery phrases: a way back in without the authenticator."""

import structlog

from seatsync import errors
from seatsync.core.net.networks import client_network
from seatsync.core.protocol.call import Call, Identity
from seatsync.core.tokens import Clock
from seatsync.user import phrases, totp
from seatsync.user.messages import Candidate, Done, NewPhrase
from seatsync.user.registration import candidate
from seatsync.user.store import UserStore, digest
from seatsync.user.throttle import refuse_if

logger = structlog.get_logger(__name__)


class Recovery:
    """Offers phrases, puts them in force, and takes them in place of a lost authenticator."""

    def __init__(self, store: UserStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def offer(self, call: Call, code: str) -> NewPhrase:
        """A new phrase, in force once `save` was called with it, within 15 minutes.

        Raises `SessionExpired`, `TooManyValidationAttempts`, `InvalidCode`.
        """
        visitor = digest(call.client.visitor)
        proof = await self._store.begin_code((await _identity(call)).session_id, visitor)
        if proof is None:
            raise errors.SessionExpired
        refuse_if(proof.wait, errors.TooManyValidationAttempts)
        step = totp.matching_step(proof.secret, code, self._clock())
        if step is None:
            raise errors.InvalidCode
        phrase = phrases.new_phrase()
        if not await self._store.offer_phrase(proof, step, await phrases.hash_phrase(phrase), visitor):
            raise errors.InvalidCode
        return NewPhrase(phrase)

    async def save(self, call: Call, phrase: str) -> Done:
        """Put the offered phrase in force. Raises `SessionExpired`, `TooManyValidationAttempts`,
        `InvalidRecoveryPhrase`.
        """
        identity = await _identity(call)
        proof = await self._store.begin_save(identity.session_id)
        if proof is None:
            raise errors.SessionExpired
        refuse_if(proof.wait, errors.TooManyValidationAttempts)
        if proof.phrase_hash is None or not await phrases.matches(phrase, proof.phrase_hash):
            raise errors.InvalidRecoveryPhrase
        if not await self._store.save_phrase(proof):
            raise errors.InvalidRecoveryPhrase
        logger.info("recovery_phrase_saved", user=identity.username)
        return Done()

    async def begin(self, call: Call, username: str, phrase: str) -> Candidate:
        """Enrol a new authenticator in exchange for the phrase, which is used up when a code from it is confirmed.

        Raises `UserNotFound`, `TooManyValidationAttempts` (before the phrase is looked at), `InvalidRecoveryPhrase`.
        """
        client = call.client
        visitor, network = digest(client.visitor), client_network(client.address)
        proof = await self._store.begin_recovery(username, visitor, network)
        if proof is None:
            raise errors.UserNotFound
        refuse_if(proof.wait, errors.TooManyValidationAttempts)
        if proof.phrase_hash is None or not await phrases.matches(phrase, proof.phrase_hash):
            raise errors.InvalidRecoveryPhrase
        secret = totp.new_secret()
        found = await self._store.start_recovery(proof, visitor, network, secret)
        if found is None:
            raise errors.InvalidRecoveryPhrase
        logger.info("recovery_begun", user=found, address=client.address)
        return await candidate(found, secret)


async def _identity(call: Call) -> Identity:
    identity = await call.client.identify()
    if identity is None:
        raise errors.Unauthorized
    return identity

"""Authenticators' secrets at work: made, compared with codes, and shown to be enrolled.

They are stored encrypted, and what a query takes and compares is the stored text, never the plain secret.
"""

import time

import structlog

from seatsync import errors
from seatsync.config import Settings
from seatsync.user import totp
from seatsync.user.keyring import Keyring, UnreadableSecretError
from seatsync.user.tokens import Clock

logger = structlog.get_logger(__name__)


class Secrets:
    """Secrets under the keys of `SECRETS_KEY`; codes are checked against ``clock``, and URIs drawn by ``draw``."""

    def __init__(self, settings: Settings, clock: Clock = time.time, draw: totp.Draw = totp.qr_code) -> None:
        self._keyring = Keyring(settings.secrets_keys)
        self._issuer = settings.totp_issuer
        self._clock = clock
        self._draw = draw

    def new(self, username: str) -> str:
        """A new secret for the user of that name, as it is stored."""
        return self._keyring.encrypt(username, totp.new_secret())

    def step(self, username: str, stored: str, code: str) -> int:
        """The time step of a code of that user. Raises `InvalidCode`, `InternalServerError`."""
        step = totp.matching_step(self._decrypt(username, stored), code, self._clock())
        if step is None:
            raise errors.InvalidCode
        return step

    def present_code(self, username: str, stored: str) -> str:
        """The code of that user now. Raises `InternalServerError`."""
        return totp.code_at(self._decrypt(username, stored), self._clock())

    async def candidate(self, username: str, stored: str) -> dict[str, str]:
        """The data that enrols the secret in an authenticator. Raises `InternalServerError`."""
        uri = totp.enrolment_uri(self._issuer, username, self._decrypt(username, stored))
        return {"status": "candidate", "username": username, "qr_url": uri, "qr_code": await self._draw(uri)}

    def _decrypt(self, username: str, stored: str) -> str:
        """The plain secret. Raises `InternalServerError` for one that cannot be read: the operator has to act."""
        try:
            return self._keyring.decrypt(username, stored)
        except UnreadableSecretError as error:
            logger.error("secret_unreadable", user=username, reason=str(error))  # noqa: TRY400 - a sentence
            raise errors.InternalServerError from None

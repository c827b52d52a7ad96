"""From the headers of a handshake or a request to the client behind them."""

from collections.abc import Callable, Mapping
from functools import partial

from seatsync.core.channels.gather import Gathered
from seatsync.core.protocol.call import Client, Identity
from seatsync.core.tokens import Claims, Tokens
from seatsync.errors import ServiceUnavailable
from seatsync.user.store import UserStore


class Authenticator:
    """Says who a client is: one query for one that carries a good token, none for a guest."""

    def __init__(self, store: UserStore, tokens: Tokens, spawn: Callable[..., object]) -> None:
        self._identities = Gathered(store.live_identities, spawn)
        self._tokens = tokens

    async def client(self, address: str, authorization: str | None, cookies: Mapping[str, str]) -> Client:
        """The client at that address. It never refuses one: a bad token makes a guest.

        With the database away the client's `recheck` is set, which asks again.
        """
        visitor = self._tokens.visitor(cookies)
        client = Client(address, visitor or self._tokens.new_visitor(), visitor_is_new=visitor is None)
        token = _bearer(authorization)
        if token is None:
            token = self._tokens.session_token(cookies)
        claims = self._tokens.verify(token) if token else None
        if claims is not None:
            try:
                client.identity = await self._identity(claims)
            except ServiceUnavailable:
                client.recheck = partial(self._identity, claims)
            if client.identity is not None or client.recheck is not None:
                client.session_id, client.expires_at = claims.session_id, claims.expires_at
        return client

    async def _identity(self, claims: Claims) -> Identity | None:
        identity = await self._identities.ask(claims.session_id)
        return identity if identity is not None and identity.user_id == claims.user_id else None


def _bearer(authorization: str | None) -> str | None:
    """The token of ``Bearer`` credentials (RFC 6750 §2.1); ``None`` for none, or those of another scheme."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None

"""The topic of ``user.subscribe``: a client's login state, once its session has been checked."""

from collections.abc import Sequence

from seatsync.core.channels.broadcast import Subscription
from seatsync.core.channels.joining import Joining, Spawn
from seatsync.core.protocol.call import Client
from seatsync.core.protocol.registry import encode
from seatsync.core.timing import Timing
from seatsync.user.messages import login_state

SUBSCRIBE = "user.subscribe"


class LoginTopic(Joining):
    """Subscriptions get the state and are forgotten: `Connections` sends the one update, and closes the connection."""

    def __init__(self, spawn: Spawn, timing: Timing = Timing()) -> None:
        super().__init__(SUBSCRIBE, None, spawn, timing)
        self._clients: dict[Subscription, Client] = {}

    def subscribe(self, subscriber: Subscription, client: Client) -> None:
        """Send the login state, now if it is known. Never waits."""
        if subscriber.admission is None:
            subscriber.send(b"snapshot", encode(state_of(client)))
        else:
            self._clients[subscriber] = client
            self._join(subscriber)

    async def _serve(self, group: Sequence[Subscription]) -> None:
        for subscriber in group:
            client = self._clients[subscriber]
            self.leave(subscriber)
            subscriber.send(b"snapshot", encode(state_of(client)))

    def leave(self, subscriber: Subscription) -> None:
        """Remove the subscriber, if it is there."""
        super().leave(subscriber)
        self._clients.pop(subscriber, None)

    def _send_old(self, subscriber: Subscription) -> None:
        """Nothing is in memory."""

    def _notify_waiting(self, subscriber: Subscription) -> None:
        """Nothing: existing clients take every frame of this subscription as the login state."""

    def caught_up(self, subscriber: Subscription) -> None:
        """Nothing was missed."""


def state_of(client: Client) -> dict[str, str]:
    """The login state of a client whose session has been checked."""
    return login_state(None if client.session is None or client.session.ended else client.identity)

"""``/readyz``, polled: when the server noticed what, as a load balancer would see it."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import frozen

POLL_S = 0.02
_TIMEOUT_S = 3.0


@frozen
class Readiness:
    """One answer; all empty when there was none."""

    ready: bool = False
    database: str = ""
    feed: str = ""
    server: str = ""

    @classmethod
    def ask(cls, port: int, host: str = "127.0.0.1") -> "Readiness":
        """The answer now, on a connection of its own."""
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        try:
            return cls._of(connection)
        finally:
            connection.close()

    @classmethod
    def _of(cls, connection: http.client.HTTPConnection) -> "Readiness":
        try:
            connection.request("GET", "/readyz")
            parts = json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            connection.close()
            return cls()
        return cls(parts["ready"], parts["database"], parts["feed"], parts["server"])


class ReadinessLog:
    """The answers of ``/readyz``, change by change."""

    def __init__(self, port: int, host: str) -> None:
        self._place = (host, port)
        self._changes: list[tuple[float, Readiness]] = [(time.monotonic(), Readiness())]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        connection = http.client.HTTPConnection(*self._place, timeout=_TIMEOUT_S)
        while not self._stopping.wait(POLL_S):
            answer = Readiness._of(connection)
            if answer != self._changes[-1][1]:
                self._changes.append((time.monotonic(), answer))
        connection.close()

    def first(self, wanted: Callable[[Readiness], bool], after: float) -> float | None:
        """The first time from ``after`` on at which the answer was so; ``None`` if it was not."""
        until = [*(at for at, _ in self._changes[1:]), float("inf")]
        for (at, answer), end in zip(self._changes, until, strict=False):
            if end > after and wanted(answer):
                return max(at, after)
        return None

    def wait(self, wanted: Callable[[Readiness], bool], after: float, timeout_s: float, what: str) -> float:
        """Wait for `first`; raises `TimeoutError`, naming ``what``."""
        give_up_at = time.monotonic() + timeout_s
        while (at := self.first(wanted, after)) is None:
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{what}: not within {timeout_s:g} s")
            time.sleep(POLL_S / 4)
        return at

    def wait_lost(self, after: float, timeout_s: float = 15.0) -> float:
        """When the feed was first reported lost."""
        return self.wait(lambda answer: answer.feed == "lost", after, timeout_s, "the loss of the feed is noticed")

    def wait_ready(self, after: float, timeout_s: float = 30.0) -> float:
        """When the server was first reported ready."""
        return self.wait(lambda answer: answer.ready, after, timeout_s, "the server is ready")


@contextmanager
def watched_readiness(port: int, host: str) -> Iterator[ReadinessLog]:
    """The log, kept for the length of the block."""
    log = ReadinessLog(port, host)
    log._thread.start()
    try:
        yield log
    finally:
        log._stopping.set()
        log._thread.join()

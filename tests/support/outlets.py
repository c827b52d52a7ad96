"""Where frames go in tests that have no sockets."""

from typing import NoReturn, Self


class FakeOutlet:
    """An `Outlet`, and the `outlet` of the sink that it is: all that is sent comes to `push`, to be written there."""

    is_clear = False

    @property
    def outlet(self) -> Self:
        """Frames go here."""
        return self

    def push(self, frame: bytes) -> bool:
        """Take one whole frame; ``False`` when there is no room for more."""
        raise NotImplementedError

    def keep(self, frame: bytes, sent: int) -> bool:
        """Keep a whole frame: an outlet that is not clear has sent none of it."""
        assert sent == 0
        return self.push(frame)

    def send_now(self, _: bytes) -> NoReturn:
        """Only called on an outlet that is clear."""
        raise AssertionError

    def lose(self) -> NoReturn:
        """Only called on an outlet that is clear."""
        raise AssertionError

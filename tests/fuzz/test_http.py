"""Whatever bytes come on a connection, they are answered with responses, all of them the client's fault or none's."""

from tests.fuzz.inputs import each
from tests.fuzz.strategies import cut, requests, variants
from tests.property.test_http import talk


def check(sent: bytes) -> None:
    """Responses, if anything, and then a close; no fault is the server's."""
    received = talk(cut(sent, len(sent)))
    assert received[:9] in {b"", b"HTTP/1.1 "}
    assert b"HTTP/1.1 500" not in received
    assert b"InternalServerError" not in received


def test_requests() -> None:
    """Heads and bodies, cut and damaged."""
    each(variants(requests()), check, 0.15)

"""The answer to the opening handshake."""

from seatsync.core.websocket.handshake import accept_head


def test_handshake_is_accepted_as_the_rfc_says() -> None:
    """The example of RFC 6455, section 1.3, and further header fields."""
    head = accept_head("dGhlIHNhbXBsZSBub25jZQ==", [(b"Set-Cookie", b"a=b")])
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=b\r\n\r\n" in head

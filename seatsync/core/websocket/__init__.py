"""WebSocket framing (RFC 6455), the server's side."""

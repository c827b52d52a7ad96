"""Open WebSocket connections: one by one, and all of a node together."""

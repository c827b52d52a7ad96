"""Sockets: what listens and accepts, how much one client may have, and the stream behind each connection."""

"""What the domains have in common: the protocol, the transport, the database and the feed."""

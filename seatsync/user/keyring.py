"""Names of keys."""

import hashlib
import hmac


def key_id(key: str) -> str:
    """Eight hexadecimal digits that name a key, and tell nobody anything else of it."""
    return hmac.digest(key.encode(), b"seatsync key id", hashlib.sha256).hex()[:8]

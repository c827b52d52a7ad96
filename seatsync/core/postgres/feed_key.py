"""The tags of notifications: any role may NOTIFY, and only who knows the key is believed.

A payload is ``<tag> <body>``. The tag is 16 bytes, in base64, of the SHA-256 over key, body, key; `announce` in
``sql/migrations/0009_trust.sql`` makes the same.
"""

import hashlib
from base64 import b64encode
from hmac import compare_digest

from attrs import define


@define
class FeedKey:
    """The keys in force: the one that signs, and those that verify, as the table ``feed_key`` has them."""

    keys: tuple[bytes, ...] = ()

    def sign(self, body: str) -> str:
        """The payload of that body. Raises `IndexError` before the feed was live for the first time."""
        return f"{_tag(self.keys[0], body)} {body}"

    def verify(self, payload: str) -> str | None:
        """The body, or ``None`` where the tag was made with none of the keys."""
        tag, _, body = payload.partition(" ")
        if any(compare_digest(tag.encode(), _tag(key, body).encode()) for key in self.keys):
            return body
        return None


def _tag(key: bytes, body: str) -> str:
    return b64encode(hashlib.sha256(key + body.encode() + key).digest()[:16]).decode()

"""The ways to sign in, and the rights that each method needs."""

from seatsync.core.http.cookies import SESSION_COOKIE
from seatsync.core.protocol.registry import Access, Method
from seatsync.schema.types import Schema

SCHEMES: dict[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A session token."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "Set by signing in over HTTP; `__Host-` stands before the name where COOKIE_SECURE is on.",
    },
}

WHO = {
    Access.ANYONE: "Anyone.",
    Access.IDENTIFIED: "Anyone.",
    Access.READ: "Anyone while PUBLIC_VIEW is on, else users.",
    Access.USER: "Users.",
    Access.WRITE: "Users whose role may write.",
}


def needs_user(method: Method) -> bool:
    """Guests may not call it."""
    return method.access in {Access.USER, Access.WRITE}

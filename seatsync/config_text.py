"""Parsers of the text of a setting, one for each kind of value.

Each raises ValueError with the rest of the sentence that begins with the setting's name; none repeats a secret.
"""

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

Network: TypeAlias = IPv4Network | IPv6Network

T = TypeVar("T")

#: HS256 wants a key at least as long as its hash (RFC 7518 §3.2).
MIN_SECRET_BYTES = 32


def flag(text: str) -> bool:
    """A boolean."""
    value = text.lower()
    if value in {"true", "1", "yes", "on"}:
        return True
    if value in {"false", "0", "no", "off"}:
        return False
    raise ValueError(f"must be true or false, not {text!r}")


def number(least: int, most: int) -> Callable[[str], int]:
    """A parser of whole numbers within these bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {text!r}")
        return int(text)

    return parse


def choice(*choices: T) -> Callable[[str], T]:
    """A parser of one of these words, in any case."""
    words = {str(word): word for word in choices}

    def parse(text: str) -> T:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {text!r}")
        return words[text.lower()]

    return parse


def list_of(parse_item: Callable[[str], T], *, required: bool = True) -> Callable[[str], tuple[T, ...]]:
    """A parser of items between commas, at least one unless the text is empty and may be; duplicates count once."""

    def parse(text: str) -> tuple[T, ...]:
        items = (item.strip() for item in text.split(","))
        found = tuple(dict.fromkeys(parse_item(item) for item in items if item))
        if not found and (required or text):
            raise ValueError(f"must name at least one, not {text!r}")
        return found

    return parse


def postgres_url(text: str) -> str:
    """An address of PostgreSQL. Only its shape is checked; the driver knows the rest."""
    if not text.startswith(("postgres://", "postgresql://")):
        raise ValueError("must look like postgresql://user:password@host:5432/database")
    try:
        urlsplit(text)
    except ValueError as error:
        raise ValueError(f"cannot be read: {error}") from None
    return text


def signing_key(text: str) -> str:
    """A secret that is long enough as a key."""
    size = len(text.encode())
    if size < MIN_SECRET_BYTES:
        raise ValueError(f"is {size} bytes long, at least {MIN_SECRET_BYTES} are needed (openssl rand -hex 32)")
    return text


def address(text: str) -> str:
    """An IP address, also in the brackets that URLs put around IPv6."""
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise ValueError(f"must be IP addresses separated by commas; {text!r} is not one") from None


def network(text: str) -> Network:
    """A network of IP addresses."""
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(f"must be IP networks such as 10.0.0.0/8; {text!r} is not one") from None


def origin(text: str) -> str:
    """An origin as browsers serialise it: scheme, host and port, nothing else (RFC 6454 §6.2)."""
    host = r"([a-z0-9._-]+|\[[0-9a-f:.]+\])"
    if not re.fullmatch(rf"https?://{host}(:[0-9]{{1,5}})?", text.lower()):
        raise ValueError(f"must be origins such as https://seats.example.org; {text!r} is not one")
    return text.lower()


def directory(text: str) -> Path:
    """A path, made absolute at once: the process may change its directory later."""
    return Path(text).expanduser().absolute()

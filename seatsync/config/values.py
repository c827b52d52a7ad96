"""Parsers of settings' values.

Each raises ValueError with the rest of the sentence that begins with the setting's name, and never repeats a secret.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

Network: TypeAlias = IPv4Network | IPv6Network

T = TypeVar("T")

#: HS256 wants a key at least as long as its hash (RFC 7518 §3.2).
MIN_SECRET_BYTES = 32

#: 128 bits in hexadecimal digits are 32; fewer than half of that can be guessed.
MIN_TOKEN_BYTES = 16

_LABELS = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)"
_ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://(\*\.{_LABELS}+|{_LABELS}*|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}))?")
_HOST_NAME = re.compile(rf"{_LABELS}*")
_DEFAULT_PORTS = {("http", 80), ("https", 443)}

MAX_ISSUER_CHARACTERS = 64


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


def token(text: str) -> str:
    """A secret that is too long to be guessed."""
    size = len(text.encode())
    if size < MIN_TOKEN_BYTES:
        raise ValueError(f"is {size} bytes long, at least {MIN_TOKEN_BYTES} are needed (openssl rand -hex 32)")
    return text


def signing_key(text: str) -> str:
    """A secret that is long enough as a key."""
    size = len(text.encode())
    if size < MIN_SECRET_BYTES:
        raise ValueError(
            f"has a key of {size} bytes: each, separated by commas, needs {MIN_SECRET_BYTES} (openssl rand -hex 32)"
        )
    return text


def signing_keys(text: str) -> tuple[str, ...]:
    """Secrets, each long enough as a key, separated by commas or line ends."""
    return list_of(signing_key, required=False)(text.replace("\n", ","))


def issuer(text: str) -> str:
    """A name that authenticator apps show; a colon ends it there."""
    if ":" in text or not text.isprintable() or len(text) > MAX_ISSUER_CHARACTERS:
        raise ValueError(f"must be at most {MAX_ISSUER_CHARACTERS} characters without a colon, not {text!r}")
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
    """An origin as browsers serialise it: scheme, host and port, but no default port (RFC 6454 §6.2).

    ``*.`` before at least two labels stands for every host below them.
    """
    if (match := _ORIGIN.fullmatch(text.lower())) is None:
        raise ValueError(f"must be origins such as https://seats.example.org or https://*.example.org, not {text!r}")
    scheme, host, port = match.groups()
    has_port = port is not None and (scheme, int(port)) not in _DEFAULT_PORTS
    return f"{scheme}://{host}:{int(port)}" if has_port else f"{scheme}://{host}"


def host_name(text: str) -> str:
    """A host name or an IP address as it stands in ``Host``, without a port and a final dot."""
    name = text.lower().removesuffix(".")
    with suppress(ValueError):
        address = ip_address(name.removeprefix("[").removesuffix("]"))
        return f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    if not _HOST_NAME.fullmatch(name):
        raise ValueError(f"must be host names such as seats.example.org, without a port, not {text!r}")
    return name


def directory(text: str) -> Path:
    """A path, made absolute at once: the process may change its directory later."""
    return Path(text).expanduser().absolute()

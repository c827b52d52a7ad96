"""Settings, read once at start from the environment and `.env`.

Each is declared once, as a field of `Settings` with its name, default, meaning and parser. `SETTINGS` lists these
declarations: `.env.example`, the README and the tests are checked against it.
"""

import os
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast

from attrs import evolve, field, fields, frozen

from seatsync.config.sources import find, read_sources
from seatsync.config.values import (
    Network,
    address,
    choice,
    directory,
    flag,
    host_name,
    issuer,
    list_of,
    network,
    number,
    origin,
    postgres_url,
    signing_keys,
    token,
)
from seatsync.errors import Failure

Role: TypeAlias = Literal["viewer", "operator", "admin"]

T = TypeVar("T")


class ConfigError(Failure):
    """At least one setting is bad; the message names every one of them, one a line."""


@frozen
class Setting:
    """The declaration of one setting.

    ``default`` is text as it would stand in `.env`; an empty one means "not set".
    """

    name: str
    default: str
    help: str
    parse: Callable[[str], object]
    secret: bool = False
    """May be in a file that ``<name>_FILE`` names."""


def _setting(name: str, default: str, meaning: str, parse: Callable[[str], T], *, secret: bool = False) -> T:
    """Declare a field of `Settings`; for the type checker it is a value that ``parse`` returns."""
    return cast("T", field(repr=not secret, metadata={"setting": Setting(name, default, meaning, parse, secret)}))


def _secret(name: str, meaning: str, parse: Callable[[str], T]) -> T | None:
    """Declare a field that is ``None`` unless it is set, and that stays out of the repr."""
    return _setting(name, "", meaning, lambda text: parse(text) if text else None, secret=True)


@frozen(kw_only=True)
class Settings:
    """All settings, checked and typed. Secrets stay out of its repr."""

    database_url: str | None = _secret(
        "DATABASE_URL", "PostgreSQL 15 or newer to use; without it an embedded PostgreSQL is started.", postgres_url
    )
    listen_url: str | None = _secret(
        "LISTEN_URL", "Direct address of the same database for LISTEN, bypassing a pooler.", postgres_url
    )
    jwt_secrets: tuple[str, ...] = _setting(
        "JWT_SECRET",
        "",
        "Keys of session tokens, separated by commas, at least 32 bytes each: the first signs, all verify; required"
        " with DATABASE_URL, else generated and kept.",
        signing_keys,
        secret=True,
    )
    secrets_keys: tuple[str, ...] = _setting(
        "SECRETS_KEY",
        "",
        "Keys of the authenticators' secrets in the database, likewise: the first encrypts, all decrypt; required"
        " with DATABASE_URL, else generated and kept.",
        signing_keys,
        secret=True,
    )
    port: int = _setting("PORT", "3000", "Port for HTTP and WebSockets; 0 takes any free one.", number(0, 65_535))
    ws_port: int = _setting(
        "WS_PORT", "3001", "Second port for the same; may equal PORT, 0 takes any free one.", number(0, 65_535)
    )
    hosts: tuple[str, ...] = _setting(
        "HOST",
        "127.0.0.1,::1",
        "IP addresses to listen on, separated by commas; 0.0.0.0 for all of IPv4.",
        list_of(address),
    )
    public_view: bool = _setting("PUBLIC_VIEW", "true", "Watching halls without signing in: true or false.", flag)
    registration: Literal["open", "closed"] = _setting(
        "REGISTRATION", "open", "Registration by the users themselves: open or closed.", choice("open", "closed")
    )
    default_role: Role = _setting(
        "DEFAULT_ROLE",
        "viewer",
        "Role of newly registered users: viewer, operator or admin; operator with --demo on loopback.",
        choice("viewer", "operator", "admin"),
    )
    totp_issuer: str = _setting(
        "TOTP_ISSUER", "Seats Sync", "Name of this service in authenticator apps, for new enrolments.", issuer
    )
    session_idle_hours: int = _setting(
        "SESSION_IDLE_HOURS",
        "48",
        "Hours after which a session ends that nobody uses, within its 5 days; 0 for no such end.",
        number(0, 8760),
    )
    allowed_origins: tuple[str, ...] = _setting(
        "ALLOWED_ORIGINS",
        "",
        "Additional web origins, such as https://*.example.org, separated by commas; the server's own host always may.",
        list_of(origin, required=False),
    )
    allowed_hosts: tuple[str, ...] = _setting(
        "ALLOWED_HOSTS",
        "",
        "Host names that a server beyond loopback serves, separated by commas; any without it.",
        list_of(host_name, required=False),
    )
    cookie_secure: bool = _setting(
        "COOKIE_SECURE",
        "false",
        "Set to true behind HTTPS: cookies and later visits are then over HTTPS only.",
        flag,
    )
    max_message_bytes: int = _setting(
        "MAX_MESSAGE_BYTES", "262144", "Largest message a client may send, in bytes.", number(1024, 16_777_216)
    )
    max_connections: int = _setting(
        "MAX_CONNECTIONS", "20000", "Maximum number of connected clients.", number(1, 1_000_000)
    )
    metrics_token: str | None = _secret(
        "METRICS_TOKEN",
        "Bearer token for /metrics, at least 16 bytes; without one only programs on this machine may read it.",
        token,
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        "TRUSTED_PROXIES",
        "",
        "Networks of reverse proxies whose X-Forwarded-For is trusted, separated by commas.",
        list_of(network, required=False),
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "LOG_LEVEL",
        "info",
        "Minimum level of log lines: debug, info, warning or error.",
        choice("debug", "info", "warning", "error"),
    )
    log_format: Literal["console", "json"] = _setting(
        "LOG_FORMAT",
        "console",
        "Format of log lines: console for people, json for programs.",
        choice("console", "json"),
    )
    data_dir: Path = _setting(
        "SEATSYNC_DATA", ".seatsync", "Directory of the embedded PostgreSQL and its secrets.", directory
    )
    db_pool_size: int = _setting(
        "DB_POOL_SIZE", "8", "Maximum number of database connections for reads.", number(1, 200)
    )
    event_retention_days: int = _setting(
        "EVENT_RETENTION_DAYS", "30", "Days for which seat changes are kept.", number(1, 36_500)
    )
    auth_event_days: int = _setting(
        "AUTH_EVENT_DAYS", "90", "Days for which the events of accounts are kept.", number(1, 36_500)
    )
    workers: int = _setting(
        "WORKERS", "1", "Number of server processes; several share the ports under a supervisor.", number(1, 64)
    )
    drain_delay_s: int = _setting(
        "DRAIN_DELAY",
        "0",
        "Seconds for which a stopping server still serves while /readyz fails, for balancers to notice.",
        number(0, 600),
    )
    drain_timeout_s: int = _setting(
        "DRAIN_TIMEOUT", "10", "Seconds for connections to close when the server stops.", number(1, 600)
    )
    messages_per_s: int = _setting(
        "MESSAGES_PER_SECOND",
        "1000",
        "Sustained rate of WebSocket frames from one connection; programs on this machine are exempt.",
        number(1, 1_000_000),
    )
    requests_per_s: int = _setting(
        "REQUESTS_PER_SECOND",
        "200",
        "Sustained rate of HTTP requests and handshakes from one address; programs on this machine are exempt.",
        number(1, 1_000_000),
    )
    lookups_per_minute: int = _setting(
        "LOOKUPS_PER_MINUTE",
        "120",
        "Names that one address may ask for in a minute, to sign in, register or recover; enough for thirty people.",
        number(1, 1_000_000),
    )
    max_connections_per_address: int = _setting(
        "MAX_CONNECTIONS_PER_ADDRESS",
        "1000",
        "Maximum number of connections from one address; programs on this machine are exempt.",
        number(1, 1_000_000),
    )

    @property
    def loopback_only(self) -> bool:
        """Only this machine can connect."""
        return all(ip_address(host).is_loopback for host in self.hosts)

    @property
    def is_published(self) -> bool:
        """It is for others than this machine: something is set that only a server behind a proxy or HTTPS needs."""
        return bool(self.trusted_proxies or self.allowed_origins or self.allowed_hosts or self.cookie_secure)

    def warnings(self) -> list[str]:
        """Return what is allowed but unwise, a sentence each, for the person who starts the server."""
        sentences = []
        if not (self.registration == "closed" or self.default_role == "viewer"):  # on loopback there may be a proxy
            sentences.append(
                "Anybody who reaches this server can register and change seats: set REGISTRATION=closed"
                " or DEFAULT_ROLE=viewer unless that is meant."
            )
        if not (self.loopback_only or self.allowed_hosts):
            sentences.append(
                "This server answers to any host name, so a page of another site can reach it by a name of its own (DNS"
                " rebinding): set ALLOWED_HOSTS to the names that it has."
            )
        if self.loopback_only and self.allowed_hosts:
            sentences.append("ALLOWED_HOSTS is of no use while HOST is loopback: only loopback names are served.")
        return sentences


NEEDED = {
    "JWT_SECRET": "every server must sign with the same key",
    "SECRETS_KEY": "every server must decrypt with the same key",
}
"""The settings that a database of one's own needs, and why."""

SETTINGS: tuple[Setting, ...] = tuple(field.metadata["setting"] for field in fields(Settings))
"""Every setting there is, in the order of the documentation."""


def load_settings(
    environ: Mapping[str, str] = os.environ, dotenv: Path | None = Path(".env"), *, demo: bool = False
) -> Settings:
    """Read the settings; the environment wins over the file, and an empty value counts as unset.

    In a ``demo`` that only this machine can reach new users are operators, unless `DEFAULT_ROLE` is set.
    Raises `ConfigError` naming every bad setting at once.
    """
    try:
        sources = read_sources(environ, dotenv)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    given = {name.removesuffix("_FILE") for source in sources for name in source}
    values: dict[str, Any] = {}
    problems: list[str] = []
    for declared in fields(Settings):
        setting: Setting = declared.metadata["setting"]
        try:
            text = find(setting.name, sources, secret=setting.secret)
            values[declared.name] = setting.parse((setting.default if text is None else text).strip())
        except ValueError as error:
            problems.append(f"{setting.name} {error}.")
    if "DATABASE_URL" in given:
        for name, reason in NEEDED.items():
            if name not in given:
                problems.append(f"{name} is needed with DATABASE_URL: {reason}.")
    elif "LISTEN_URL" in given:
        problems.append("LISTEN_URL is of no use without DATABASE_URL.")
    if problems:
        raise ConfigError("\n".join(problems))
    settings = Settings(**values)
    if demo and settings.loopback_only and "DEFAULT_ROLE" not in given:
        return evolve(settings, default_role="operator")
    return settings

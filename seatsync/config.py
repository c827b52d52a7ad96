"""Settings, read once at start from the environment and `.env`.

`SETTINGS` is the table of them: the code, `.env.example`, the README and the
tests read that one table. `Settings` is what comes out: checked and typed.
"""

import os
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import evolve, field, frozen
from dotenv import dotenv_values

from seatsync.config_text import (
    Network,
    address,
    choice,
    directory,
    flag,
    list_of,
    network,
    number,
    origin,
    postgres_url,
    signing_key,
)

Role: TypeAlias = Literal["viewer", "operator", "admin"]


class ConfigError(Exception):
    """At least one setting is bad; the message names every one of them, one a line."""


@frozen(kw_only=True)
class Settings:
    """Everything that can be set, checked and typed. Secrets stay out of its repr."""

    database_url: str | None = field(repr=False)
    listen_url: str | None = field(repr=False)
    jwt_secret: str | None = field(repr=False)
    port: int
    ws_port: int
    hosts: tuple[str, ...]
    public_view: bool
    registration: Literal["open", "closed"]
    default_role: Role
    allowed_origins: tuple[str, ...]
    cookie_secure: bool
    max_message_bytes: int
    max_connections: int
    metrics_token: str | None = field(repr=False)
    trusted_proxies: tuple[Network, ...]
    log_level: Literal["debug", "info", "warning", "error"]
    log_format: Literal["console", "json"]
    data_dir: Path
    db_pool_size: int
    event_retention_days: int
    workers: int
    drain_timeout_s: int
    messages_per_s: int
    requests_per_s: int
    max_connections_per_address: int

    @property
    def loopback_only(self) -> bool:
        """Whether nobody but this machine can connect."""
        return all(ip_address(host).is_loopback for host in self.hosts)

    def with_database(self, dsn: str, jwt_secret: str) -> "Settings":
        """Return these settings with the database and the secret that were found at start."""
        return evolve(self, database_url=dsn, jwt_secret=jwt_secret)

    def warnings(self) -> list[str]:
        """Return what is allowed but unwise, as sentences for the person who starts the server."""
        if self.loopback_only or self.registration == "closed" or self.default_role == "viewer":
            return []
        return [
            "Anybody who reaches this server can register and change seats: set REGISTRATION=closed"
            " or DEFAULT_ROLE=viewer unless that is meant."
        ]


@frozen
class Setting:
    """One row of the table: the field of `Settings` it fills, its name in the environment, default and meaning.

    `default` is text as it would stand in `.env`; an empty one means "not set",
    which the program sees as `empty`. `parse` raises ValueError with the rest of
    the sentence that begins with the setting's name; it never repeats a secret.
    """

    field: str
    name: str
    default: str
    help: str
    parse: Callable[[str], object]
    empty: object = None

    def read(self, texts: Mapping[str, str]) -> object:
        """Return the value these texts give it; raises ValueError on a bad one."""
        text = texts.get(self.name, self.default).strip()
        return self.parse(text) if text else self.empty


SETTINGS = (
    Setting(
        "database_url",
        "DATABASE_URL",
        "",
        "PostgreSQL 15 or newer to use; without it an embedded PostgreSQL is started.",
        postgres_url,
    ),
    Setting(
        "listen_url",
        "LISTEN_URL",
        "",
        "Another address of the same database for LISTEN alone, such as past a pooler of sessions.",
        postgres_url,
    ),
    Setting(
        "jwt_secret",
        "JWT_SECRET",
        "",
        "Key that signs session tokens, at least 32 bytes; required with DATABASE_URL, else made and kept.",
        signing_key,
    ),
    Setting("port", "PORT", "3000", "HTTP port; 0 takes any free one.", number(0, 65_535)),
    Setting(
        "ws_port",
        "WS_PORT",
        "3001",
        "WebSocket port; may equal PORT, 0 takes any free one.",
        number(0, 65_535),
    ),
    Setting(
        "hosts",
        "HOST",
        "127.0.0.1,::1",
        "IP addresses to listen on, separated by commas; 0.0.0.0 for all of IPv4.",
        list_of(address),
    ),
    Setting(
        "public_view",
        "PUBLIC_VIEW",
        "true",
        "Whether halls can be watched without signing in: true or false.",
        flag,
    ),
    Setting(
        "registration",
        "REGISTRATION",
        "open",
        "Whether people may register themselves: open or closed.",
        choice("open", "closed"),
    ),
    Setting(
        "default_role",
        "DEFAULT_ROLE",
        "operator",
        "Role of newly registered users: viewer, operator or admin.",
        choice("viewer", "operator", "admin"),
    ),
    Setting(
        "allowed_origins",
        "ALLOWED_ORIGINS",
        "",
        "Further web origins that may connect, separated by commas; the server's own host always may.",
        list_of(origin),
        empty=(),
    ),
    Setting(
        "cookie_secure",
        "COOKIE_SECURE",
        "false",
        "Set to true behind HTTPS: cookies are then sent over HTTPS only.",
        flag,
    ),
    Setting(
        "max_message_bytes",
        "MAX_MESSAGE_BYTES",
        "262144",
        "Largest message a client may send, in bytes.",
        number(1024, 16_777_216),
    ),
    Setting(
        "max_connections",
        "MAX_CONNECTIONS",
        "20000",
        "Most clients connected at the same time.",
        number(1, 1_000_000),
    ),
    Setting(
        "metrics_token",
        "METRICS_TOKEN",
        "",
        "Bearer token for /metrics; without one only loopback peers may read it.",
        str,
    ),
    Setting(
        "trusted_proxies",
        "TRUSTED_PROXIES",
        "",
        "Networks of reverse proxies whose X-Forwarded-For is believed, separated by commas.",
        list_of(network),
        empty=(),
    ),
    Setting(
        "log_level",
        "LOG_LEVEL",
        "info",
        "Least severe log lines to write: debug, info, warning or error.",
        choice("debug", "info", "warning", "error"),
    ),
    Setting(
        "log_format",
        "LOG_FORMAT",
        "console",
        "Log lines for people (console) or for programs (json).",
        choice("console", "json"),
    ),
    Setting(
        "data_dir",
        "SEATSYNC_DATA",
        ".seatsync",
        "Directory of the embedded PostgreSQL and its secret.",
        directory,
    ),
    Setting(
        "db_pool_size",
        "DB_POOL_SIZE",
        "8",
        "Database connections kept open for queries.",
        number(1, 200),
    ),
    Setting(
        "event_retention_days",
        "EVENT_RETENTION_DAYS",
        "30",
        "Days for which the history of seat changes is kept.",
        number(1, 36_500),
    ),
    Setting(
        "workers",
        "WORKERS",
        "1",
        "Server processes; more than one share the ports under a supervisor.",
        number(1, 64),
    ),
    Setting(
        "drain_timeout_s",
        "DRAIN_TIMEOUT",
        "10",
        "Seconds that a stopping server gives its connections to close.",
        number(1, 600),
    ),
    Setting(
        "messages_per_s",
        "MESSAGES_PER_SECOND",
        "1000",
        "WebSocket frames a second that one connection may send for long; loopback clients may send any number.",
        number(1, 1_000_000),
    ),
    Setting(
        "requests_per_s",
        "REQUESTS_PER_SECOND",
        "200",
        "HTTP requests and handshakes a second from one address for long; loopback is exempt.",
        number(1, 1_000_000),
    ),
    Setting(
        "max_connections_per_address",
        "MAX_CONNECTIONS_PER_ADDRESS",
        "1000",
        "Most connections from one address at the same time; loopback is exempt.",
        number(1, 1_000_000),
    ),
)
"""Every setting there is, in the order of the documentation."""


def load_settings(environ: Mapping[str, str] = os.environ, dotenv: Path | None = Path(".env")) -> Settings:
    """Read the settings; the environment wins over the file, and an empty value counts as unset.

    Raises ConfigError naming every bad setting at once.
    """
    texts = _said(_read_dotenv(dotenv)) | _said(environ)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for setting in SETTINGS:
        try:
            values[setting.field] = setting.read(texts)
        except ValueError as error:
            problems.append(f"{setting.name} {error}.")
    problems += _contradictions(texts)
    if problems:
        raise ConfigError("\n".join(problems))
    return Settings(**values)


def _said(source: Mapping[str, str | None]) -> dict[str, str]:
    """Leave out the names that are there but say nothing, as Compose and shells pass unset ones."""
    return {name: text for name, text in source.items() if text and text.strip()}


def _read_dotenv(path: Path | None) -> Mapping[str, str | None]:
    """Read the file if there is one; `$` in a value is itself, so that passwords need no escaping."""
    if path is None or not path.is_file():
        return {}
    try:
        return dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None


def _contradictions(texts: Mapping[str, str]) -> list[str]:
    """Return the rules that hold between settings and are broken."""
    problems: list[str] = []
    if "DATABASE_URL" in texts and "JWT_SECRET" not in texts:
        problems.append("JWT_SECRET is needed with DATABASE_URL: every node must sign with the same key.")
    if "LISTEN_URL" in texts and "DATABASE_URL" not in texts:
        problems.append("LISTEN_URL is of no use without DATABASE_URL.")
    return problems

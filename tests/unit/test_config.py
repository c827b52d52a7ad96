"""Settings: sources, validation, and the documented table."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from seatsync.config import SETTINGS, ConfigError, Settings, load_settings

ROOT = Path(__file__).parents[2]
SECRET, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
DSN = "postgresql://seats:hidden-word@db.example.org/seats"


def load(**environ: str) -> Settings:
    """Settings from these variables alone."""
    return load_settings(environ, dotenv=None)


def problems(**environ: str) -> list[str]:
    """The lines of the error that refuses the settings."""
    with pytest.raises(ConfigError) as caught:
        load(**environ)
    return str(caught.value).splitlines()


def test_nothing_set_means_the_defaults() -> None:
    """A server with an empty environment is the one that the documentation describes."""
    settings = load()
    assert (settings.port, settings.ws_port) == (3000, 3001)
    assert settings.hosts == ("127.0.0.1", "::1")
    assert settings.loopback_only
    assert settings.public_view
    assert not settings.cookie_secure
    assert (settings.registration, settings.default_role) == ("open", "viewer")
    assert (settings.database_url, settings.listen_url) == (None, None)
    assert (settings.jwt_secrets, settings.secrets_keys, settings.totp_issuer) == ((), (), "Seats Sync")
    assert (settings.allowed_origins, settings.trusted_proxies) == ((), ())
    assert (settings.max_message_bytes, settings.max_connections) == (262_144, 20_000)
    assert (settings.db_pool_size, settings.event_retention_days) == (8, 30)
    assert settings.data_dir == Path.cwd() / ".seatsync"


def test_every_kind_of_value_is_read() -> None:
    """Numbers, flags, lists, networks and paths come out typed."""
    settings = load(
        DATABASE_URL=DSN,
        LISTEN_URL=DSN,
        JWT_SECRET=SECRET,
        SECRETS_KEY=f"{SECRET}, {OTHER}",
        TOTP_ISSUER="Kino Söhne",
        PORT="0",
        HOST="0.0.0.0, [::]",
        PUBLIC_VIEW="No",
        ALLOWED_ORIGINS="https://Seats.example.org, http://[::1]:8080,",
        TRUSTED_PROXIES="10.0.0.0/8,fd00::/8",
        SEATSYNC_DATA="/var/lib/seatsync",
        LOG_LEVEL="WARNING",
    )
    assert settings.jwt_secrets == (SECRET,)
    assert settings.secrets_keys == (SECRET, OTHER)
    assert settings.totp_issuer == "Kino Söhne"
    assert settings.port == 0
    assert settings.hosts == ("0.0.0.0", "::")
    assert not settings.loopback_only
    assert not settings.public_view
    assert settings.allowed_origins == ("https://seats.example.org", "http://[::1]:8080")
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.data_dir == Path("/var/lib/seatsync")
    assert settings.log_level == "warning"


def test_an_empty_value_counts_as_unset() -> None:
    """Compose and shells pass unset variables as empty ones."""
    assert load(PORT="", DATABASE_URL=" ", JWT_SECRET="") == load()


def test_all_bad_settings_are_named_at_once() -> None:
    """One start shows every mistake."""
    bad = {
        "DATABASE_URL": "mysql://db",
        "JWT_SECRET": "short",
        "SECRETS_KEY": f"{SECRET},short",
        "PORT": "70000",
        "WS_PORT": "ws",
        "HOST": "example.org",
        "PUBLIC_VIEW": "maybe",
        "REGISTRATION": "ajar",
        "DEFAULT_ROLE": "root",
        "TOTP_ISSUER": "Kino: Salon",
        "ALLOWED_ORIGINS": "https://seats.example.org/path",
        "ALLOWED_HOSTS": "seats.example.org:3000",
        "MAX_MESSAGE_BYTES": "1e6",
        "MAX_CONNECTIONS": "-1",
        "METRICS_TOKEN": "short",
        "TRUSTED_PROXIES": "10.0.0.1/8",
        "LOG_LEVEL": "loud",
        "DB_POOL_SIZE": "0",
    }
    assert [line.split()[0] for line in problems(**bad)] == list(bad)


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "seats.example.org", "https://a,b c", "https://seats.example.org/", "file://", "https://"),
        *("https://*", "https://*.org", "https://a.*.example.org", "https://*seats.example.org", "*://a.example.org"),
    ],
)
def test_an_origin_is_scheme_host_and_port(origin: str) -> None:
    """A wildcard or half an origin would never match what a browser sends, or match too much."""
    assert problems(ALLOWED_ORIGINS=origin)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://seats.example.org:443", "https://seats.example.org"),
        ("http://seats.example.org:80", "http://seats.example.org"),
        ("http://seats.example.org:443", "http://seats.example.org:443"),
        ("https://[2001:db8::7]:443", "https://[2001:db8::7]"),
        ("https://*.Example.org:443", "https://*.example.org"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abc", "chrome-extension://abc"),
    ],
)
def test_an_origin_is_read_as_a_browser_writes_it(text: str, origin: str) -> None:
    """Default ports are left out, as in the browsers' own field."""
    assert load(ALLOWED_ORIGINS=text).allowed_origins == (origin,)


def test_hosts_are_names_without_a_port() -> None:
    """As they are compared: in lower case, without a final dot, IPv6 in brackets."""
    settings = load(ALLOWED_HOSTS="Seats.example.org., 10.0.0.11, 2001:db8::7,[::1]")
    assert settings.allowed_hosts == ("seats.example.org", "10.0.0.11", "[2001:db8::7]", "[::1]")
    for bad in ("seats.example.org:3000", "https://seats.example.org", "*.example.org", "a b", "."):
        assert [line.split()[0] for line in problems(ALLOWED_HOSTS=bad)] == ["ALLOWED_HOSTS"]


def test_the_token_of_the_metrics_has_a_least_length() -> None:
    """One that can be guessed is refused, and not repeated."""
    assert load(METRICS_TOKEN="x" * 16).metrics_token == "x" * 16
    assert problems(METRICS_TOKEN="hush") == [
        "METRICS_TOKEN is 4 bytes long, at least 16 are needed (openssl rand -hex 32)."
    ]


def test_a_published_server_is_known_by_its_settings() -> None:
    """Each of the four says that there are clients beyond this machine."""
    assert not load(HOST="0.0.0.0", REGISTRATION="closed").is_published
    for setting in ("TRUSTED_PROXIES=10.0.0.1", "ALLOWED_ORIGINS=https://a.b", "ALLOWED_HOSTS=a.b", "COOKIE_SECURE=1"):
        name, _, value = setting.partition("=")
        assert load(**{name: value}).is_published


def test_a_list_of_nothing_is_refused() -> None:
    """An empty list of addresses is refused."""
    assert problems(HOST=",") == ["HOST must name at least one, not ','."]


def test_the_secret_is_measured_in_bytes() -> None:
    """HS256 counts bytes, and 32 of them are just enough."""
    assert load(JWT_SECRET="é" * 16).jwt_secrets == ("é" * 16,)
    assert "31 bytes" in problems(JWT_SECRET="x" * 31)[0]


def test_a_database_of_ones_own_needs_keys_of_ones_own() -> None:
    """Every node has to sign and to decrypt with the same keys, so none is made up."""
    assert [line.split()[0] for line in problems(DATABASE_URL=DSN)] == ["JWT_SECRET", "SECRETS_KEY"]


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    """`NAME_FILE` names it, for every secret; the white space at its end does not count, and lines separate keys."""
    environ = {"DATABASE_URL": f"{DSN}\n", "LISTEN_URL": DSN, "METRICS_TOKEN": "metrics-word-kept\n"}
    environ |= {"JWT_SECRET": f"{SECRET}\n{OTHER}\n", "SECRETS_KEY": OTHER}
    assert set(environ) == {setting.name for setting in SETTINGS if setting.secret}
    for name, text in environ.items():
        (tmp_path / name).write_text(text)
    settings = load(**{f"{name}_FILE": str(tmp_path / name) for name in environ})
    assert (settings.database_url, settings.listen_url, settings.metrics_token) == (DSN, DSN, "metrics-word-kept")
    assert (settings.jwt_secrets, settings.secrets_keys) == ((SECRET, OTHER), (OTHER,))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), (b"", "it is empty"), (b" \n", "it is empty"), (b"hidden\xff", "not text")],
)
def test_a_file_without_a_secret_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """The setting, the path and the reason, and nothing of the content."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    (line,) = problems(JWT_SECRET_FILE=str(path))
    assert line.startswith(f"JWT_SECRET cannot be read from {path}: ")
    assert reason in line
    assert "hidden" not in line


def test_a_secret_is_set_once(tmp_path: Path) -> None:
    """A value and a file of one setting contradict each other, but the environment wins over `.env` as ever."""
    path, file = tmp_path / "secret", tmp_path / ".env"
    path.write_text(SECRET)
    both = {"JWT_SECRET": OTHER, "JWT_SECRET_FILE": str(path)}
    assert problems(**both) == ["JWT_SECRET and JWT_SECRET_FILE are both set: one has to go."]
    for name, other in (("JWT_SECRET", "JWT_SECRET_FILE"), ("JWT_SECRET_FILE", "JWT_SECRET")):
        file.write_text(f"{other}={both[other]}\n")
        expected = OTHER if name == "JWT_SECRET" else SECRET
        assert load_settings({name: both[name]}, file).jwt_secrets == (expected,)


def test_only_secrets_come_from_files(tmp_path: Path) -> None:
    """`PORT_FILE` is another program's."""
    assert load(PORT_FILE=str(tmp_path)) == load()


def test_listen_url_goes_with_database_url() -> None:
    """A LISTEN address of the embedded database would be silently ignored."""
    assert [line.split()[0] for line in problems(LISTEN_URL=DSN)] == ["LISTEN_URL"]


def test_secrets_are_not_shown() -> None:
    """Settings in a log, and errors about them, show no password or key."""
    keys = {"JWT_SECRET": SECRET, "SECRETS_KEY": SECRET}
    shown = repr(load(DATABASE_URL=DSN, LISTEN_URL=DSN, METRICS_TOKEN="metrics-word-hidden", **keys))
    shown += str(problems(DATABASE_URL="db://seats:hidden-word@db", JWT_SECRET="hidden-word"))
    assert "hidden-word" not in shown
    assert SECRET not in shown
    assert "metrics-word" not in shown


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A variable typed before the command overrides the file in the directory."""
    file = tmp_path / ".env"
    file.write_text("PORT=4000\nWS_PORT=4001\nMETRICS_TOKEN='a$b#c-0123456789'  # a comment\n")
    settings = load_settings({"PORT": "5000", "WS_PORT": ""}, file)
    assert (settings.port, settings.ws_port, settings.metrics_token) == (5000, 4001, "a$b#c-0123456789")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """A broken .env is a sentence, not a traceback."""
    file = tmp_path / ".env"
    file.write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"\.env cannot be read"):
        load_settings({}, file)


def test_the_example_shows_every_setting_and_starts_closed() -> None:
    """`.env.example` is the table, each default in its order, but for registration, which it closes."""
    text = (ROOT / ".env.example").read_text()
    values = {setting.name: setting.default for setting in SETTINGS} | {"REGISTRATION": "closed"}
    rows = "".join(f"\n# {setting.help}\n{setting.name}={values[setting.name]}\n" for setting in SETTINGS)
    assert text.endswith(rows)
    assert load_settings({}, ROOT / ".env.example") == load(REGISTRATION="closed")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_open_registration_with_a_writing_role_is_warned_of(host: str) -> None:
    """On loopback, too, for a proxy may stand before it; changing one of them ends the warning."""
    names = {} if host == "127.0.0.1" else {"ALLOWED_HOSTS": "seats.example.org"}
    assert load(HOST=host, DEFAULT_ROLE="operator", **names).warnings()
    assert not load(HOST=host, **names).warnings()
    assert not load(HOST=host, DEFAULT_ROLE="operator", REGISTRATION="closed", **names).warnings()


def test_only_a_demo_on_loopback_has_new_users_write() -> None:
    """New users are viewers. In a demo they are operators, unless others can connect or a role is set."""

    def role(*, demo: bool = True, **environ: str) -> str:
        return load_settings(environ, dotenv=None, demo=demo).default_role

    assert role(demo=False) == "viewer"
    assert role() == "operator"
    assert role(HOST="0.0.0.0") == role(HOST="127.0.0.1,192.0.2.1") == "viewer"
    assert role(DEFAULT_ROLE="viewer") == "viewer"


def test_hosts_that_are_not_named_are_warned_of() -> None:
    """Beyond loopback any name is served until some are named; bound to loopback they would be ignored."""
    closed = {"REGISTRATION": "closed"}
    (sentence,) = load(HOST="0.0.0.0", **closed).warnings()
    assert "ALLOWED_HOSTS" in sentence
    assert not load(HOST="0.0.0.0", ALLOWED_HOSTS="seats.example.org", **closed).warnings()
    (sentence,) = load(ALLOWED_HOSTS="seats.example.org", **closed).warnings()
    assert "ALLOWED_HOSTS is of no use" in sentence

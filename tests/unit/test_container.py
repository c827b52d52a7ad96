"""The Compose file against what it refers to: the settings, the command line, the image.

It cannot be run everywhere, so the tests parse its YAML. The image itself is built and run by ``make image-check``.
"""

import http.server
import itertools
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from seatsync.config import SETTINGS, Settings, load_settings
from tests.support.compose import compose, environment_of

ROOT = Path(__file__).parents[2]
DEFAULTS = {setting.name: setting.default for setting in SETTINGS}

NOT_FOR_CONTAINERS = {"LISTEN_URL", "SEATSYNC_DATA"}
"""Settings of no use beside a database container without a pooler."""

NEEDED = dict.fromkeys(("JWT_SECRET", "SECRETS_KEY", "POSTGRES_PASSWORD", "SERVER_PASSWORD"), "s" * 32)
"""What .env has to set."""


def settings_of(service: str) -> Settings:
    """The settings of a service where .env sets only what it has to."""
    return load_settings(environment_of(service, NEEDED), dotenv=None)


def healthcheck() -> list[str]:
    """The command that checks the server's health."""
    (found,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    command: list[str] = json.loads(found)
    return command


def test_compose_publishes_the_ports_of_the_settings() -> None:
    """The published ports are the defaults, on every address of the container."""
    ports = [DEFAULTS["PORT"], DEFAULTS["WS_PORT"]]
    server = compose()["services"]["server"]
    assert [published.rpartition(":")[2] for published in server["ports"]] == ports
    assert [str(server["environment"][name]) for name in ("PORT", "WS_PORT")] == ports
    assert server["environment"]["HOST"] == "0.0.0.0"


def test_every_variable_is_a_setting() -> None:
    """Every variable of the server in the Compose file is a setting, and every setting is there."""
    environment = compose()["services"]["server"]["environment"]
    assert set(environment) == set(DEFAULTS) - NOT_FOR_CONTAINERS


def test_nobody_registers_unless_it_is_opened() -> None:
    """Registration is closed unless .env opens it, and then new users only watch."""
    settings = settings_of("server")
    assert (settings.registration, settings.default_role) == ("closed", "viewer")
    assert compose()["services"]["server"]["environment"]["REGISTRATION"].startswith("${REGISTRATION:-")


def test_secrets_come_from_outside_and_are_required() -> None:
    """Compose refuses to start without them and explains what to do."""
    services = compose()["services"]
    for service, name in itertools.product(("server", "migrate"), ("JWT_SECRET", "SECRETS_KEY")):
        assert services[service]["environment"][name].startswith(f"${{{name}:?")
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    assert services["postgres"]["environment"]["SERVER_PASSWORD"].startswith("${SERVER_PASSWORD:?")
    example = (ROOT / ".env.example").read_text()
    required = ("JWT_SECRET", "SECRETS_KEY", "POSTGRES_PASSWORD", "SERVER_PASSWORD")
    assert all(f"\n{name}=\n" in example for name in required)


def test_the_server_is_pointed_at_the_database_beside_it() -> None:
    """Host, roles, database and volume agree; it waits for the owner's migration, and that for PostgreSQL."""
    services = compose()["services"]
    given = services["postgres"]["environment"]
    *_, server_role = services["migrate"]["command"]
    for service, role in (("migrate", given["POSTGRES_USER"]), ("server", server_role)):
        url = urlsplit(settings_of(service).database_url or "")
        assert url.hostname in services
        assert (url.username, url.path) == (role, f"/{given['POSTGRES_DB']}")
    script = ROOT / compose()["configs"][services["postgres"]["configs"][0]["source"]]["file"]
    assert f"\ncreate role {server_role} login " in script.read_text()
    assert services["server"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert "healthcheck" in services["postgres"]
    assert services["postgres"]["volumes"][0].partition(":")[0] in compose()["volumes"]


def test_services_are_confined() -> None:
    """No rights beyond those of their user, nothing to write but memory and volumes, and bounds on what they take."""
    for service in compose()["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert "cap_add" not in service
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert service["tmpfs"][0].startswith("/tmp:size=")
        assert {"mem_limit", "pids_limit"} <= set(service)
        assert service.get("user", "") not in {"root", "0"}


def test_images_have_exact_tags() -> None:
    """The same file starts the same versions; the volume has the same name wherever the checkout is."""
    bases = re.findall(r"^FROM (\S+:\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(set(bases)) == 1, "a virtual environment is tied to its interpreter"
    services = compose()["services"].values()
    for image in [*bases, *(service["image"] for service in services if "build" not in service)]:
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+|postgres:\d+\.\d+", image), image
    assert compose()["name"] == "seatsync"


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_healthcheck_requests_healthz(status: int, healthy: bool) -> None:
    """With nothing but the standard library, and the answer's status decides."""
    requested: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        done = _run_healthcheck(server.server_port)
        thread.join()
    assert (done.returncode == 0) is healthy
    assert requested == ["/healthz"]
    assert _run_healthcheck(server.server_port).returncode != 0


def _run_healthcheck(port: int) -> subprocess.CompletedProcess[bytes]:
    program, *arguments = healthcheck()
    assert program == "python"
    return subprocess.run(
        [sys.executable, "-I", "-S", *arguments], env={"PORT": str(port)}, check=False, capture_output=True
    )

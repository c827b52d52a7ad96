"""The image, built and run: what is in it, and that it serves beside a PostgreSQL as the Compose file has it.

It needs buildah and root, so it is no part of ``make test``: ``make image-check`` runs it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, frozen

from seatsync.config import SETTINGS
from seatsync.core.embedded.cluster import DATABASE, USER
from seatsync.core.embedded.programs import find_program
from tests.faults.postgres import Postgres
from tests.image.buildah import Buildah, BuildahError, open_buildah
from tests.support.client import PATIENCE_S, http, open_client
from tests.support.compose import ROOT, compose, environment_of
from tests.support.places import free_port, scratch_directory
from tests.support.process import children, command
from tests.support.waiting import eventually

BASE = re.findall(r"^FROM (python:\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]
IMAGE = "seatsync"
KEY = "for this check: " + 32 * "s"
SECRETS = {"JWT_SECRET": KEY, "SECRETS_KEY": KEY, "POSTGRES_PASSWORD": "owners", "SERVER_PASSWORD": "it's"}
STOP_S = 15


@frozen
class Place:
    """A container, and the PostgreSQL beside it."""

    buildah: Buildah
    container: str
    port: int
    """PostgreSQL's, on loopback: a container has the host's network here."""

    def environment(self, service: str, **settings: str) -> dict[str, str]:
        """The environment that the Compose file gives a service, but for addresses."""
        # In the address a password is escaped; the Compose file asks for letters and digits instead.
        variables = SECRETS | {"SERVER_PASSWORD": "it%27s"}
        environment = environment_of(service, variables)
        url = environment["DATABASE_URL"].replace("@postgres:5432/", f"@127.0.0.1:{self.port}/")
        return {name: value for name, value in environment.items() if value} | {"DATABASE_URL": url} | settings

    def run(self, *arguments: str, scratch: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the container to its end."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        process = self.buildah.start(self.container, list(arguments), environment, scratch, **pipes)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out.decode(), err.decode())


@define
class Server:
    """A server in the container."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    scratch: Path

    @property
    def port(self) -> int:
        """The port for HTTP."""
        return int(self.environment["PORT"])

    async def ready(self) -> None:
        """Wait until it can serve."""

        async def check() -> bool:
            assert self.process.poll() is None, "it has ended"
            try:
                return (await http(self.port, "GET", "/readyz")).status == 200
            except OSError:
                return False

        await eventually(check)

    def pids(self) -> list[int]:
        """The processes of the program itself: those below buildah's own."""
        return [pid for pid in _descendants(self.process.pid) if "/opt/seatsync/bin/python" in command(pid)[0]]

    def states(self) -> list[dict[str, str]]:
        """What the kernel says of each of these processes."""
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids()]
        return [dict(re.findall(r"^(\w+):\t(.*)$", text, re.MULTILINE)) for text in texts]

    def left(self) -> list[Path]:
        """The files in /tmp."""
        return list(self.scratch.iterdir())

    async def stop(self) -> int:
        """Send the image's command SIGTERM, as Docker does; its exit status."""
        os.kill(self.pids()[0], signal.SIGTERM)
        with trio.fail_after(STOP_S):
            return await trio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)


def _descendants(pid: int) -> list[int]:
    below = children(pid)
    return below + [deeper for child in below for deeper in _descendants(child)]


@pytest.fixture(scope="session")
def buildah(request: pytest.FixtureRequest) -> Iterator[Buildah]:
    """A storage with the image, built from this checkout."""
    with open_buildah() as buildah:
        try:
            how = buildah.fetch(BASE)
            buildah.build(ROOT, IMAGE)
        except BuildahError as error:
            pytest.exit(str(error), returncode=1)
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            sys.stderr.write(f"\n{BASE}: {how}\n")
        yield buildah


@pytest.fixture(scope="session")
def place(buildah: Buildah) -> Iterator[Place]:
    """A container beside a PostgreSQL with the roles of the Compose file."""
    with scratch_directory() as directory, buildah.container(IMAGE) as container:
        port = free_port()
        listen = ("-c", "listen_addresses=127.0.0.1", "-c", f"port={port}")
        dsn = f"postgresql://{USER}@/{DATABASE}?host={directory}&port={port}"
        postgres = Postgres(directory, listen, dsn)
        postgres.start()
        try:
            (directory / "cluster/pg_hba.conf").write_text(
                "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
            )
            postgres.sql(f"alter role {USER} password '{SECRETS['POSTGRES_PASSWORD']}'")
            postgres.sql("select pg_reload_conf()")
            _run_server_role(dsn)
            tree = Path(buildah("mount", container))
            for writable in ("var/tmp", "run/lock"):  # as a read-only root makes them
                (tree / writable).chmod(0o755)
            yield Place(buildah, container, port)
        finally:
            postgres.stop(signal.SIGQUIT)


def _run_server_role(dsn: str) -> None:
    """Run the script that the Compose file has PostgreSQL's image run, as that does."""
    (config,) = compose()["services"]["postgres"]["configs"]
    script = ROOT / compose()["configs"][config["source"]]["file"]
    psql = [str(find_program("psql")), "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "--file", str(script), dsn]
    subprocess.run(psql, env=os.environ | SECRETS, check=True, capture_output=True)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """What the container has as /tmp."""
    with scratch_directory() as directory:
        (directory / "tmp").mkdir()
        (directory / "tmp").chmod(0o1777)
        yield directory / "tmp"


@pytest.fixture(scope="session")
def migrated(place: Place) -> Place:
    """The place after the Compose file's service ``migrate``."""
    with scratch_directory() as directory:
        done = place.run(
            *compose()["services"]["migrate"]["command"], scratch=directory, **place.environment("migrate")
        )
    assert done.returncode == 0, done.stderr
    return place


@asynccontextmanager
async def running(place: Place, scratch: Path, **settings: str) -> AsyncIterator[Server]:
    """A server as the Compose file starts it, by the image's own command; it has ended when the block ends."""
    ports = {"HOST": "127.0.0.1", "PORT": f"{free_port()}", "WS_PORT": f"{free_port()}"}
    environment = place.environment("server", **ports, **settings)
    image_command = place.buildah.inspect(IMAGE)["config"]["Cmd"]
    with (scratch.parent / "log").open("wb") as log:
        pipes = {"stdout": subprocess.DEVNULL, "stderr": log, "stdin": subprocess.DEVNULL}
        process = place.buildah.start(place.container, image_command, environment, scratch, **pipes)
    server = Server(process, environment, scratch)
    try:
        yield server
    finally:
        left = [process.pid, *_descendants(process.pid)]
        process.terminate()
        with trio.move_on_after(STOP_S, shield=True):
            await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        for pid in left if process.poll() is None else []:
            os.kill(pid, signal.SIGKILL)
        process.wait()


def test_the_image_has_what_is_locked_and_nothing_else(place: Place, scratch: Path) -> None:
    """The packages of the lock file in its versions, and ours; no pip and no build tools; the base's Python."""
    lock = (ROOT / "seatsync/serve/requirements.lock").read_text()
    pins = dict(re.findall(r"^([\w.-]+)(?:\[\w+\])?==(\S+)", lock, re.MULTILINE))
    script = (
        "import json, sys; from importlib.metadata import distributions as all\n"
        "here = {one.metadata['Name'].lower().replace('_', '-'): one.version for one in all()}\n"
        "print(json.dumps([sys.version_info[:2], here]))"
    )
    version, packages = json.loads(place.run("python", "-I", "-c", script, scratch=scratch).stdout)
    assert packages.pop("seatsync")
    assert packages == pins
    assert BASE.startswith(f"python:{version[0]}.{version[1]}.")


def test_a_change_of_the_code_is_one_layer(buildah: Buildah, tmp_path: Path) -> None:
    """The base and the packages stay the layers that they were."""
    context = tmp_path / "context"
    context.mkdir()
    for name in ("Dockerfile", ".dockerignore", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, context)
    for name in ("seatsync", "sql"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    (context / "seatsync/__init__.py").write_text('"""Changed."""\n')
    buildah.build(context, "changed")
    before, after = (buildah.inspect(name)["rootfs"]["diff_ids"] for name in (IMAGE, "changed"))
    assert len(before) == len(after) > 2
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def test_the_image_says_how_it_is_used(buildah: Buildah) -> None:
    """Its ports are the defaults, its variables are settings, and its user is a number that is not root's."""
    config = buildah.inspect(IMAGE)["config"]
    defaults = {setting.name: setting.default for setting in SETTINGS}
    assert set(config["ExposedPorts"]) == {f"{defaults[name]}/tcp" for name in ("PORT", "WS_PORT")}
    own = {name for name, _, _ in (variable.partition("=") for variable in config["Env"])}
    inherited = {variable.partition("=")[0] for variable in buildah.inspect(BASE)["config"]["Env"] or []}
    assert own - inherited <= {*defaults, "PATH", "PYTHONUNBUFFERED"}
    assert int(config["User"].partition(":")[0]) > 0


def test_nothing_can_be_written_but_tmp(place: Place, scratch: Path) -> None:
    """The image's user owns none of its files."""
    found = place.run("find", "/", "-xdev", "-writable", "-not", "-type", "l", scratch=scratch)
    assert found.stdout.split() == ["/tmp"]
    assert place.run("touch", "/tmp/file", scratch=scratch).returncode == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_serves_beside_postgresql_and_stops_cleanly(migrated: Place, scratch: Path, workers: int) -> None:
    """Ready, on both ports, as its user, without rights, healthy; SIGTERM ends it with status 0 and nothing left."""
    user = int(migrated.buildah.inspect(IMAGE)["config"]["User"].partition(":")[0])
    async with running(migrated, scratch, WORKERS=f"{workers}") as server:
        await server.ready()
        async with open_client(int(server.environment["WS_PORT"])) as client:
            assert await client.data("user.status") == {"status": "guest"}
        pids, states = server.pids(), server.states()
        assert len(states) == (1 if workers == 1 else 1 + workers)
        for state in states:
            assert {int(number) for number in state["Uid"].split()} == {user}
            assert int(state["CapEff"], 16) == int(state["CapPrm"], 16) == 0
            assert state["NoNewPrivs"] == "1"
        assert await _healthy(migrated, server)
        assert await server.stop() == 0, (scratch.parent / "log").read_text()
        assert not any(command(pid) for pid in pids)
        assert not await _healthy(migrated, server)
        assert server.left() == []


async def _healthy(place: Place, server: Server) -> bool:
    """What the image's healthcheck says."""
    kind, *test = place.buildah.inspect(IMAGE)["config"]["Healthcheck"]["Test"]
    assert kind == "CMD"

    def run() -> bool:
        return place.run(*test, scratch=server.scratch, PORT=f"{server.port}").returncode == 0

    with trio.fail_after(PATIENCE_S):
        return await trio.to_thread.run_sync(run, abandon_on_cancel=True)

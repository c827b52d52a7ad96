"""Fixtures for the tests of the embedded PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import copy_cluster, scratch_directory


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that does not exist yet."""
    with scratch_directory() as directory:
        yield directory / "data"


@pytest.fixture
def made_data_dir(data_dir: Path, new_cluster: Path) -> Path:
    """A data directory with a database, copied since that is faster than initdb."""
    copy_cluster(new_cluster, data_dir / "postgres")
    return data_dir

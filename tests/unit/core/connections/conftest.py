"""Fixtures of the connections' tests."""

from types import SimpleNamespace

import pytest
import trio

from seatsync.core.connections import table
from tests.support.nodes import EPOCH_S, Node, node_in


@pytest.fixture
def node(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node in public view, whose wall clock follows the mock clock."""
    monkeypatch.setattr(table, "time", SimpleNamespace(time=lambda: EPOCH_S + trio.current_time()))
    return node_in(nursery)

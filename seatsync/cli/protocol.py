"""``seatsync protocol``: the documents of the protocol, without a server."""

import argparse
from collections.abc import Iterator
from typing import Any

from seatsync.cinema.methods import CinemaMethods
from seatsync.core.protocol.registry import Method
from seatsync.hall.history import HistoryMethods
from seatsync.hall.methods import HallMethods
from seatsync.schema.documents import DOCUMENTS
from seatsync.terminal import write_lines
from seatsync.user.methods import UserMethods
from seatsync.user.session_list import SessionMethods

DOMAINS: tuple[Any, ...] = (CinemaMethods, HallMethods, HistoryMethods, UserMethods, SessionMethods)


def methods() -> Iterator[Method]:
    """Every method in the order of a server's registry, with nothing behind it: none can be run."""
    for domain in DOMAINS:
        empty: Any = type(domain.__name__, (domain,), {"__getattr__": lambda *_: None})
        yield from empty.__new__(empty).table()


def protocol(options: argparse.Namespace) -> None:
    """Print a document."""
    write_lines(*DOCUMENTS[options.document](methods()).splitlines())

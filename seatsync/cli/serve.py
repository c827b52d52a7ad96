"""``seatsync serve``."""

import argparse

import trio
from attrs import evolve

from seatsync.cli.admin import resolve_database
from seatsync.config import load_settings
from seatsync.serve import process


def serve(options: argparse.Namespace) -> int:
    """Run the server until a signal stops it."""
    settings = load_settings()
    if options.workers is not None:
        settings = evolve(settings, workers=options.workers)
    with resolve_database(settings) as (resolved, postgres):
        trio.run(process.main, resolved, postgres, options.demo)
    return 0

"""When a process collects garbage."""

import gc


def collect_seldom() -> None:
    """Collect garbage, but seldom, and never look at what exists by now: modules, classes, tables.

    A program disables collections for its imports, calls this, and calls it again when it has imported more. Imports
    make little garbage, but collections during them, and those of all modules at the exit, take a third of the CPU time
    of a start and an end. Later on, with CPython's thresholds, the sixty objects of a connection, which live long, cost
    a quarter of a handshake's CPU time.
    """
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    gc.enable()

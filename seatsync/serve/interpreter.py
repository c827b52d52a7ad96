"""What a server process asks of its interpreter."""

import gc

#: A collection for every so many new objects, and the older generations after so many of the younger ones. An open
#: connection is some sixty objects that live long: with CPython's own 700 the collector goes over all of them again
#: and again, which costs a quarter of the CPU of a handshake.
GC_THRESHOLDS = (20_000, 50, 100)


def tune_garbage_collection() -> None:
    """Collect seldom, and leave what is there by now (modules, tables) out of it for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)

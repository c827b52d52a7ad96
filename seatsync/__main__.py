"""``seatsync``, and ``python -m seatsync``."""

import gc
import signal
import sys
from functools import partial


def main() -> int:
    """Run the command line and return its exit status; Ctrl-C ends it without a traceback from the first import on.

    Until the command is imported it ends the process at once: as an exception it may come out of an import as another.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # until the command is imported
    from seatsync.cli import main as cli  # noqa: PLC0415 - see above

    try:
        return cli.main(imported=partial(signal.signal, signal.SIGINT, signal.default_int_handler))
    except KeyboardInterrupt:  # before the command began
        return 130


if __name__ == "__main__":
    sys.exit(main())

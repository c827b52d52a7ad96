"""``seatsync``, and ``python -m seatsync``."""

import gc
import signal
import sys


def main() -> int:
    """Run the command line and return its exit status; Ctrl-C ends it without a traceback from the first import on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # until the command is imported
    from seatsync.cli import main as cli  # noqa: PLC0415 - see above

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return cli.main()
    except KeyboardInterrupt:  # before the command began
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""``seatsync``, and ``python -m seatsync``."""

import signal
import sys


def main() -> int:
    """Run the command line; Ctrl-C ends it in silence while it is imported, too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from seatsync.cli import main as cli  # noqa: PLC0415 - see above

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

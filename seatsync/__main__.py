"""``python -m seatsync``."""

import sys

from seatsync.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m seatsync``."""

import sys

from seatsync.cli import main

if __name__ == "__main__":
    sys.exit(main())

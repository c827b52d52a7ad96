"""The JavaScript client without a server: Node.js runs `tests/web`, on sockets and a clock of the tests' own."""

import hashlib
import subprocess

from tests.support.javascript import PROGRAMS, needs_node, node
from tests.support.readme import ROOT

CLIENT = ROOT / "seatsync" / "web" / "client.js"


@needs_node
def test_the_tests_in_javascript() -> None:
    """They pass, and there are some in each file."""
    files = sorted(PROGRAMS.glob("*.test.mjs"))
    assert files
    done = subprocess.run(
        [str(node()), "--test", "--test-reporter=spec", *files],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout


def test_the_types_are_of_this_client() -> None:
    """`make typings` was run after the last change of the client."""
    typings = CLIENT.with_suffix(".d.ts").read_text()
    digest = hashlib.sha256(CLIENT.read_bytes()).hexdigest()
    assert typings.startswith(f"// Made by `make typings` from client.js, SHA-256 {digest}\n")


def test_it_depends_on_nothing() -> None:
    """One module, which imports no other."""
    assert "import(" not in CLIENT.read_text()
    assert not [line for line in CLIENT.read_text().splitlines() if line.startswith("import ")]

"""The JavaScript client without a server: Node.js runs `tests/web`, on sockets and a clock of the tests' own."""

import re
import subprocess

from tests.support.javascript import PROGRAMS, needs_node, node
from tests.support.typings import PARTS, TYPINGS, first_line


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
    assert TYPINGS.read_text().startswith(first_line())


def test_it_depends_on_nothing() -> None:
    """What it imports are its own parts, all of them, and these import nothing."""
    client, *parts = (path.read_text() for path in PARTS)
    assert parts
    assert re.findall(r'^import .* from "\./([^"]+)";$', client, re.MULTILINE) == [
        f"client/{path.name}" for path in PARTS[1:]
    ]
    assert client.count("\nimport ") == len(parts)
    assert not [text for text in parts if re.search(r"^import |import\(", text, re.MULTILINE)]
    assert "import(" not in client

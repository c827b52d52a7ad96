"""What comes from data is printed as text, on any terminal."""

import ast
import io
from pathlib import Path

import pytest

from seatsync.terminal import printable, write_lines

PACKAGE = Path(__file__).parents[2] / "seatsync"

#: They print nothing from data: the version, and where the server is.
PLAIN = {"cli/main.py", "terminal.py"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("loose, row 4 é 🎬 \\", "loose, row 4 é 🎬 \\"),
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("one\r\ntwo\tthree\0", r"one\r\ntwo\tthree\x00"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("\u202eabc\u2066\u2028", r"\u202eabc\u2066\u2028"),
        ("\ud800", r"\ud800"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    """Whatever a terminal would obey, or reorder by, is shown as an escape; all else stays."""
    assert printable(text, "utf-8") == shown


def test_every_control_character_is_escaped() -> None:
    """Of C0, C1 and DEL none is left."""
    codes = [*range(0x20), *range(0x7F, 0xA0)]
    assert printable("".join(map(chr, codes))).isprintable()


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", r"\xe9 \u2588"), ("latin-1", r"é \u2588"), ("utf-8", "é █")])
def test_what_the_encoding_lacks_is_escaped(encoding: str, shown: str) -> None:
    """Nothing fails on a terminal that is not UTF-8."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    write_lines("é █", 7, stream=stream)
    assert stream.buffer.getvalue() == f"{shown}\n7\n".encode(encoding)


def test_everything_is_printed_by_it() -> None:
    """No other module writes to standard output or standard error by itself."""
    writers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"sys.stdout.write", "sys.stderr.write", "print"}
    }
    assert writers <= PLAIN

"""README.md as data: the tables, examples and code blocks that stand under its headings."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

_HEADING = re.compile(r"(#+) (.+)")
_FENCE = re.compile(r"```(\w*)")


@frozen
class Block:
    """One fenced block of code."""

    heading: str
    """The nearest heading above it."""
    language: str
    text: str


@frozen
class Page:
    """The lines of each section, by heading, without those of its subsections."""

    sections: dict[str, list[str]]
    blocks: list[Block]

    def rows(self, heading: str, number: int = 0) -> list[list[str]]:
        """The cells of a table under a heading, the first unless told, without its head."""
        tables: list[list[list[str]]] = [[]]
        for line in self.sections[heading]:
            if line.startswith("|"):
                cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
                tables[-1].append([cell.strip().replace("\\|", "|") for cell in cells])
            elif tables[-1]:
                tables.append([])
        head, rule, *rows = tables[number]
        assert len(head) == len(rule), f"no table under {heading}"
        assert all(len(row) == len(head) for row in rows), f"a broken row under {heading}"
        return rows

    def prose(self, heading: str) -> str:
        """The text of a section on one line."""
        return " ".join(self.sections[heading])

    def code(self, language: str) -> list[Block]:
        """The blocks in a language, in order."""
        return [block for block in self.blocks if block.language == language]

    def examples(self) -> dict[str, list[dict[str, Any]]]:
        """The JSON blocks by the method they stand under: a request, its answer, and what may follow."""
        return {block.heading.strip("`"): list(_values(block.text)) for block in self.code("json")}


def read_page() -> Page:
    """The README, taken apart."""
    sections: dict[str, list[str]] = {}
    blocks: list[Block] = []
    heading, language = "", ""
    lines: list[str] = []
    inside = False
    for line in README.read_text(encoding="utf-8").splitlines():
        if fence := _FENCE.fullmatch(line):
            if inside:
                blocks.append(Block(heading, language, "\n".join(lines)))
            inside, language, lines = not inside, fence[1], []
        elif inside:
            lines.append(line)
        elif found := _HEADING.fullmatch(line):
            heading = found[2]
            assert heading not in sections, f"two headings are called {heading}"
            sections[heading] = []
        elif heading:
            sections[heading].append(line)
    assert not inside, "a block of code has no end"
    return Page(sections, blocks)


def names(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def _values(text: str) -> Iterator[dict[str, Any]]:
    """Several JSON values in a row."""
    decoder = json.JSONDecoder()
    position = 0
    while position < len(text):
        value, position = decoder.raw_decode(text, position)
        yield value
        while position < len(text) and text[position].isspace():
            position += 1

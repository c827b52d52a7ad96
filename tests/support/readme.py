"""The README pages as data: tables, examples and code blocks by heading."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

ROOT = Path(__file__).parents[2]

FRONT = "README.md"
PROTOCOL = "seatsync/core/protocol/README.md"
CLIENT = "seatsync/client/README.md"
SQL = "sql/README.md"
PLAN = "seatsync/plan/README.md"
LOAD = "seatsync/load/README.md"
SERVE = "seatsync/serve/README.md"
SECURITY = "seatsync/user/README.md"
TESTS = "tests/README.md"

PAGES = (FRONT, PROTOCOL, CLIENT, SQL, PLAN, LOAD, SERVE, SECURITY, TESTS)
"""Every page, one for each reader."""

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
    """One page: the lines of each section, by heading, without those of its subsections."""

    text: str
    sections: dict[str, list[str]]
    blocks: list[Block]

    def rows(self, heading: str, number: int = 0) -> list[list[str]]:
        """The cells of the table of that number under a heading, without its head."""
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

    def code(self, language: str, heading: str | None = None) -> list[str]:
        """The blocks in a language, in order; all of the page, or those directly under a heading."""
        return [block.text for block in self.blocks if block.language == language and heading in {None, block.heading}]

    def anchors(self) -> set[str]:
        """The anchors that GitHub gives the headings."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in self.sections}

    def links(self) -> list[str]:
        """The targets of the links, images included."""
        return re.findall(r"\]\(([^)\s]+)\)", self.text)

    def examples(self) -> dict[str, list[dict[str, Any]]]:
        """The JSON blocks by the method they stand under: a request, its answer, and what may follow."""
        found = [block for block in self.blocks if block.language == "json"]
        return {block.heading.strip("`"): list(_values(block.text)) for block in found}


@frozen
class Pages:
    """All pages, by path from the root. A table or a section is found on whichever page it stands."""

    by_path: dict[str, Page]

    def with_heading(self, heading: str) -> Page:
        """The one page that has the heading."""
        (page,) = (page for page in self.by_path.values() if heading in page.sections)
        return page

    def rows(self, heading: str, number: int = 0) -> list[list[str]]:
        """See `Page.rows`."""
        return self.with_heading(heading).rows(heading, number)

    def prose(self, heading: str) -> str:
        """See `Page.prose`."""
        return self.with_heading(heading).prose(heading)


def read_pages() -> Pages:
    """All of `PAGES`."""
    return Pages({name: read_page(name) for name in PAGES})


def read_page(name: str) -> Page:
    """One of `PAGES`, taken apart."""
    text = (ROOT / name).read_text(encoding="utf-8")
    sections: dict[str, list[str]] = {}
    blocks: list[Block] = []
    heading, language = "", ""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        if fence := _FENCE.fullmatch(line):
            if inside:
                blocks.append(Block(heading, language, "\n".join(lines)))
            inside, language, lines = not inside, fence[1], []
        elif inside:
            lines.append(line)
        elif found := _HEADING.fullmatch(line):
            heading = found[2]
            assert heading not in sections, f"two headings of {name} are called {heading}"
            sections[heading] = []
        elif heading:
            sections[heading].append(line)
    assert not inside, f"a block of code of {name} has no end"
    return Page(text, sections, blocks)


def names(cell: str) -> list[str]:
    """The texts in backticks in a cell."""
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

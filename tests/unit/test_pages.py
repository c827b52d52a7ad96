"""The pages together: every page is known and linked, and every path, link, room and test on them exists."""

import re

from tests.support.readme import FRONT, PAGES, ROOT, Pages, names


def test_every_page_is_known() -> None:
    """Every README page is among the tested ones."""
    found = [
        path.relative_to(ROOT) for folder in ("", "*/", "*/*/", "*/*/*/") for path in ROOT.glob(f"{folder}README.md")
    ]
    assert {path.as_posix() for path in found if not path.parts[0].startswith(".")} == set(PAGES)


def test_every_path_on_a_page_exists(pages: Pages) -> None:
    """Every path on a page exists."""
    text = "".join(page.text for page in pages.by_path.values())
    paths = set(re.findall(r"`((?:seatsync|sql|tests|\.ci)/[\w./]+)`", text))
    assert len(paths) > 30
    assert not {path for path in paths if not (ROOT / path).exists()}


def test_every_room_is_on_the_map(pages: Pages) -> None:
    """The packages, and those of core, which has one for each subject."""
    rooms = {path.parent for pattern in ("*", "core/*") for path in (ROOT / "seatsync").glob(f"{pattern}/__init__.py")}
    mapped = {name for cell, _ in pages.rows("Code map") for name in names(cell)}
    assert {room.relative_to(ROOT).as_posix() for room in rooms} - {"seatsync/core"} <= mapped


def test_every_item_of_the_standard_has_its_test(pages: Pages) -> None:
    """The items are in the order of the standard, and the tests exist."""
    rows = pages.rows("Verification")
    numbers = [tuple(int(part) for part in items.split(",")[0].split()[0].split(".")) for items, _, _ in rows]
    assert numbers == sorted(numbers)
    for items, _, cell in rows:
        for test in names(cell):
            path, _, name = test.partition("::")
            assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{items}: {test}"


def test_every_link_leads_somewhere(pages: Pages) -> None:
    """To a file, and to a heading of the page that the link is on or leads to."""
    for name, page in pages.by_path.items():
        for link in page.links():
            path, _, anchor = link.partition("#")
            target = (ROOT / name).parent.joinpath(path).resolve() if path else ROOT / name
            assert target.exists(), f"{name}: {link}"
            if anchor:
                assert anchor in pages.by_path[target.relative_to(ROOT).as_posix()].anchors(), f"{name}: {link}"


def test_every_page_is_on_the_front_page(pages: Pages) -> None:
    """The front page links to every page."""
    assert set(PAGES) - {FRONT} <= set(pages.by_path[FRONT].links())

"""The page's files: their size, what they may not do, and colours that everybody can tell apart."""

import gzip
import itertools
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest

from seatsync.app import AT_ROOT, WEB
from seatsync.core.http.files import Files

FILES = sorted(path for path in WEB.rglob("*") if path.suffix in {".html", ".css", ".js"})
MODULES = [path for path in FILES if path.suffix == ".js"]
MOST_BYTES = 60_000
MOST_PICTURE_BYTES = 150_000
MOST_LINES = 400

MARKS = ("--free", "--reserved", "--occupied", "--repair", "--focus")
TEXTS = ("--ink", "--muted", "--alarm")
LEAST_DIFFERENCE = 12  # of two statuses for any eye, in CIE76 units; 2.3 is what can just be seen

#: Simulations of full protanopia, deuteranopia and tritanopia, on linear RGB (Machado, Oliveira and Fernandes 2009).
EYES = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}

Colour = tuple[float, float, float]


def theme(dark: bool) -> dict[str, Colour]:
    """The colours of the style sheet in one theme, in linear RGB."""
    found = re.findall(r"(--[\w-]+): light-dark\(#(\w{6}), #(\w{6})\);", (WEB / "style.css").read_text())
    return {name: linear(pair[dark]) for name, *pair in found}


def linear(code: str) -> Colour:
    """Linear RGB of a colour's hexadecimal code."""
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return expand(red), expand(green), expand(blue)


def expand(value: float) -> float:
    """One channel of sRGB without its gamma."""
    return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)


def luminance(colour: Colour) -> float:
    """Relative luminance (WCAG 2.2)."""
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(one: Colour, other: Colour) -> float:
    """Contrast ratio (WCAG 2.2)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def seen(colour: Colour, eye: str) -> Colour:
    """CIE L*a*b* of a colour as that eye sees it."""
    red, green, blue = (
        min(1, max(0, sum(part * channel for part, channel in zip(row, colour, strict=True)))) for row in EYES[eye]
    )
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089
    fx, fy, fz = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def test_the_page_is_small() -> None:
    """All of it, compressed as it is served, is at most 60 kB."""
    assert sum(len(gzip.compress(path.read_bytes())) for path in FILES) <= MOST_BYTES
    assert (WEB / "page.png").stat().st_size <= MOST_PICTURE_BYTES


def test_files_can_be_read_in_one_go() -> None:
    """A part of the page is a file of at most 400 lines."""
    assert [path.name for path in MODULES if path.read_text().count("\n") > MOST_LINES] == []


def test_no_data_becomes_markup_or_code() -> None:
    """There is no inline script or style, and nothing that parses a text as HTML or as a program."""
    html = (WEB / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html) == []
    parsing = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTMLUnsafe|\beval\(|new Function")
    assert [path.name for path in MODULES if parsing.search(path.read_text())] == []


def test_nothing_comes_from_elsewhere() -> None:
    """Every address that the page names is a path of its own server."""
    named = re.compile(r"""(?:href|src)="([^"#]+)"|^import .* from "([^"]+)"|url\(([^)]+)\)""", re.MULTILINE)
    found = {next(filter(None, names)) for path in FILES for names in named.findall(path.read_text())}
    assert found
    known = re.compile(r"/(web/|client/|client\.js$)|\./client/|data:,$")
    assert {address for address in found if not known.match(address)} == set()


def file_at(address: str) -> Path:
    """The file that the server sends from a path."""
    return WEB / address.removeprefix("/web/").removeprefix("/")


def imports_of(address: str) -> list[str]:
    """The addresses that the module at a path imports."""
    found = re.findall(r'^import .* from "([^"]+)";', file_at(address).read_text(), re.MULTILINE)
    return [urljoin(address, name) for name in found]


def test_every_module_is_loaded_at_once() -> None:
    """The page names the modules that app.js imports, directly or not, so that they are fetched side by side.

    What is imported only when it is used imports nothing else that the page has not.
    """
    imported: set[str] = set()
    queue = ["/web/app.js"]
    while queue:
        name = queue.pop()
        if name not in imported:
            imported.add(name)
            queue += imports_of(name)
    html = (WEB / "index.html").read_text()
    named = re.findall(r'<link rel="modulepreload" href="([^"]+)">', html)
    assert sorted([*named, "/web/app.js"]) == sorted(imported)
    later = set(re.findall(r'await import\("([^"]+)"\)', (WEB / "app.js").read_text()))
    assert {file_at(name) for name in imported | later} == set(MODULES)
    files = Files(WEB, AT_ROOT)
    assert [name for name in imported | later if files.at(name) is None] == []
    assert not imported & later
    for name in later:
        assert imported >= set(imports_of(name))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_stands_out_from_its_ground(dark: bool) -> None:
    """Marks have a contrast of 3:1 at least, texts of 4.5:1."""
    colours = theme(dark)
    for name in MARKS:
        assert contrast(colours[name], colours["--ground"]) >= 3, name
    for name, ground in itertools.product(TEXTS, ("--ground", "--panel")):
        assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    assert contrast(colours["--on-fill"], colours["--occupied"]) >= 4.5


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_statuses_differ_for_every_eye(dark: bool, eye: str) -> None:
    """Colour repeats what shape says, for the three common kinds of colour blindness too."""
    colours = {name: seen(theme(dark)[name], eye) for name in ("--free", "--reserved", "--occupied", "--repair")}
    for one, other in itertools.combinations(colours, 2):
        difference = sum((a - b) ** 2 for a, b in zip(colours[one], colours[other], strict=True)) ** 0.5
        assert difference >= LEAST_DIFFERENCE, (one, other)

"""Fixtures: Chromium, a server with demo data, and people who look at it."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.e2e.person import Person
from tests.e2e.site import Site, open_site
from tests.support.database import DatabaseServer

Visit = Callable[..., Person]

CHROMIUM = "chromium"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    path = shutil.which(CHROMIUM)
    assert path, "Chromium is needed (Debian: apt install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def site(tmp_path: Path, database_server: DatabaseServer, template_database: str) -> Iterator[Site]:
    """A server with the demo cinemas."""
    with open_site(tmp_path, database_server, template_database) as site:
        yield site


@pytest.fixture
def visit(chromium: Browser, site: Site) -> Iterator[Visit]:
    """Open the page in a browser of its own: ``visit(path, user=None, size=(1440, 900), **options)``.

    With ``clock`` the test may let time pass; ``now`` is the time of that clock.
    """
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def open_page(
        path: str = "/#/hall/3",
        *,
        user: str | None = None,
        size: tuple[int, int] = (1440, 900),
        scheme: str = "light",
        clock: bool = False,
        now: str | None = None,
        **options: object,
    ) -> Person:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            **options,
        )
        contexts.append(context)
        if user is not None:
            context.add_cookies([{"name": "seatsync", "value": site.token(user), "url": site.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"{error}"))
        page.on("console", lambda message: problems.extend(re.findall(".*Content Security Policy.*", message.text)))
        if clock:
            page.clock.install(time=now)
        page.goto(site.url + path)
        return Person(page, site)

    yield open_page
    for context in contexts:
        context.close()
    assert not problems

"""Fixtures for the tests of the pages."""

import pytest

from tests.support.readme import Pages, read_pages


@pytest.fixture(scope="module")
def pages() -> Pages:
    """All pages."""
    return read_pages()

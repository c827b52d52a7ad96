"""A server gives out the protocol as data, and makes it only when asked."""

import pytest
import trio

from seatsync.cli.protocol import methods
from seatsync.core.http.pages import DOCUMENTS
from seatsync.schema import documents
from tests.support.client import http
from tests.support.server import RunningServer


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_server_serves_what_the_command_prints(server: RunningServer, path: str) -> None:
    """Of the methods in its own registry."""
    answer = await http(server.port, "GET", path)
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    assert answer.body.decode() == documents.DOCUMENTS[DOCUMENTS[path]](methods())


async def test_a_document_is_made_once(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks again, or at the same time, gets the same text."""
    made: list[object] = []

    def make(methods: object) -> str:
        made.append(methods)
        return "{}"

    monkeypatch.setitem(documents.DOCUMENTS, "openapi", make)

    async def request() -> None:
        assert (await http(server.port, "GET", "/openapi.json")).body == b"{}"

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(request)
    await request()
    assert len(made) == 1

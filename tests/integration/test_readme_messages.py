"""The examples of the protocol page's "Messages", sent in their order to a real server with the demo cinemas.

What differs from one run to the next (codes, phrases, tokens, times, ids of sessions) is filled in; everything else is
sent as it is printed, and what comes back has the keys and types that are printed.
"""

import re
from typing import Any

import pytest
from attrs import define, field

from seatsync import seed
from tests.support.client import Client, Frame, http
from tests.support.reader import Reader
from tests.support.readme import PROTOCOL, read_page
from tests.support.server import RunningServer

PAGE = read_page(PROTOCOL)
EXAMPLES = PAGE.examples()
NUMBERS = (int, float)
ENVELOPE = ["type", "status", "data", "error", "eid", "ts"]


@define
class Follower(Reader):
    """A client that sends the page's examples from top to bottom."""

    _awaited: dict[str, list[Frame]] = field(factory=dict)
    """The updates that are printed for a subscription, by eid."""

    async def follow(self, client: Client, examples: list[tuple[str, list[Frame]]]) -> None:
        """Send the examples, taking each off the list, until the reader has signed in or out."""
        while examples:
            name, (request, answer, *updates) = examples.pop(0)
            if name.endswith(".unsubscribe"):
                for update in self._awaited.pop(request["data"]["sub_eid"], []):
                    assert_like(await client.update(update["eid"]), update["data"])
            found = await client.call(name, await self.fill(request.get("data")), request["eid"])
            assert_answer(found, answer)
            self._awaited[request["eid"]] = updates
            if self.learn(name, found["data"]):
                return


async def test_every_example_is_answered_as_printed(server: RunningServer) -> None:
    """The printed requests work in their order, and get the printed answers."""
    await seed.demo(server.db)
    reader = Follower(server)
    examples = list(EXAMPLES.items())
    while examples:
        async with server.client(reader.token or None) as client:
            await reader.follow(client, examples)
    assert not any(reader._awaited.values())


@pytest.mark.parametrize("name", ["user.status", "cinemas.get_cinemas", "hall.get"])
async def test_http_answers_the_same(server: RunningServer, name: str) -> None:
    """The request is `data` alone; the answer has data, status and error."""
    await seed.demo(server.db)
    request, answer = EXAMPLES[name]
    found = await http(server.port, "POST", f"/api/{name.replace('.', '/')}", request.get("data"))
    assert found.status == 200
    assert list(found.json()) == ["data", "status", "error"]
    assert_like(found.json()["data"], answer["data"])


async def test_the_conflict_reads_as_printed(server: RunningServer) -> None:
    """The one example of an error: the same keys, and the message word for word."""
    await seed.demo(server.db)
    (printed,) = [block for block in PAGE.blocks if '"status": "error"' in block.text]
    message = re.findall(r'"message": "(.*?)"', printed.text)
    await server.sql("update seat set status = 'OCCUPIED' where id = 613")
    async with server.client(await server.token("ada")) as client:
        seat = {"seat_id": 613, "status": "OCCUPIED", "expected": "VACANT"}
        found = await client.call("hall.update_seats", {"hall_id": 3, "seats": [seat]})
    assert [found["message"]] == message
    assert list(found) == re.findall(r'"(\w+)":', printed.text)


def assert_answer(found: Frame, printed: Frame) -> None:
    """The envelope is the printed one, but for the clock; the data is like the printed one."""
    assert list(found) == list(printed) == ENVELOPE, found
    for key in ("type", "status", "error", "eid"):
        assert found[key] == printed[key]
    assert_like(found["data"], printed["data"])
    if isinstance(found["data"], dict):
        assert found["data"].get("status") == printed["data"].get("status")


def assert_like(found: Any, printed: Any) -> None:
    """The same keys in the same order and the same types; every item of a list is like one of those printed."""
    assert is_like(found, printed), f"{found} is not like {printed}"


def is_like(found: Any, printed: Any) -> bool:
    """See `assert_like`. A printed list without items has been cut short altogether."""
    if isinstance(found, dict) and isinstance(printed, dict):
        return list(found) == list(printed) and all(is_like(found[key], printed[key]) for key in found)
    if isinstance(found, list) and isinstance(printed, list):
        return not printed or (bool(found) and all(any(is_like(item, other) for other in printed) for item in found))
    if type(found) in NUMBERS and type(printed) in NUMBERS:
        return True
    return type(found) is type(printed)

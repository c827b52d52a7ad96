"""The JavaScript client against real servers, in all weathers; in the end its hall equals the table.

It writes all the time: each write is made once, so the table's revision is their number.
"""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyotp
import trio
from attrs import define, field

from tests.support.halls import Hall, make_hall
from tests.support.javascript import JavaScript, javascript, needs_node
from tests.support.process import server_process
from tests.support.proxy import Proxy, proxy_to
from tests.support.server import RunningServer, running_server

pytestmark = needs_node

#: Between heartbeats, and without an answer, at most, in ms.
HEARTBEAT, PATIENCE = 50, 300

OPEN = """
shared.seats = new SeatsSync(url, { token, heartbeat, patience });
shared.states = [];
shared.seats.state.subscribe((state) => shared.states.push(state));
shared.seats.hall(id).subscribe(() => {});
"""

WRITE = """
shared.isWriting = true;
let written = 0;
for (; shared.isWriting; written += 1) {
  const seat_id = ids[written % ids.length];
  const status = Math.floor(written / ids.length) % 2 ? "VACANT" : "OCCUPIED";
  await seats.updateSeats(id, [{ seat_id, status }]);
}
return written;
"""


@define
class Watcher:
    """A client that watches a hall and writes to it until it is told to stop."""

    program: JavaScript
    server: RunningServer
    """For the table, whatever the client is connected to."""
    hall: Hall
    others: int = 0
    """Revisions that the test has made itself."""
    _written: int = 0
    _has_stopped: trio.Event = field(factory=trio.Event)

    async def is_live(self) -> None:
        """Wait until the link is live and the hall is current."""
        await self.program.until(
            "seats.state.value.link === 'live' && seats.hall(id).value.hall && !seats.hall(id).value.stale",
            id=self.hall.id,
        )

    async def write(self) -> None:
        """Write until told to stop."""
        self._written = await self.program.run(WRITE, id=self.hall.id, ids=self.hall.seats)
        self._has_stopped.set()

    async def reasons(self) -> set[str]:
        """Why it has lost a link so far."""
        return set(await self.program.run("return states.map(({ reason }) => reason)")) - {None}

    async def judge(self) -> None:
        """Stop writing: every write was made once, and the hall equals the table."""
        await self.program.run("shared.isWriting = false")
        await self._has_stopped.wait()
        await self.program.equals_the_table(self.server, self.hall.id)
        rev = await self.server.value("select rev from hall where id = $1", self.hall.id)
        assert rev == 1 + self.others + self._written
        assert self._written > len(self.hall.seats)


@asynccontextmanager
async def watcher(server: RunningServer, port: int, **options: Any) -> AsyncIterator[Watcher]:
    """A client at that port that writes from now on."""
    hall = await make_hall(server, rows=2, places=10)
    token = await server.token("ada")
    async with javascript() as program, trio.open_nursery() as nursery:
        given = {"token": token, "heartbeat": HEARTBEAT, "patience": PATIENCE, **options}
        await program.run(OPEN, url=f"http://localhost:{port}", id=hall.id, **given)
        watcher = Watcher(program, server, hall)
        await watcher.is_live()
        nursery.start_soon(watcher.write)
        yield watcher


async def written(watcher: Watcher, revs: int = 20) -> None:
    """Wait until the hall has changed so many times more."""
    rev = await watcher.program.run("return seats.hall(id).value.hall.rev", id=watcher.hall.id)
    await watcher.program.until("seats.hall(id).value.hall.rev >= rev", id=watcher.hall.id, rev=rev + revs)


@asynccontextmanager
async def proxy_before(server: RunningServer) -> AsyncIterator[Proxy]:
    """A proxy before a server."""
    async with proxy_to(f"tcp://localhost:{server.port}") as proxy:
        yield proxy


async def test_a_mute_link(server: RunningServer) -> None:
    """A link on which nothing comes any more is left, though nothing has closed it; so is one that never answers."""
    async with proxy_before(server) as proxy, watcher(server, proxy.port) as client:
        await written(client)
        proxy.freeze()
        await client.program.until("states.filter(({ reason }) => reason === 'no answer').length > 2")
        assert await client.program.run("return seats.hall(id).value.stale", id=client.hall.id)
        proxy.thaw()
        await client.is_live()
        await written(client)
        await client.judge()


async def test_a_killed_server_and_one_that_drains(database_url: str, server: RunningServer, tmp_path: Path) -> None:
    """After kill -9 the client goes on at another server, and after a drain, too, as the advice says."""
    async with (
        running_server(database_url) as second,
        server_process(tmp_path, database_url) as first,
        proxy_to(f"tcp://localhost:{first.port}") as proxy,
        watcher(server, proxy.port) as client,
    ):
        await written(client)
        proxy.target = f"tcp://localhost:{second.port}"
        first.send_signal(signal.SIGKILL)
        await client.program.until("states.some(({ link }) => link === 'reconnecting')")
        await client.is_live()
        await written(client)
        proxy.target = f"tcp://localhost:{server.port}"
        second.stop.set()
        await client.program.until("states.some(({ reason }) => reason === 'drain')")
        await client.is_live()
        await written(client)
        await client.judge()
        assert await client.reasons() <= {"connection lost", "close code 1006", "drain"}


async def test_a_lost_database(database_url: str, server: RunningServer) -> None:
    """While the server has no database the hall is stale, and says since when; writes wait, and nothing is missed."""
    async with (
        proxy_to(database_url) as database,
        running_server(database.url) as cut,
        watcher(server, cut.port, patience=10_000) as client,
    ):
        await written(client)
        database.cut()
        await client.program.until("seats.state.value.stale && seats.hall(id).value.stale", id=client.hall.id)
        assert await client.program.run("return Date.now() - seats.hall(id).value.staleSince < 1000", id=client.hall.id)
        await server.sql(f"update hall set name = 'Renamed' where id = {client.hall.id}")
        client.others += 1
        database.restore()
        await client.program.until("!seats.state.value.stale && !seats.hall(id).value.stale", id=client.hall.id)
        await written(client)
        assert await client.reasons() == set()
        await client.judge()


async def test_a_slow_link(server: RunningServer) -> None:
    """A snapshot that takes longer than the client's patience arrives all the same, on the next link."""
    hall = await make_hall(server, rows=20, places=100)
    async with proxy_before(server) as proxy, javascript() as program:
        size = await server.value("select length(data::text) from hall_snapshot($1)", hall.id)
        proxy.bytes_per_s = size / (1.3 * PATIENCE / 1000)
        given = {"token": None, "heartbeat": HEARTBEAT, "patience": PATIENCE}
        await program.run(OPEN, url=f"http://localhost:{proxy.port}", id=hall.id, **given)
        await program.until("seats.hall(id).value.hall", id=hall.id)
        await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
        await program.equals_the_table(server, hall.id)
        assert "no answer" in await program.run("return states.map(({ reason }) => reason)")


async def test_signing_in_by_token(server: RunningServer) -> None:
    """Without cookies it signs in over its WebSocket, and connects again with the token as a subprotocol."""
    hall = await make_hall(server)
    async with javascript() as program:
        given = {"token": None, "heartbeat": HEARTBEAT, "patience": 10_000}
        await program.run(OPEN, url=f"ws://localhost:{server.ws_port}/ws", id=hall.id, **given)
        url = await program.run("return (await seats.authStart('ada')).qr_url")
        totp = pyotp.TOTP(url.rpartition("secret=")[2])
        assert await program.run("return (await seats.register('ada', code)).username", code=totp.now()) == "ada"
        assert (await program.run("return seats.state.value.user"))["username"] == "ada"
        change = {"seat_id": hall.seats[0], "status": "RESERVED", "expected": "VACANT"}
        assert (await program.run("return seats.updateSeats(id, [change])", id=hall.id, change=change))["rev"] == 2
        refusal = "return seats.updateSeats(id, [change]).catch(({ code }) => code)"
        assert await program.run(refusal, id=hall.id, change=change) == "SeatConflict"
        other = "const other = new SeatsSync(url, { token: seats.token }); await until(() => other.state.value.user);"
        other += "other.close(); return other.state.value.user.username;"
        assert await program.run(other, url=f"http://localhost:{server.port}") == "ada"
        await program.run("await seats.logout()")
        assert await program.run("return [seats.state.value.user.status, seats.token]") == ["guest", None]
        await server.sql("update app_user set totp_last_step = 0")
        assert await program.run("return (await seats.authStart('ada')).status") == "user"
        await program.run("await seats.login('ada', code)", code=totp.now())
        assert (await program.run("return seats.state.value.user"))["username"] == "ada"
        await program.equals_the_table(server, hall.id)


REPLAY = """
const moments = [];
for await (const { hall, events } of seats.hall(id).replay(from)) {
  moments.push({ hall, there: await seats.hall(id).at(hall.rev), revs: [...new Set(events.map(({ rev }) => rev))] });
}
return moments;
"""


async def test_a_replay_is_the_hall_of_then(server: RunningServer) -> None:
    """At each revision, in order, over more than it reads at a time: statuses, notes, holds, and layouts."""
    hall = await make_hall(server, 2, 3)
    for change in (
        "update seat set status = 'MAINTENANCE', note = 'Spring'",
        "select hold_seats(array(select id from seat where row = 2), 60)",
        "update seat set status = 'RESERVED', hold_until = now() + interval '1 hour' where place = 1",
        "update seat set hold_until = null where place = 1",
        f"delete from seat where id = {hall.seats[0]}",
        "update hall set name = 'Green'",
        "update seat_type set name = 'love seat' where name = 'vip'",
        *(f"update seat set status = '{status}'" for status in ("OCCUPIED", "VACANT") * 60),
    ):
        await server.sql(change)
    last = await server.value("select rev from hall")
    async with javascript() as program:
        given = {"token": await server.token("ada"), "heartbeat": HEARTBEAT, "patience": 10_000}
        await program.run(OPEN, url=f"http://localhost:{server.port}", id=hall.id, **given)
        moments = await program.run(REPLAY, id=hall.id, **{"from": 1})
        assert [moment["hall"]["rev"] for moment in moments] == [*range(1, last + 1)]
        assert [moment["revs"] for moment in moments] == [[], *([rev] for rev in range(2, last + 1))]
        for moment in moments:
            assert moment["hall"] == moment["there"]
        code = "return seats.hall(id).at(new Date(0)).catch(({ code }) => code)"
        assert await program.run(code, id=hall.id) == "HistoryNotFound"

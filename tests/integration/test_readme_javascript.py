"""The JavaScript of the protocol's page, run as printed on a page of a real server with the demo cinemas."""

import pyotp

from seatsync import seed
from tests.support.javascript import javascript, needs_node
from tests.support.readme import PROTOCOL, read_page
from tests.support.server import RunningServer

pytestmark = needs_node

IMPORT = 'import { SeatsSync } from "/client.js";'

DRAW = "const draw = (...drawn) => log.push(drawn);\n"
SHARE = "Object.assign(shared, { seats, stop, replay, reserve, signIn });\n"

SIGN_IN = """
shared.code = new Promise((resolve) => (shared.enter = resolve));
shared.signedIn = signIn("eve", (image, url) => Object.assign(shared, { image, url }), () => shared.code);
await until(() => shared.url);
return [shared.image, shared.url];
"""


async def test_the_client_watches_signs_in_and_writes(server: RunningServer) -> None:
    """It watches, registers, connects again with its cookie, writes, reports a conflict, looks back, and signs out."""
    await seed.demo(server.db)
    await server.sql("update seat set status = 'VACANT' where id = 612")
    script = "\n".join(read_page(PROTOCOL).code("js"))
    assert script.startswith(IMPORT)
    async with javascript() as page:
        await page.run("await new Browser(origin).install()", origin=f"http://localhost:{server.port}")
        await page.run(DRAW + script.partition("\n")[2] + "\n" + SHARE)
        await page.until("log.length && seats.state.value.user.status === 'guest'")
        assert await page.run("return log[0][0].seats.length") == 24
        image, url = await page.run(SIGN_IN)
        assert image.startswith("data:image/svg+xml")
        code = pyotp.TOTP(url.rpartition("secret=")[2]).now()
        assert (await page.run("enter(code); return shared.signedIn", code=code))["username"] == "eve"
        admin = {"status": "user", "username": "eve", "role": "admin"}
        assert await page.run("return seats.state.value.user") == admin
        rev = (await page.run("return reserve(612)"))["rev"]
        await page.until("log.at(-1)[0].rev >= rev", rev=rev)
        hall, change, stale_since = await page.run("return log.at(-1)")
        assert [seat["id"] for seat in change["seats"]] == [612]
        assert {"row", "seat_type", "updated_at"} <= hall["seats"][0].keys()
        assert stale_since is None
        assert await page.run("return reserve(612).catch(({ code }) => code)") == "SeatConflict"
        await page.equals_the_table(server, 3)
        await page.run("log.length = 0; await replay(rev - 1)", rev=rev)
        (before, none), (after, events) = await page.run("return log")
        assert [before["rev"], none, after["rev"]] == [rev - 1, [], rev]
        assert [(event["seat_id"], event["new_status"], event["by"]) for event in events] == [(612, "RESERVED", "eve")]
        assert await page.run("await seats.logout(); return seats.state.value.user") == {"status": "guest"}
        assert await page.run("return reserve(613).catch(({ code }) => code)") == "Unauthorized"
        await page.run("stop(); seats.close();")

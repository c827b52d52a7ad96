"""Drills in which somebody else writes: notifications that no trigger sent, and rows that no trigger saw."""

import http.client
import re
import time
from contextlib import suppress

from seatsync.core.connections.table import alias
from seatsync.core.embedded.cluster import DATABASE
from seatsync.core.http.cookies import Cookies
from seatsync.core.protocol.call import new_id
from seatsync.core.websocket.frames import CloseCode
from tests.faults.clients import Link
from tests.faults.drill import Outcome, Stage, drill
from tests.faults.forger import Forger, Page, forging
from tests.faults.pacer import paced_changes
from tests.faults.postgres import Postgres, running_postgres
from tests.faults.processes import wait_until
from tests.faults.scene import SEATS, Scene, on_own_postgres, scene, scene_in
from tests.faults.server import SECRET, Server, running_server
from tests.faults.truth import SHOWN_S, followed, unaffected
from tests.support.database import execute

LOGIN_CHANGED = int(CloseCode.LOGIN_CHANGED)


# Notifications that no trigger sent


@drill
def forged_notifications(stage: Stage) -> Outcome:
    """Another role sends forged notifications of every kind and copies of true ones, and the key is renewed."""

    def run(scene: Scene, postgres: Postgres, outcome: Outcome) -> None:
        postgres.sql("create role stranger login")
        visitor = new_id()
        cookie, _, _ = Cookies(SECRET, secure=False).visitor_cookie(visitor, new_id()).partition(";")
        token = scene.server.run("token", "drill").strip()
        # The token ends a line of the handshake, so the cookie can have the next.
        page = Page(scene.crowd, f"{token}\r\nCookie: {cookie}")
        scene.crowd.each(Link.connect, [page])
        wait_until(lambda: {"user", "cinemas"} <= page.answered, 5.0, "the page is answered")
        sessions = [row["id"].bytes for row in postgres.rows("select id from session")]
        forger = Forger(postgres.dsn_of("stranger"), scene.hall, visitor, sessions)
        at = time.monotonic()
        with followed(scene) as truth:
            with forging(forger):
                time.sleep(stage.choose(10, 3))
                postgres.rows("select announce($1)", logout_of(visitor))
                postgres.sql("update feed_key set former = key, key = default")
                time.sleep(stage.choose(10, 3))
            with suppress(TimeoutError):
                wait_until(lambda: refused(scene) >= forger.forged, 5.0, "every forged notification has arrived")
            truth.judge(outcome)
        outcome.measure("forged", forger.forged, unit="notifications")
        outcome.measure("copied", forger.copied, unit="notifications")
        outcome.require(forger.forged > 0 and forger.copied > 0, "nothing was forged")
        outcome.require(refused(scene) == forger.forged, f"{refused(scene)} of {forger.forged} were refused")
        outcome.require(page.received("user", "update") == 1, "the page was not shown its one logout, and no other")
        outcome.require(page.received("cinemas", "update") > 0, "the list of cinemas did not change any more")
        closings = [closing.code for _, closing in page.closings]
        outcome.require(closings == [LOGIN_CHANGED], f"the page was closed with {closings}")
        closings = [*scene.crowd.closings(at).elements()]
        outcome.require(not closings, f"connections were closed with {closings}")
        ended = [code for watcher in scene.crowd.watchers for code in watcher.ended]
        outcome.require(not ended, f"subscriptions were ended: {ended}")
        outcome.require(scene.readiness.first(lambda one: not one.ready, at) is None, "the server was not ready")
        unaffected(scene, outcome)
        page.staying_away = True
        scene.crowd.each(Link.drop, [page])

    return on_own_postgres(stage, run)


def logout_of(visitor: str) -> str:
    """What another server announces when that visitor logs out there."""
    return f'visitor {time.time():.3f} {alias(visitor.encode())} {{"status":"guest"}}'


def refused(scene: Scene) -> int:
    """How many notifications the server has refused."""
    connection = http.client.HTTPConnection(scene.server.host, scene.server.port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = re.search(r"^seatsync_notifications_refused_total (\S+)$", text, re.MULTILINE)
    return 0 if found is None else int(float(found[1]))


# Changes that no trigger saw


@drill
def replicated_rows(stage: Stage) -> Outcome:
    """Rows of a hall arrive by logical replication, which fires no trigger, beside one that clients change."""
    outcome = Outcome()
    with running_postgres(stage.directory, "-c", "wal_level=logical") as postgres:
        publisher, hall = publish(stage, postgres)
        with (
            running_server(stage.directory, postgres.dsn) as server,
            scene(server, postgres.dsn) as local,
            scene_in(server, publisher, hall, writers=0) as replicated,
            followed(local) as truth_of_local,
            followed(replicated) as truth_of_replicated,
        ):
            found = []
            for _ in range(int(stage.choose(6, 2))):
                replicated.sql_change()
                at = time.monotonic()
                found.append(replicated.live_from(at) - at)
            with paced_changes(publisher, replicated.seats[:100], rate=20, at_once=5):
                time.sleep(stage.choose(20, 6))
            execute(publisher, f"update seat set x = x + 1 where hall_id = {hall}")
            replicated.live_from(time.monotonic())
            outcome.measure("one change is found", max(found), SHOWN_S)
            outcome.require(server.readiness().ready, "the server is not ready")
            unaffected(local, outcome, "hall of clients")
            truth_of_local.judge(outcome, "hall of clients")
            truth_of_replicated.judge(outcome, "replicated hall")
            replicated.judge(outcome)
            local.judge(outcome)
    return outcome


def publish(stage: Stage, postgres: Postgres) -> tuple[str, int]:
    """Make a database with a hall, of which the server's is a subscriber; its address, and the hall."""
    tables = ("cinema", "hall", "seat_type", "seat", "hall_count", "seat_event")
    publisher = postgres.dsn.replace(f"/{DATABASE}?", "/publisher?")
    postgres.sql("create database publisher")
    Server(stage.directory, {"DATABASE_URL": postgres.dsn}).run("migrate")
    source = Server(stage.directory, {"DATABASE_URL": publisher})
    source.run("migrate")
    for table in tables[:4]:
        execute(publisher, f"alter table {table} alter column id restart with 1001")
    hall = int(source.run("seed", "hall", "--seats", str(SEATS), "--name", "Replicated"))
    execute(
        publisher,
        f"create publication halls for table {', '.join(tables)} with (publish_via_partition_root = true)",
    )
    # Within one cluster a subscription that made the slot itself would wait for itself.
    execute(publisher, "select pg_create_logical_replication_slot('halls', 'pgoutput')")
    postgres.sql(
        f"create subscription halls connection '{publisher}' publication halls"
        " with (create_slot = false, slot_name = 'halls')"
    )
    copying = "select srrelid::regclass::text from pg_subscription_rel where srsubstate <> 'r'"
    wait_until(lambda: not postgres.rows(copying), 20.0, "the tables have been copied")
    return publisher, hall

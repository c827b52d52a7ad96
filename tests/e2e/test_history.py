"""Looking back on the page: a day that is over, the slider, playing it, and the way back to the present."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, WebSocketRoute, expect

from tests.e2e.conftest import Visit
from tests.e2e.person import Person
from tests.e2e.site import Site

PHONE = (390, 844)
SEATS = "hall_id = 3 and row = 1"


@pytest.fixture
def day(site: Site) -> str:
    """The Salon has had a day: yesterday, so that the test may run at any time. Returns the date.

    From 09:00, when it was made; ada reserves row 1 at 12:00, sells it at 13:00, and SQL empties it at 14:50.
    """
    site.token("ada")
    day = str(site.value("select (now() at time zone 'UTC')::date - 1"))
    site.sql(
        "begin; alter table hall disable trigger user;"
        f" update hall set created_at = '{day}T08:59:59Z' where id = 3;"
        " alter table hall enable trigger user; commit"
    )
    site.sql(f"update hall_checkpoint set at = '{day}T09:00Z' where hall_id = 3")
    site.sql(f"update seat_event set at = '{day}T09:00Z' where hall_id = 3")
    change(site, f"{day}T12:00Z", f"status = 'RESERVED' where {SEATS}", "ada")
    change(site, f"{day}T13:00Z", f"status = 'OCCUPIED' where {SEATS}", "ada")
    change(site, f"{day}T14:50Z", f"status = 'VACANT' where {SEATS}")
    return day


def change(site: Site, at: str, what: str, user: str | None = None) -> None:
    """A change at another time, of a user or by SQL."""
    by = f"(select id from app_user where username = '{user}')" if user else "null"
    site.sql(
        "begin; set local seatsync.writing = 'on';"
        f" update seat set updated_by = {by}, updated_at = '{at}', {what};"
        f" update seat_event set at = '{at}' where hall_id = 3 and rev = (select rev from hall where id = 3); commit"
    )


def look_back(visit: Visit, day: str, **options: object) -> Person:
    """Somebody who looks back at three in the afternoon, before the Salon by default."""
    options = {"user": "eve", **options}
    person = visit(clock=True, now=f"{day}T15:00:00Z", timezone_id="UTC", **options)
    person.sees(1, 1, "free")
    person.press("Earlier")
    then(person, "15:00:")
    return person


def slider(person: Person) -> Locator:
    """The slider over the day."""
    return person.page.get_by_role("slider", name="Time")


def go_to(person: Person, time: str) -> None:
    """Drag the slider there; it begins at 09:00."""
    hours, minutes = map(int, time.split(":"))
    slider(person).fill(f"{3600 * (hours - 9) + 60 * minutes}")
    then(person, f"{time}:00")


def then(person: Person, time: str) -> None:
    """The page says that it is the hall as it was then."""
    expect(person.page.locator("#then")).to_have_text(re.compile(rf"As it was at {time}.* · read only"))


def is_now(person: Person) -> None:
    """The page shows the present."""
    expect(person.page.locator("#past")).to_be_hidden()
    expect(person.page.locator("#then")).to_be_hidden()
    person.trusts("● live")


def test_the_hall_as_it_was(visit: Visit, day: str) -> None:
    """Before and after each change: the seats, the counts, and what had changed, by whom."""
    eve = look_back(visit, day)
    go_to(eve, "11:59")
    eve.sees(1, 1, "free")
    expect(eve.page.locator("#hall-total")).to_have_text("7 of 24 taken")
    go_to(eve, "12:00")
    eve.sees(1, 1, "reserved")
    eve.sees_change("12:00:00")
    eve.sees_change("reserved")
    eve.sees_change("by ada")
    expect(slider(eve)).to_have_attribute("aria-valuetext", "12:00:00, 11 of 24 taken")
    go_to(eve, "14:49")
    eve.sees(1, 1, "occupied")
    expect(eve.page.locator("#changes-title")).to_have_text("Changes until 14:49:00")
    eve.page.get_by_role("button", name="12:00:00").click()
    eve.sees(1, 1, "reserved")
    then(eve, "12:00:00")


def test_the_keyboard_alone(visit: Visit, day: str) -> None:
    """The key h looks back, arrows go by minutes, n and Escape show the present, wherever the focus is."""
    eve = visit(user="eve", clock=True, now=f"{day}T15:00:00Z", timezone_id="UTC")
    eve.sees(1, 1, "free")
    eve.seat(1, 1).focus()
    eve.page.keyboard.press("h")
    expect(slider(eve)).to_be_focused()
    eve.page.keyboard.press("Home")
    then(eve, "09:00:00")
    eve.page.keyboard.press("ArrowRight")
    then(eve, "09:01:00")
    eve.page.keyboard.press("n")
    is_now(eve)
    expect(eve.page.get_by_role("gridcell").and_(eve.page.locator(":focus"))).to_have_count(1)
    eve.page.keyboard.press("h")
    go_to(eve, "12:30")
    eve.sees(1, 1, "reserved")
    eve.seat(1, 1).focus()
    eve.page.keyboard.press("Escape")
    is_now(eve)
    eve.sees(1, 1, "free")


def test_the_past_is_read_only_and_the_present_goes_on(visit: Visit, site: Site, day: str) -> None:
    """Nothing can be selected or changed; what happens meanwhile is not shown, and there at once with the present."""
    eve = look_back(visit, day)
    go_to(eve, "13:30")
    eve.sees(1, 1, "occupied")
    eve.click(1, 1)
    expect(eve.page.locator("#choices")).to_be_hidden()
    expect(eve.page.locator("#what")).to_contain_text("Row 1, seat 1, VIP, occupied, since")
    expect(eve.seat(1, 1)).not_to_have_attribute("aria-selected", "true")
    eve.seat(1, 1).press("f")
    eve.seat(1, 1).press(" ")
    site.sql("update seat set status = 'RESERVED' where hall_id = 3 and row = 1 and place <= 3")
    expect(eve.page.get_by_role("link", name=re.compile("^Salon"))).to_contain_text("33 %")
    eve.sees(1, 1, "occupied")
    eve.trusts("looking back")
    eve.press("Now")
    eve.sees(1, 1, "reserved")
    eve.sees_change("row 1, 1–3")
    is_now(eve)
    eve.click(1, 1)
    expect(eve.page.locator("#choices")).to_be_visible()
    assert site.value(f"select bool_and(status <> 'OCCUPIED') from seat where {SEATS}")


def test_playing(visit: Visit, day: str) -> None:
    """At 600 times its speed, with a pause; the present is where it ends."""
    eve = look_back(visit, day)
    go_to(eve, "12:30")
    eve.sees(1, 1, "reserved")
    eve.press("Play at 600×")
    expect(eve.page.get_by_role("button", name="Play at 600×")).to_have_attribute("aria-pressed", "true")
    eve.sees(1, 1, "occupied")
    eve.sees_change("13:00:00")
    eve.press("Play at 600×")
    expect(eve.page.get_by_role("button", name="Play at 600×")).to_have_attribute("aria-pressed", "false")
    then(eve, "1[34]:")
    go_to(eve, "14:49")
    eve.press("Play at 60×")
    eve.sees(1, 1, "free")
    eve.sees_change("14:50:00")
    eve.press("Play at 600×")
    is_now(eve)


def test_a_viewer_has_the_hall_alone(visit: Visit, site: Site, day: str) -> None:
    """Who may not write sees the hall as it was, plays it, and does not see who changed it; a guest has the present."""
    site.token("vic")
    site.sql("update app_user set role = 'viewer' where username = 'vic'")
    vic = look_back(visit, day, user="vic")
    go_to(vic, "12:30")
    vic.sees(1, 1, "reserved")
    expect(vic.page.locator("#change-list")).to_contain_text("Who may change seats sees here who changed what.")
    vic.press("Play at 600×")
    vic.sees(1, 1, "occupied")
    guest = visit()
    guest.sees(1, 1, "free")
    expect(guest.page.locator("[data-view=past]")).to_be_hidden()
    guest.seat(1, 1).press("h")
    expect(guest.page.locator("#past")).to_be_hidden()


def test_another_day_and_another_hall(visit: Visit, day: str) -> None:
    """A day is chosen by its date; before the history there is none; another hall is shown as it is."""
    eve = visit(user="eve", timezone_id="UTC")
    eve.sees(1, 1, "free")
    eve.press("Earlier")
    eve.page.get_by_label("Day").fill(day)
    expect(eve.page.locator("#course p span").first).to_have_text("09:00")
    expect(eve.page.locator("#course p span").last).to_have_text("00:00")
    then(eve, ".*00:00:00")
    slider(eve).fill("12600")
    eve.sees(1, 1, "reserved")
    then(eve, f"{day} 12:30:00")
    expect(eve.page.locator("#changes-title")).to_have_text(f"Changes until {day} 12:30:00")
    expect(eve.page.locator("#change-list time").first).to_have_text("12:00:00")
    eve.page.get_by_role("link", name=re.compile("^Studio")).click()
    expect(eve.page.locator("#hall-name")).to_have_text("Studio")
    is_now(eve)


def test_the_date_fits_on_a_phone(visit: Visit, day: str) -> None:
    """The mark of another day is one line."""
    eve = visit(user="eve", size=PHONE, timezone_id="UTC")
    eve.press("Earlier")
    eve.page.get_by_label("Day").fill(day)
    then(eve, ".*00:00:00")
    box = eve.page.locator("#then").bounding_box()
    assert box is not None
    assert box["height"] < 35


def test_it_is_loaded_when_it_is_used(visit: Visit) -> None:
    """Who does not look back does not load what that takes."""
    eve = visit(user="eve")
    eve.sees(1, 1, "free")
    loaded = "performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/web/history.js'))"
    assert not eve.evaluate(loaded)
    eve.press("Earlier")
    then(eve, "")
    assert eve.evaluate(loaded)


def heights(person: Person) -> list[float]:
    """The curve from 10:30, 12:00 and 13:30 on, in percent."""
    expect(person.page.locator("#curve i")).to_have_attribute("style", re.compile("polygon"))
    shape = person.evaluate("document.querySelector('#curve i').style.clipPath")
    points = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+)% ([\d.]+)%", shape)]
    return [round(100 - next(y for x, y in points if x == at and y < 100)) for at in (25, 50, 75)]


def test_the_curve(visit: Visit, day: str) -> None:
    """The share of seats that were taken, at any time of the day."""
    assert heights(look_back(visit, day)) == [29, 46, 46]


def test_the_curve_of_a_busy_day(visit: Visit, site: Site, day: str) -> None:
    """Where the day has too many changes to read, the hours before them are those of the reports."""
    rev = site.value("select rev from hall where id = 3")
    site.sql(
        "do $$ begin for n in 1..420 loop update seat set status = case n % 2 when 0 then 'OCCUPIED' else 'VACANT' end"
        "::seat_status where hall_id = 3; end loop; end $$"
    )
    site.sql(f"update seat_event set at = '{day}T14:55Z' where hall_id = 3 and rev > {rev}")
    eve = visit(user="eve", clock=True, now=f"{day}T15:00:00Z", timezone_id="UTC")

    def answer_reports(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def message(text: str) -> None:
            asked = json.loads(text)
            if asked == 1 or asked["type"] != "hall.report":
                server.send(text)
                return
            assert (asked["data"]["id"], asked["data"]["bucket"]) == (3, "hour")
            hours = [
                {"from": f"{day}T{hour}:00:00.000Z", "occupied_avg": 6.0, "reserved_avg": hour - 9.0}
                for hour in range(10, 15)
            ]
            socket.send(json.dumps({**asked, "status": "success", "data": hours, "error": None}))

        socket.on_message(message)

    eve.page.route_web_socket("**/ws", answer_reports)
    eve.page.reload()
    eve.sees(1, 1, "occupied")
    eve.press("Earlier")
    assert heights(eve) == [29, 38, 42]


def test_an_outage(visit: Visit, site: Site, day: str) -> None:
    """The page says so, and looks back again when the server is there."""
    eve = look_back(visit, day)
    site.stop()
    eve.trusts("reconnecting")
    site.start()
    eve.trusts("looking back")
    go_to(eve, "12:30")
    eve.sees(1, 1, "reserved")


@pytest.mark.parametrize("size", [(1440, 900), PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Visit, day: str, scheme: str, size: tuple[int, int]) -> None:
    """axe-core has no complaint; nothing is wider than the window."""
    eve = look_back(visit, day, scheme=scheme, size=size)
    go_to(eve, "13:30")
    eve.sees(1, 1, "occupied")
    found = Axe().run(eve.page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found] == []
    assert eve.evaluate("document.documentElement.scrollWidth") == size[0]

"""Watching: halls, seats, changes and totals, and what the page says when it cannot be current."""

import re
import signal

from playwright.sync_api import expect

from tests.e2e.conftest import Visit
from tests.e2e.site import Site

SALON = "update seat set status = 'OCCUPIED' where hall_id = 3 and row = {} and place in ({})"


def test_the_address_alone_shows_a_hall(visit: Visit) -> None:
    """Whoever opens the server's address sees the cinemas, their shares, and the first hall."""
    ada = visit("/")
    expect(ada.page.get_by_role("heading", name="Grand Hall")).to_be_visible()
    expect(ada.page.get_by_role("link", name=re.compile(r"^Grand Hall 27 %"))).to_have_attribute("aria-current", "page")
    expect(ada.page.locator("#hall-total")).to_have_text("137 of 500 taken · 1 in repair")
    expect(ada.page.locator("#types li")).to_contain_text(["216 of 300 free", "110 of 150 free", "36 of 50 free"])
    ada.sees(7, 14, "in repair")
    ada.trusts("live")


def test_a_change_by_another_is_seen(visit: Visit) -> None:
    """A writer's change appears on a guest's plan, in the totals, in the shares and in words."""
    writer, guest = visit(user="eve"), visit()
    writer.sees(1, 1, "free")
    guest.sees(1, 1, "free")
    total = guest.page.locator("#hall-total").inner_text()
    writer.click(1, 1)
    writer.press("Occupy")
    guest.sees(1, 1, "occupied")
    guest.sees_change("row 1, 1occupied")
    assert guest.page.locator("#hall-total").inner_text() != total
    expect(guest.page.locator("#halls a[aria-current] b")).not_to_have_text("29 %")
    expect(guest.page.locator("#live")).to_have_text("Row 1, 1: occupied.")


def test_a_change_by_sql_is_one_line(visit: Visit, site: Site) -> None:
    """A statement that changes many seats is one line in the list."""
    guest = visit()
    guest.sees(1, 1, "free")
    site.sql(SALON.format(1, "1, 2, 3"))
    guest.sees_change("row 1, 1–3")
    expect(guest.page.locator("#change-list li")).to_have_count(1)
    site.sql("update seat set status = 'VACANT' where hall_id = 3")
    guest.sees_change("rows 1–4")


def test_a_restart_of_the_server_is_survived(visit: Visit, site: Site) -> None:
    """While the server is away the page says since when; what happened meanwhile is there when it is back."""
    guest = visit()
    guest.sees(1, 1, "free")
    site.stop(signal.SIGKILL)
    guest.trusts(re.compile(r"reconnecting.*picture of \d\d:\d\d:\d\d"))
    expect(guest.page.locator("#picture-of")).to_be_visible()
    site.sql(SALON.format(1, "1, 2"))
    site.start()
    guest.trusts("live")
    guest.sees(1, 1, "occupied")
    guest.sees_change("row 1, 1–2")
    expect(guest.page.locator("#picture-of")).to_be_hidden()


def test_a_lost_database_is_shown(visit: Visit, site: Site) -> None:
    """A server that has lost its database says so; the plan is dimmed until it is current again."""
    guest = visit()
    guest.sees(1, 1, "free")
    with site.without_database():
        guest.trusts(re.compile(r"database feed down, picture may be old since \d\d:\d\d:\d\d"))
        expect(guest.page.locator("#plan")).to_have_class("old")
    guest.trusts("● live")
    expect(guest.page.locator("#plan")).not_to_have_class("old")


def test_what_comes_from_data_is_text(visit: Visit, site: Site) -> None:
    """Names and notes are written as text, whatever they hold."""
    site.sql("update hall set name = '<img src=x onerror=alert(1)>' where id = 3")
    site.sql("update seat set status = 'MAINTENANCE', note = '<b>wet</b>' where hall_id = 3 and row = 1 and place = 1")
    guest = visit()
    expect(guest.page.locator("#hall-name")).to_have_text("<img src=x onerror=alert(1)>")
    guest.sees(1, 1, "in repair, <b>wet</b>")
    assert guest.page.locator("main img").count() == 0


def test_no_text_becomes_markup(visit: Visit, site: Site) -> None:
    """Of names anywhere and of what a client calls itself; and the policy lets no script make markup of a text."""
    attack = '<img src=x onerror="document.title = 1">'
    site.sql(f"update cinema set name = '{attack}'; update seat_type set name = '{attack}' || id")
    eve = visit(user="eve")
    eve.sees(1, 1, "free")
    site.sql(f"insert into session (user_id, address, user_agent) select id, '<u>here</u>', '{attack}' from app_user")
    site.sql(f"update seat set status = 'MAINTENANCE', note = '{attack}' where hall_id = 3 and row = 1 and place = 1")
    eve.sees_change(attack)
    expect(eve.page.locator("#types")).to_contain_text(attack)
    expect(eve.page.locator("#halls")).to_contain_text(attack)
    eve.choose("Sessions…")
    expect(eve.page.get_by_role("dialog")).to_contain_text(f"<u>here</u>, {attack}")
    assert eve.page.locator("img[src=x], dialog u").count() == 0
    blocked = "() => { try { document.body.innerHTML = '<i>'; return false } catch { return true } }"
    assert eve.page.evaluate(blocked)


def test_no_cinemas_is_no_dead_end(visit: Visit, site: Site) -> None:
    """A database without halls says how to get some."""
    site.sql("delete from cinema")
    guest = visit("/")
    expect(guest.page.locator("#halls")).to_contain_text("seatsync seed demo")
    expect(guest.page.locator("#empty")).to_contain_text("seatsync seed demo")
    site.sql("insert into cinema (id, name) values (50, 'Odeon')")
    site.sql("insert into hall (id, cinema_id, name, rows, places) values (50, 50, 'Attic', 1, 1)")
    expect(guest.page.locator("#hall-name")).to_have_text("Attic")
    expect(guest.page.locator("#empty")).to_have_text("No seats yet: insert them by SQL.")
    site.sql("insert into seat (hall_id, seat_type_id, row, place) values (50, 1, 1, 1)")
    guest.sees(1, 1, "free")
    expect(guest.page.locator("#empty")).to_be_hidden()


def test_a_deleted_hall_is_no_dead_end(visit: Visit, site: Site) -> None:
    """A hall that goes says so; who comes back later sees another one."""
    guest = visit()
    guest.sees(1, 1, "free")
    site.sql("delete from hall where id = 3")
    expect(guest.page.locator("#empty")).to_contain_text("Choose another one")
    guest.page.goto(site.url)
    expect(guest.page.locator("#hall-name")).to_have_text("Grand Hall")


def test_who_must_sign_in_is_told(visit: Visit, site: Site) -> None:
    """A server that shows nothing to guests says how to see something, and then shows it."""
    site.restart(PUBLIC_VIEW="false")
    guest = visit("/")
    expect(guest.page.locator("#empty")).to_contain_text("Sign in to see them")
    guest.register("ada")
    guest.sees(1, 1, "free")


def test_labels_sections_and_holds_are_shown(site: Site, visit: Visit) -> None:
    """A seat's name has its section and labels, and until when it is held."""
    guest = visit()
    guest.sees(1, 1, "free")
    site.sql(
        "update seat set section = 'Balcony', row_label = chr(64 + row), place_label = 10 + place where hall_id = 3;"
        " update seat set hold_until = '2099-01-01' where hall_id = 3 and status = 'RESERVED'"
    )
    cell = guest.page.get_by_role("gridcell", name="Balcony, row A, seat 14, VIP, reserved, until 2099-01-01")
    expect(cell).to_have_count(1)
    guest.press("Find")
    guest.page.get_by_label("Find a seat").fill("c12")
    guest.page.keyboard.press("Enter")
    expect(guest.page.locator("#what")).to_contain_text("Balcony, row C, seat 12, VIP, free")

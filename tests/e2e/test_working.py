"""Changing seats: selecting, the bar, refusals, undo."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Visit
from tests.e2e.site import Site
from tests.support.database import open_session


def test_only_what_is_allowed_is_offered(visit: Visit) -> None:
    """The bar offers the changes that the server would make; a click on empty ground deselects."""
    eve = visit(user="eve")
    eve.sees(1, 1, "free")
    choices = eve.page.locator("#choices")
    expect(choices).to_be_hidden()
    eve.click(1, 1)
    expect(choices.get_by_role("button", name="Free")).to_be_disabled()
    expect(choices.get_by_role("button", name="Occupy")).to_be_enabled()
    expect(eve.seat(1, 1)).to_have_attribute("aria-selected", "true")
    eve.press("Occupy")
    eve.sees(1, 1, "occupied")
    eve.click(1, 1)
    expect(choices.get_by_role("button", name="Reserve")).to_be_disabled()
    expect(choices.get_by_role("button", name="Free")).to_be_enabled()
    box = eve.page.locator("#plan").bounding_box()
    assert box is not None
    eve.page.mouse.click(box["x"] + 20, box["y"] + box["height"] - 20)
    expect(choices).to_be_hidden()


def test_a_run_a_rectangle_and_a_row(visit: Visit) -> None:
    """Shift takes a run of a row, a drag a rectangle, a row's label the row."""
    eve = visit(user="eve")
    eve.sees(1, 1, "free")
    what = eve.page.locator("#what")
    eve.click(3, 2)
    eve.click(3, 5, "Shift")
    expect(what).to_have_text("4 seats: row 3, 2–5")
    eve.drag((1, 1), (2, 3))
    expect(what).to_have_text("6 seats: rows 1–2, 6 seats")
    x, y = eve.point(2, 1)
    next_x, _ = eve.point(2, 2)
    eve.page.mouse.click(x - 0.8 * (next_x - x), y)
    expect(what).to_have_text("6 seats: row 2, all of it")


def test_repair_has_a_note(visit: Visit) -> None:
    """A seat in repair keeps what is broken, and everybody can read it."""
    eve, guest = visit(user="eve"), visit()
    eve.sees(1, 1, "free")
    eve.click(1, 1)
    eve.press("In repair")
    eve.page.get_by_label("Note").fill("Armrest")
    eve.press("Set in repair")
    guest.sees(1, 1, "in repair, Armrest")
    guest.sees_change("in repair (Armrest)")
    guest.click(1, 1)
    expect(guest.page.locator("#what")).to_contain_text("Row 1, seat 1, VIP, in repair, Armrest, since")


def test_a_hold_ends_by_itself(visit: Visit, site: Site) -> None:
    """A seat reserved for five minutes says until when, and is seen to be free when that is over."""
    eve, guest = visit(user="eve"), visit()
    eve.sees(1, 1, "free")
    eve.click(1, 1)
    eve.page.get_by_label("Reserve for how long").select_option("for 5 min")
    eve.press("Reserve")
    expect(guest.seat(1, 1)).to_have_text(re.compile(r"Row 1, seat 1, VIP, reserved, until \d\d:\d\d"))
    seat = "hall_id = 3 and row = 1 and place = 1"
    assert site.value(f"select hold_until - updated_at < interval '5 min 1 s' from seat where {seat}")
    site.sql(f"update seat set hold_until = now() + interval '1 s' where {seat}")
    guest.sees(1, 1, "free")
    guest.sees_change("free")


def test_a_conflict_is_explained(visit: Visit, site: Site) -> None:
    """A refusal names the seat, what it is and by whom, changes nothing, keeps the selection, and offers to go on."""
    site.token("ada")
    eve = visit(user="eve")
    eve.sees(1, 1, "free")
    eve.click(1, 1)
    eve.click(1, 2, "Shift")
    with open_session(site.database_url) as other:
        other.do("begin; set local seatsync.writing = 'on'")
        other.do(
            "update seat set status = 'OCCUPIED', updated_by = (select id from app_user where username = 'ada')"
            " where hall_id = 3 and row = 1 and place = 1"
        )
        eve.press("Reserve")  # waits for the other transaction
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        for _ in range(500):
            if site.value(waiting):
                break
            eve.page.wait_for_timeout(10)
        other.do("commit")
    refusal = eve.page.get_by_role("alertdialog")
    expect(refusal).to_contain_text("Row 1, seat 1 is occupied now, by ada. Nothing was changed.")
    expect(eve.page.locator("#what")).to_contain_text("2 seats")
    eve.sees(1, 2, "free")
    refusal.get_by_role("button", name="Go on with the other seat").click()
    eve.sees(1, 2, "reserved")
    expect(refusal).to_be_hidden()


@pytest.mark.parametrize("status", ["Reserve", "Occupy", "In repair"])
def test_undo(visit: Visit, status: str) -> None:
    """One's last change can be taken back."""
    eve = visit(user="eve")
    eve.sees(1, 1, "free")
    eve.click(1, 1)
    eve.press(status)
    if status == "In repair":
        eve.press("Set in repair")
    expect(eve.seat(1, 1)).not_to_have_text(re.compile(", free"))
    eve.page.get_by_role("button", name="Undo").click()
    eve.sees(1, 1, "free")
    expect(eve.page.locator("#undo")).to_be_hidden()


def test_undo_by_way_of_free(visit: Visit, site: Site) -> None:
    """A sold reservation becomes a reservation again, which the server does not allow in one step."""
    site.sql("update seat set status = 'RESERVED' where hall_id = 3 and row = 1")
    eve = visit(user="eve")
    eve.sees(1, 1, "reserved")
    eve.drag((1, 1), (1, 6))
    eve.press("Occupy")
    eve.sees(1, 1, "occupied")
    eve.page.get_by_role("button", name="Undo").click()
    eve.sees(1, 1, "reserved")
    eve.sees(1, 6, "reserved")


def test_undo_goes_when_somebody_comes_between(visit: Visit, site: Site) -> None:
    """What another has changed since is not undone."""
    eve = visit(user="eve")
    eve.sees(1, 1, "free")
    eve.click(1, 1)
    eve.press("Occupy")
    expect(eve.page.locator("#undo")).to_be_visible()
    site.sql("update seat set status = 'VACANT' where hall_id = 3 and row = 1")
    eve.sees(1, 1, "free")
    expect(eve.page.locator("#undo")).to_be_hidden()


def test_a_viewer_is_offered_nothing(visit: Visit, site: Site) -> None:
    """Who may not change seats sees what they are."""
    vic = visit(user="vic")
    site.sql("update app_user set role = 'viewer' where username = 'vic'")
    vic = visit(user="vic")
    vic.sees(1, 1, "free")
    vic.click(1, 1)
    expect(vic.page.locator("#what")).to_contain_text("Row 1, seat 1, VIP, free, since")
    expect(vic.page.locator("#choices")).to_be_hidden()


def test_everything_by_keyboard(visit: Visit) -> None:
    """The plan is one stop; arrows, selection, status, undo and find need no mouse."""
    eve = visit("/#/hall/1", user="eve")
    eve.sees(1, 1, "free")
    press = eve.page.keyboard.press
    eve.seat(1, 1).focus()
    for key in ("ArrowRight", "ArrowDown", "End"):
        press(key)
    expect(eve.seat(2, 25)).to_be_focused()
    press("Home")
    expect(eve.seat(2, 1)).to_be_focused()
    press("Shift+ArrowRight")
    expect(eve.page.locator("#what")).to_have_text("2 seats: row 2, 1–2")
    press("Escape")
    press("/")
    eve.page.keyboard.type("row 5 seat 3")
    expect(eve.page.locator("#find-answer")).to_contain_text("Row 5, seat 3, Standard")
    press("Enter")
    expect(eve.seat(5, 3)).to_be_focused()
    press("o")
    eve.sees(5, 3, "occupied")
    expect(eve.page.locator("#undo")).to_be_visible()  # the change may be seen before its answer
    press("u")
    eve.sees(5, 3, "free")
    press("Enter")
    expect(eve.page.get_by_role("button", name="Reserve")).to_be_focused()
    press("?")
    expect(eve.page.get_by_role("dialog")).to_have_count(0)  # keys are the plan's alone


def test_the_focus_comes_back_to_the_plan(visit: Visit) -> None:
    """After a change, an undo, a note and Escape the keyboard is where it was: on the seat."""
    eve = visit(user="eve")
    eve.sees(1, 1, "free")
    press = eve.page.keyboard.press
    eve.seat(1, 1).focus()
    press("Enter")
    expect(eve.page.get_by_role("button", name="Reserve")).to_be_focused()
    press("Escape")
    expect(eve.seat(1, 1)).to_be_focused()
    press("Enter")
    press("Enter")
    eve.sees(1, 1, "reserved")
    expect(eve.seat(1, 1)).to_be_focused()
    expect(eve.page.locator("#undo")).to_be_visible()
    eve.page.locator("#undo").focus()
    press("Enter")
    eve.sees(1, 1, "free")
    expect(eve.seat(1, 1)).to_be_focused()
    press("m")
    expect(eve.page.get_by_label("Note")).to_be_focused()
    press("Escape")
    expect(eve.seat(1, 1)).to_be_focused()
    press("m")
    eve.page.keyboard.type("Armrest")
    press("Enter")
    eve.sees(1, 1, "in repair")
    expect(eve.seat(1, 1)).to_be_focused()


def test_the_plan_is_one_stop(visit: Visit) -> None:
    """Tab leaves the plan for what comes after it."""
    guest = visit()
    guest.sees(1, 1, "free")
    assert guest.page.locator("[role=gridcell][tabindex='0']").count() == 1
    guest.seat(1, 1).focus()
    guest.page.keyboard.press("Tab")
    expect(guest.page.get_by_role("button", name="Zoom out")).to_be_focused()


def test_zoom_stays_around_the_pointer(visit: Visit) -> None:
    """The wheel enlarges around the pointer; 0 shows all again."""
    guest = visit()
    guest.sees(1, 1, "free")
    x, y = guest.point(2, 2)
    before = guest.seat(2, 2).bounding_box()
    guest.page.mouse.move(x, y)
    guest.page.mouse.wheel(0, -300)
    expect(guest.page.locator("#plan canvas").first).to_be_visible()
    guest.page.wait_for_function(
        "width => document.querySelector('[role=gridcell]').getBoundingClientRect().width > 1.5 * width",
        arg=before and before["width"],
    )
    assert guest.point(2, 2) == pytest.approx((x, y), abs=1)
    guest.press("Fit")
    guest.page.wait_for_function(
        "width => Math.abs(document.querySelector('[role=gridcell]').getBoundingClientRect().width - width) < 1",
        arg=before and before["width"],
    )

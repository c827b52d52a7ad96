"""What a person does on the page, and sees there."""

import re
from typing import Any

import pyotp
from attrs import define
from playwright.sync_api import Locator, Page, expect

from tests.e2e.site import Site

PATIENCE_MS = 15_000

expect.set_options(timeout=PATIENCE_MS)


@define
class Person:
    """Somebody before the page."""

    page: Page
    site: Site
    secret: str = ""
    """That of the authenticator app."""

    # -- looking

    def seat(self, row: int, place: int) -> Locator:
        """The readable twin of a seat."""
        return self.page.get_by_role("gridcell", name=re.compile(rf"^Row {row}, seat {place},"))

    def sees(self, row: int, place: int, status: str) -> None:
        """The seat has that status, once the plan is there."""
        expect(self.seat(row, place)).to_have_text(re.compile(rf", {status}(,|$)"))

    def sees_change(self, text: str) -> None:
        """The newest line of the changes says that."""
        expect(self.page.locator("#change-list li").first).to_contain_text(text)

    def trusts(self, text: str | re.Pattern[str]) -> None:
        """The one place of trust says that."""
        expect(self.page.locator("#trust")).to_contain_text(text)

    # -- pointing

    def point(self, row: int, place: int) -> tuple[float, float]:
        """Where a seat is on the screen."""
        box = self.seat(row, place).bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def click(self, row: int, place: int, *keys: str) -> None:
        """Click a seat, with keys held down."""
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self.point(row, place))
        for key in keys:
            self.page.keyboard.up(key)

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Draw a rectangle from the middle of one seat to the middle of another."""
        (left, top), (right, bottom) = self.point(*start), self.point(*end)
        self.page.mouse.move(left - 4, top - 4)
        self.page.mouse.down()
        self.page.mouse.move((left + right) / 2, (top + bottom) / 2)
        self.page.mouse.move(right + 4, bottom + 4)
        self.page.mouse.up()

    def press(self, name: str) -> None:
        """Press a button of that name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    # -- signing in

    def code(self) -> str:
        """A code that has not been used yet."""
        self.site.sql("update app_user set totp_last_step = 0")
        return pyotp.TOTP(self.secret).now()

    def register(self, username: str) -> None:
        """Register with an authenticator that reads the key beside the QR code."""
        self.press("Sign in")
        self.page.get_by_label("Name").fill(username)
        self.press("Next")
        expect(self.page.get_by_role("img", name="QR code")).to_be_visible()
        self.secret = self.page.locator(".key code").inner_text().replace(" ", "")
        self.page.get_by_label("Code").fill(self.code())
        self.is_signed_in(username)

    def is_signed_in(self, username: str) -> None:
        """The page shows that name, and no dialog."""
        expect(self.page.locator("#account")).to_contain_text(username)
        expect(self.page.get_by_role("dialog")).to_have_count(0)

    def choose(self, item: str) -> None:
        """Choose from the account's menu."""
        self.page.locator("#account").click()
        self.press(item)

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """The value of a script on the page."""
        return self.page.evaluate(script, argument)

"""Signing in: registration with an authenticator, codes, recovery, sign-out."""

import re

from playwright.sync_api import expect

from tests.e2e.conftest import Visit
from tests.e2e.site import Site

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/19.1 Mobile/15E148 Safari/604.1"
)


def test_registration_and_signing_in_again(visit: Visit) -> None:
    """A new user enrols an authenticator and may change seats; signed out, the same name asks for a code."""
    ada = visit()
    ada.trusts("● live")
    ada.register("ada")
    expect(ada.page.locator("#account")).to_have_text("ada · admin")
    ada.sees(1, 1, "free")
    ada.click(1, 1)
    ada.press("Reserve")
    ada.sees(1, 1, "reserved")

    ada.choose("Sign out")
    expect(ada.page.get_by_role("button", name="Sign in")).to_be_visible()
    ada.trusts(re.compile(r"● live$"))

    ada.press("Sign in")
    ada.page.get_by_label("Name").fill("ada")
    ada.press("Next")
    ada.page.get_by_label("Code").fill(ada.code())
    ada.is_signed_in("ada")


def test_signing_in_does_not_cry(visit: Visit) -> None:
    """The connection that signing in costs is back before anybody is told of it."""
    ada = visit()
    ada.trusts("● live")
    ada.evaluate("""() => {
        window.said = [];
        new MutationObserver(() => window.said.push(document.querySelector("#trust").textContent))
            .observe(document.querySelector("#trust"), {childList: true, characterData: true, subtree: true});
    }""")
    ada.register("ada")
    ada.click(1, 1)
    ada.press("Reserve")
    ada.sees(1, 1, "reserved")
    assert ada.evaluate("window.said") == []


def test_a_wrong_code_is_explained(visit: Visit) -> None:
    """The step stays, says what is wrong, and takes the right code."""
    ada = visit()
    ada.register("ada")
    bob = visit()
    bob.secret = ada.secret
    bob.press("Sign in")
    bob.page.get_by_label("Name").fill("ada")
    bob.press("Next")
    right = bob.code()
    bob.page.get_by_label("Code").fill("000000" if right != "000000" else "111111")
    expect(bob.page.get_by_role("alert")).to_contain_text("not valid")
    bob.page.get_by_label("Code").fill(right)
    bob.is_signed_in("ada")


def test_recovery(visit: Visit) -> None:
    """A phrase that was written down enrols a new authenticator, and ends the other sessions."""
    ada = visit()
    ada.register("ada")
    ada.choose("Recovery phrase…")
    ada.page.get_by_label("Code").fill(ada.code())
    phrase = ada.page.locator(".phrase").inner_text()
    ada.page.get_by_label("Recovery phrase").fill(phrase)
    ada.press("Save")
    expect(ada.page.get_by_role("dialog")).to_contain_text("in force")
    ada.press("Close")

    again = visit()
    again.press("Sign in")
    again.press("Lost your authenticator?")
    again.page.get_by_label("Name").fill("ada")
    again.page.get_by_label("Recovery phrase").fill(phrase)
    again.press("Next")
    again.secret = again.page.locator(".key code").inner_text().replace(" ", "")
    assert again.secret != ada.secret
    again.page.get_by_label("Code").fill(again.code())
    again.is_signed_in("ada")
    ada.trusts("signed out")
    expect(ada.page.get_by_role("button", name="Sign in")).to_be_visible()


def test_own_sessions_are_listed_and_ended(visit: Visit) -> None:
    """One's sessions have a device and an address, one's own first; another that is ended is signed out."""
    phone = visit(user="eve", user_agent=IPHONE)
    phone.sees(1, 1, "free")
    eve = visit(user="eve")
    eve.sees(1, 1, "free")
    eve.choose("Sessions…")
    dialog = eve.page.get_by_role("dialog")
    rows = dialog.get_by_role("listitem")
    expect(rows).to_have_text(
        [re.compile("^This one.*, Chrome on Linux$"), re.compile("^Last seen.*, Safari on iPhoneEnd$")]
    )
    eve.press("End")
    expect(rows).to_have_count(1)
    expect(dialog).to_contain_text("on this device only")
    phone.trusts("signed out")
    eve.press("Close")
    eve.is_signed_in("eve")


def test_sessions_without_a_server_are_no_riddle(visit: Visit, site: Site) -> None:
    """What the server does not answer is said in the dialog."""
    eve = visit(user="eve")
    eve.sees(1, 1, "free")
    with site.without_database():
        eve.choose("Sessions…")
        expect(eve.page.get_by_role("dialog")).to_contain_text("database")

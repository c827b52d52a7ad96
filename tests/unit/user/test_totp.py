"""Codes of an authenticator."""

import base64
import xml.etree.ElementTree as ET

import pyotp
import pytest

from seatsync.user.totp import enrolment_uri, matching_step, new_secret, qr_code

# RFC 6238 appendix B, cut to six digits; the key is ASCII "12345678901234567890".
ISSUER = "Seats Sync"
RFC_SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("now", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_the_codes_of_the_rfc_match(now: int, code: str) -> None:
    """The codes equal those of RFC 6238 appendix B."""
    assert matching_step(RFC_SECRET, code, now) == now // 30


@pytest.mark.parametrize(("drift", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off(drift: int, good: bool) -> None:
    """One step either side, no more; the step is the code's own."""
    secret, now = new_secret(), 1_700_000_000.0
    step = int(now // 30) + drift
    code = pyotp.TOTP(secret).generate_otp(step)
    assert matching_step(secret, code, now) == (step if good else None)


def test_a_secret_has_160_bits() -> None:
    """A secret has 160 bits, as RFC 4226 §4 recommends."""
    assert len(base64.b32decode(new_secret())) == 20


def test_the_secret_is_the_last_parameter() -> None:
    """Clients show everything after ``secret=`` as the key to type."""
    assert enrolment_uri(ISSUER, "ada", RFC_SECRET).endswith(f"&secret={RFC_SECRET}")


def test_an_authenticator_understands_the_uri() -> None:
    """A parser of the format finds the same name, issuer and codes."""
    parsed = pyotp.parse_uri(enrolment_uri(ISSUER, "ada_L-1", RFC_SECRET))
    assert isinstance(parsed, pyotp.TOTP)
    assert (parsed.name, parsed.issuer, parsed.interval, parsed.digits) == ("ada_L-1", "Seats Sync", 30, 6)
    assert parsed.at(59) == "287082"


async def test_the_qr_code_is_an_svg() -> None:
    """A ``data:`` URL that an `img` shows, without another request."""
    url = await qr_code(enrolment_uri(ISSUER, "ada", RFC_SECRET))
    head, _, body = url.partition(",")
    assert head == "data:image/svg+xml;base64"
    root = ET.fromstring(base64.b64decode(body))  # noqa: S314 - our own image
    assert root.tag == "{http://www.w3.org/2000/svg}svg"

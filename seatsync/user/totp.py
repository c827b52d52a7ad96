"""Codes of an authenticator: TOTP (RFC 6238) with SHA-1, six digits, steps of 30 s, one step of drift either side."""

import base64
import hmac
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

import pyotp
import trio

STEP_S: Final = 30

Draw = Callable[[str], Awaitable[str]]

_DRIFT = (-1, 0, 1)

# An image takes 10 ms of pure Python: off the event loop, and one at a time.
_drawing = trio.CapacityLimiter(1)


def new_secret() -> str:
    """160 random bits in base32, as long as RFC 4226 §4 recommends."""
    return pyotp.random_base32()


def matching_step(secret: str, code: str, now: float) -> int | None:
    """The newest step accepted at ``now`` seconds that gives this code; ``None`` for a wrong code.

    It compares all steps, in constant time. The database checks that the step was not used before.
    """
    totp = pyotp.TOTP(secret, interval=STEP_S)
    found = None
    for step in (int(now // STEP_S) + drift for drift in _DRIFT):
        if hmac.compare_digest(totp.generate_otp(step), code):
            found = step
    return found


def code_at(secret: str, now: float) -> str:
    """The code at ``now`` seconds."""
    return pyotp.TOTP(secret, interval=STEP_S).generate_otp(int(now // STEP_S))


def enrolment_uri(issuer: str, username: str, secret: str) -> str:
    """The ``otpauth://`` URI; apps show the issuer's name.

    The secret is its last parameter: clients show the text after ``secret=``.
    """
    issuer = quote(issuer, safe="")
    return f"otpauth://totp/{issuer}:{username}?issuer={issuer}&algorithm=SHA1&digits=6&period={STEP_S}&secret={secret}"


async def qr_code(uri: str) -> str:
    """The URI as a QR code: a ``data:`` URL of an SVG. A cancellation waits for the image and discards it."""
    return await trio.to_thread.run_sync(_draw, uri, limiter=_drawing)


def _draw(uri: str) -> str:
    import qrcode  # noqa: PLC0415 - most servers draw none for hours, and no other command does
    from qrcode.image.svg import SvgPathFillImage  # noqa: PLC0415 - the same

    code = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_L, border=4, image_factory=SvgPathFillImage)
    code.add_data(uri)
    svg: bytes = code.make_image().to_string()
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"

"""Strangers who guess at a user's code from many sockets and networks, and the user who signs in meanwhile.

The server trusts this machine as a proxy, so that each client has the address that it claims.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pyotp
import trio
from attrs import define, field

from tests.support.client import http, open_client

SETTINGS: dict[str, Any] = {
    "TRUSTED_PROXIES": "127.0.0.0/8,::1/128",
    "LOOKUPS_PER_MINUTE": "1000000",
    "REGISTRATION": "open",
}
"""For the server; without the limit on look-ups, which would keep most guesses from being counted."""

SOCKETS = 100
NETWORKS = [f"198.51.100.{number}" for number in range(20)]
HOME = "192.0.2.1"

MOST = 100
"""Guesses that may be looked at."""

Sql = Callable[[str], Awaitable[object]]


@define
class Owner:
    """The user ada, who has registered at home and has a recovery phrase."""

    ports: Sequence[int]
    """Of the servers."""
    sql: Sql
    secret: str = ""
    phrase: str = ""
    cookies: dict[str, str] = field(factory=dict)
    slowest_s: float = 0.0
    """The longest that a sign-in took."""

    async def register(self) -> None:
        """Sign up, save a phrase, and sign out: the device and the network are known from then on."""
        start = await self.call("auth_start", HOME, username="ada")
        self.secret = start["qr_url"].partition("secret=")[2]
        await self.call("register", HOME, username="ada", code=await self.code())
        self.phrase = (await self.call("recovery_phrase", HOME, code=await self.code()))["phrase"]
        await self.call("save_recovery_phrase", HOME, phrase=self.phrase)
        await self.call("logout", HOME)

    async def sign_in_every_way(self, round_: int) -> None:
        """By the known device elsewhere, by a new device at home, and by the phrase, begun by a new device elsewhere.

        Each has to succeed. The recovery is not confirmed.
        """
        elsewhere, began = f"203.0.113.{round_}", time.monotonic()
        await self.call("login", elsewhere, username="ada", code=await self.code())
        await self.call("login", HOME, new_device=True, username="ada", code=await self.code())
        await self.call("recover", elsewhere, new_device=True, username="ada", phrase=self.phrase)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    async def call(self, method: str, address: str, *, new_device: bool = False, **data: Any) -> Any:
        """The data of a call that has to succeed."""
        headers = {"X-Forwarded-For": address}
        if not new_device:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await http(self.ports[0], "POST", f"/api/user/{method}", data, headers)
        if not new_device:
            self.cookies |= answer.cookies()
        assert answer.json()["error"] is None, answer.json()
        return answer.json()["data"]

    async def code(self) -> str:
        """A code that has not been used yet."""
        await self.sql("update app_user set totp_last_step = 0")
        return pyotp.TOTP(self.secret).now()

    def wrong_code(self) -> str:
        """Six digits that are no code for the next half an hour."""
        totp, now = pyotp.TOTP(self.secret), int(time.time()) // 30
        soon = {totp.generate_otp(now + step) for step in range(-2, 60)}
        return next(code for code in map("{:06}".format, range(100)) if code not in soon)


async def guess_while_the_owner_signs_in(owner: Owner, guesses: int, rounds: int = 3) -> Counter[str]:
    """Have that many wrong codes sent by `SOCKETS` clients at once; returns how the server answered them."""
    answers: Counter[str] = Counter()
    left = iter(range(guesses))
    begun = trio.Event()

    async def stranger(number: int) -> None:
        port, network = owner.ports[number % len(owner.ports)], NETWORKS[number % len(NETWORKS)]
        async with open_client(port, [(b"X-Forwarded-For", network.encode())]) as client:
            for _ in left:
                answer = await client.call("user.login", {"username": "ada", "code": wrong})
                answers[answer["error"]] += 1
                if answers.total() >= MOST:
                    begun.set()

    async def sign_in() -> None:
        await begun.wait()
        for round_ in range(rounds):
            await owner.sign_in_every_way(round_)

    wrong = owner.wrong_code()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sign_in)
        for number in range(SOCKETS):
            nursery.start_soon(stranger, number)
    return answers

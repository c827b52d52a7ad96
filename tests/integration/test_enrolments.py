"""Who goes on with an enrolment: over HTTP the cookie that its beginning set, over a WebSocket the connection alone."""

from typing import Any

import pyotp

from tests.support.browser import Browser
from tests.support.client import Client, http
from tests.support.database import fetchval
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually

START, REGISTER = "user.auth_start", "user.register"


def secret_of(candidate: Any) -> str:
    """The secret in an answer."""
    return str(candidate["qr_url"].partition("secret=")[2])


async def start(client: Client) -> str:
    """The secret of ada's registration on that connection."""
    return secret_of(await client.data(START, {"username": "ada"}))


async def confirm(client: Client, secret: str) -> str | None:
    """The error of confirming ada's registration."""
    answer = await client.call(REGISTER, {"username": "ada", "code": pyotp.TOTP(secret).now()})
    error: str | None = answer["error"]
    return error


async def gone(server: RunningServer) -> None:
    """Wait until nothing is being enrolled."""

    async def none() -> bool:
        return bool(await server.value("select count(*) = 0 from registration"))

    await eventually(none)


async def test_planted_cookie_signs_nobody_else_in(server: RunningServer) -> None:
    """Whoever planted the visitor cookie is not shown the secret of the registration that it begins."""
    await server.token("first", "admin")
    attacker = Browser(server)
    async with attacker.socket():
        pass
    victim = Browser(server, cookies=dict(attacker.cookies))
    secret = secret_of(await victim.call(START, username="ada"))
    assert victim.cookies != attacker.cookies
    guess = await attacker.post(REGISTER, username="ada", code=pyotp.TOTP(secret).now())
    assert guess.json()["error"] == "RegistrationNotInProgress"
    assert secret_of(await victim.call(START, username="ada")) == secret
    assert secret_of(await attacker.call(START, username="ada")) != secret
    late = await victim.post(REGISTER, username="ada", code=pyotp.TOTP(secret).now())
    assert late.json()["error"] == "RegistrationNotInProgress"


async def test_enrolment_of_a_connection(server: RunningServer) -> None:
    """On its connection it has one secret; the same client elsewhere begins anew, which ends it."""
    browser = Browser(server)
    async with browser.socket() as one, browser.socket() as two:
        secret = await start(one)
        assert await start(one) == secret
        assert await confirm(two, secret) == "RegistrationNotInProgress"
        answer = await browser.post(REGISTER, username="ada", code=pyotp.TOTP(secret).now())
        assert answer.json()["error"] == "RegistrationNotInProgress"
        other = await start(two)
        assert other != secret
        assert await confirm(one, secret) == "RegistrationNotInProgress"
        assert await confirm(two, other) is None


async def test_enrolment_ends_with_its_connection(server: RunningServer) -> None:
    """A registration and a recovery are gone with the connection, and the name is free for others."""
    async with server.client() as client, server.client() as other:
        await start(client)
        assert (await other.call(START, {"username": "ada"}))["error"] == "RegistrationInProgress"
    await gone(server)
    browser = Browser(server)
    await browser.register("ada")
    phrase = (await browser.call("user.recovery_phrase", code=await browser.code()))["phrase"]
    await browser.call("user.save_recovery_phrase", phrase=phrase)
    async with server.client() as client:
        await client.data("user.recover", {"username": "ada", "phrase": phrase})
        assert await server.value("select count(*) from registration") == 1
    await gone(server)
    answer = await browser.call("user.recover", username="ada", phrase=phrase)
    assert answer["status"] == "candidate"


async def test_enrolments_end_with_the_server(database_url: str) -> None:
    """A server that stops leaves none of its connections' enrolments; those begun over HTTP go on at another."""
    async with running_server(database_url) as server, server.client() as client:
        await start(client)
        await Browser(server).call(START, username="bob")
        server.stop.set()
        assert (await client.closed())[0] == 1001
    assert fetchval(database_url, "select string_agg(username, ' ') from registration") == "bob"


async def test_confirming_without_the_cookie_says_so(server: RunningServer) -> None:
    """A page of another site, whose browser keeps no cookie of the server, learns what is wrong."""
    headers = {"Sec-Fetch-Site": "cross-site"}
    candidate = await http(server.port, "POST", "/api/user/auth_start", {"username": "ada"}, headers)
    assert candidate.cookies() == {}
    data = {"username": "ada", "code": pyotp.TOTP(secret_of(candidate.json()["data"])).now()}
    answer = (await http(server.port, "POST", "/api/user/register", data, headers)).json()
    assert answer["error"] == "RegistrationNotInProgress"
    assert "cookie" in answer["message"]
    assert "WebSocket" in answer["message"]
    await server.token("bob")
    answer = (await http(server.port, "POST", "/api/user/register", data | {"username": "bob"})).json()
    assert answer["error"] == "UserAlreadyExists"
    assert "cookie" in answer["message"]
    browser = Browser(server)
    async with browser.socket():
        pass
    assert "cookie" not in (await browser.post(REGISTER, **data)).json()["message"]

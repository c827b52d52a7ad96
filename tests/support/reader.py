"""Somebody who sends the protocol page's examples: what its answers give, later requests use."""

from typing import Any

import pyotp
from attrs import define

from tests.support.server import RunningServer


@define
class Reader:
    """A guest at first; its requests are those of the page, with codes and phrases of its own."""

    server: RunningServer
    token: str = ""
    """Of the session that the last answer gave; empty for a guest."""
    _secret: str = ""
    _phrase: str = ""

    async def fill(self, data: Any) -> Any:
        """The parameters with the code of this moment, which has not been used, and the phrase that was shown."""
        if data and "code" in data:
            await self.server.sql("update app_user set totp_last_step = 0")
            return {**data, "code": pyotp.TOTP(self._secret).now()}
        return {**data, "phrase": self._phrase} if data and "phrase" in data else data

    def learn(self, name: str, data: Any) -> bool:
        """Keep values for later requests; returns whether the reader has to reconnect."""
        if isinstance(data, dict):
            self._secret = data.get("qr_url", self._secret).rpartition("secret=")[2]
            self._phrase = data.get("phrase", self._phrase)
            if "token" in data:
                self.token = data["token"]
                return True
        if name == "user.logout":
            self.token = ""
            return True
        return False

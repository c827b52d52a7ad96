"""Locust: users sign in by an authenticator, watch a hall, sell a seat and give it back, and see each change arrive.

``pip install locust pyotp``, then ``locust -f locustfile.py --headless -u 20 -t 30s -H http://localhost:3000``
"""

import itertools
import json
import time
import uuid

import pyotp
from locust import HttpUser, constant, task
from websocket import create_connection

numbers = itertools.count()


class Seller(HttpUser):
    wait_time = constant(1)
    rev, status = -1, None

    def on_start(self):
        name = f"locust-{uuid.uuid4().hex[:12]}"
        secret = self.call("user/auth_start", username=name)["qr_url"].partition("secret=")[2]
        self.call("user/register", username=name, code=pyotp.TOTP(secret).now())
        halls = [hall for cinema in self.call("cinemas/get_cinemas") for hall in cinema["halls"]]
        self.hall = max(halls, key=lambda hall: sum(hall["seats_count"].values()))["id"]
        seats = self.call("hall/get", id=self.hall)["seats"]
        self.seat = seats[next(numbers) % len(seats)]["id"]
        self.watch()

    def watch(self):
        cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.client.cookies)
        self.socket = create_connection(f"ws{self.host.removeprefix('http')}/ws", cookie=cookie, timeout=10)
        self.socket.send(json.dumps({"type": "hall.subscribe", "data": {"id": self.hall}, "eid": "watch"}))

    @task
    def sell(self):
        for status in ("VACANT", "OCCUPIED", "VACANT"):
            change = {"hall_id": self.hall, "seat_id": self.seat, "status": status, "key": str(uuid.uuid4())}
            begun = time.perf_counter()
            rev = self.call("hall/update_seat_status", **change)["rev"]
            fault = None if self.status_at(rev) == status else AssertionError(f"not seen {status}")
            passed = {"response_time": 1000 * (time.perf_counter() - begun), "response_length": 0, "exception": fault}
            self.environment.events.request.fire(request_type="WS", name="update", context={}, **passed)

    def status_at(self, rev):
        while self.rev < rev:
            if not (text := self.socket.recv()):  # closed, as right after the sign-in (4001)
                self.watch()
                continue
            data = json.loads(text)["data"]
            self.rev = data.get("rev", self.rev)
            self.status = {seat["id"]: seat["status"] for seat in data.get("seats", ())}.get(self.seat, self.status)
        return self.status

    def call(self, method, **data):
        return self.client.post(f"/api/{method}", json=data).json()["data"]

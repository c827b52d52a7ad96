"""What has to be known of a server before a test: that it is there, and which hall to use."""

import http.client
import socket
from http import HTTPStatus

import orjson

from seatsync.load.address import Address
from seatsync.load.failure import LoadError

TIMEOUT_S = 10.0


def check_reachable(address: Address) -> None:
    """Raises `LoadError` when nobody accepts connections."""
    try:
        socket.create_connection(address.sockaddr, TIMEOUT_S).close()
    except OSError as error:
        host, port = address.sockaddr
        raise LoadError(f"Nobody answers at {host}, port {port}: {error.strerror or error}.") from None


def largest_hall(address: Address, token: str | None) -> int:
    """The id of the hall with the most seats; raises `LoadError` if there is none to be seen."""
    headers = {"Host": address.host} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection = http.client.HTTPConnection(*address.sockaddr, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/api/cinemas/get_cinemas", b"{}", headers)
        response = connection.getresponse()
        answer = orjson.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LoadError(f"The server could not be asked for its halls: {error}.") from None
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        raise LoadError(f"The server does not show its halls: {answer.get('message') or answer.get('error')}")
    halls = [hall for cinema in answer["data"] for hall in cinema["halls"]]
    if not halls:
        raise LoadError("The server has no hall: seatsync seed hall --seats 500 --name Load makes one.")
    largest = max(halls, key=lambda hall: sum(hall["seats_count"].values()))
    return int(largest["id"])

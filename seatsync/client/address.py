"""The address of a server, in any of the forms that people type."""

from urllib.parse import quote, urlsplit

from attrs import frozen

from seatsync.client.closing import NoConnection

#: The schemes, each with its port; the second of each pair means TLS.
_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}


@frozen
class Address:
    """The address of a server's WebSocket."""

    host: str
    port: int
    path: str
    is_tls: bool

    @property
    def netloc(self) -> str:
        """The host and the port, as the ``Host`` field has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'wss' if self.is_tls else 'ws'}://{self.netloc}{self.path}"


def parse(url: str) -> Address:
    """Read an ``http``, ``https``, ``ws`` or ``wss`` address, or ``host:port``. Raises `NoConnection`.

    The path is where the server is, below a proxy for instance; ``/ws`` is added unless it ends so.
    """
    scheme, separator, rest = url.strip().partition("://")
    scheme, rest = (scheme.lower(), rest) if separator else ("ws", scheme)
    try:
        parts = urlsplit(f"//{rest}")
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError as error:
        raise NoConnection(f"{url!r} is not the address of a server: {error}.") from None
    if scheme not in _PORTS or not host or not host.isprintable() or " " in host:
        raise NoConnection(f"{url!r} is not the address of a server, such as http://localhost:3000 or localhost:3000.")
    path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~").removesuffix("/ws") + "/ws"
    query = quote(f"?{parts.query}" if parts.query else "", safe="/%:@!$&'()*+,;=~?")
    return Address(host, _PORTS[scheme] if port is None else port, path + query, _PORTS[scheme] == _PORTS["wss"])

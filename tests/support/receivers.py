"""Receivers of webhooks on this machine, and the addresses that lead to it."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from api.webhooks.outbound import post

PUBLIC = "93.184.216.34"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
# Ways to write 127.0.0.1, as a resolver takes them.
LOOPBACK_FORMS = [
    *["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0X7F.0.0.01", "localhost", "LOCALHOST."],
]
# Ways to reach this machine, or to hold its address, that are refused even where loopback is allowed.
NEVER = [
    "0.0.0.0",  # noqa: S104 - nothing is bound
    "0",
    "0x0",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
]
# Not every system's resolver takes a name with a dot at its end.
LOOPBACK = [*(host for host in LOOPBACK_FORMS if not host.endswith(".")), "[::1]", "[0:0:0:0:0:0:0:1]"]
PRIVATE = [
    *NEVER,
    *["10.0.0.1", "0xa.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "0xa9fea9fe", "2852039166"],
    *["168.63.129.16", "224.0.0.1", "255.255.255.255", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]"],
    *["[::ffff:10.0.0.1]", "[::ffff:0:7f00:1]", "[2002:a9fe:a9fe::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]"],
    *["[fec0::1]", "[ff02::1]", "[2001:db8::1]"],
]

Handler = Callable[[socket.socket], None]


class Receiver:
    """A listening socket, and the request that it received."""

    def __init__(self) -> None:
        """Listen on a port of 127.0.0.1 that is free."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.requests: list[bytes] = []

    def untouched(self) -> bool:
        """Tell whether no connection waits; a connection over loopback waits as soon as its `connect` returns."""
        self.listener.settimeout(0)
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return True
        return False

    def read(self, connection: socket.socket) -> None:
        """Read a request, with a body as long as it says."""
        head = b""
        while b"\r\n\r\n" not in head:
            if not (chunk := connection.recv(65536)):
                return
            head += chunk
        head, _, body = head.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length and (chunk := connection.recv(65536)):
            body += chunk
        self.requests.append(head + b"\r\n\r\n" + body)


@contextmanager
def listening() -> Iterator[Receiver]:
    """Listen, and take nothing."""
    receiver = Receiver()
    with receiver.listener:
        yield receiver


@contextmanager
def answering(answer: bytes | Handler, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Take one connection, read its request and send an answer; a function reads and answers by itself."""
    receiver = Receiver()

    def serve() -> None:
        """Serve one connection; the sender reports its errors."""
        with contextlib.suppress(OSError):
            accepted = receiver.listener.accept()[0]
            with tls.wrap_socket(accepted, server_side=True) if tls else accepted as connection:
                if callable(answer):
                    answer(connection)
                    return
                receiver.read(connection)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield receiver
    finally:
        # A connection ends a thread that still waits for one.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", receiver.port), 1).close()
        thread.join(30)
        receiver.listener.close()
        assert not thread.is_alive()


def told(*addresses: str) -> Callable[..., list[Any]]:
    """Return a resolver that knows these addresses of every host."""
    return lambda _host, port, **_: [(0, 0, 0, "", (address, port)) for address in addresses]


def by_name(host: str, port: int, **options: Any) -> list[Any]:
    """Resolve like the system, but a name as 127.0.0.1, since nobody listens on ::1, which may come first."""
    return told("127.0.0.1")(host, port) if "localhost" in host.lower() else list(socket.getaddrinfo(host, port, **options))


def send(url: str, *, loopback: bool = True, **options: Any) -> int:
    """Post a small body."""
    return post(url, b'{"id": 1}', {"Content-Type": "application/json"}, **{"loopback": loopback, "timeout": 20, **options})

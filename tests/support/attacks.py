"""Attackers on their own address, and a well-behaved client that measures how long it waits meanwhile."""

import select
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection

from api.settings import Settings
from tests.support.processes import SERVE, listening, unused_port

ATTACKER, GUEST = "127.0.0.2", "127.0.0.1"
# The guest's timeout; machines are noisy.
PATIENCE = 5.0
# The same application without the gateway, as a control.
PLAIN = (
    *(sys.executable, "-m", "granian", "wsgi:app", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "4"),
    *("--host", "127.0.0.1", "--port"),
)


@contextmanager
def server(settings: Settings, *, gateway: bool = True, **variables: object) -> Iterator[int]:
    """Start a server with one process and return its port; without the gateway, only granian's limits apply."""
    port = unused_port()
    environ = {"DATABASE_URL": settings.database_url, "PORT": port, "WORKERS": 1, **variables}
    with listening(SERVE if gateway else (*PLAIN, str(port)), "127.0.0.1", port, **environ):
        deadline = time.monotonic() + 60
        # A server listens before it answers.
        while not answers(port, "/readyz", patience=1):
            assert time.monotonic() < deadline
        answers(port, "/cities")
        yield port


def answers(port: int, path: str, source: str = GUEST, patience: float = PATIENCE) -> bool:
    """Tell whether a path answers 200 in time, on a new connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=patience, source_address=(source, 0))
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def opened(stack: ExitStack, port: int, count: int, request: bytes = b"", source: str = ATTACKER) -> list[socket.socket]:
    """Open connections from an address, and send the beginning of a request on each."""
    connections = []
    for _ in range(count):
        connection = stack.enter_context(socket.socket())
        # A small window, so that few bytes lie between the server and a client that does not read.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.bind((source, 0))
        connection.connect(("127.0.0.1", port))
        connection.sendall(request)
        connections.append(connection)
    return connections


def head(line: str, *headers: str) -> bytes:
    """Return the head of a request."""
    return "\r\n".join((f"{line} HTTP/1.1", "Host: localhost", *headers, "", "")).encode()


DECLARED = head("POST /cities/search", "Content-Type: application/json", "Content-Length: 1000")


def status(connection: socket.socket, patience: float) -> int:
    """Return the status of the next answer on a connection, or 0 if it is closed without one."""
    connection.settimeout(patience)
    line = connection.recv(4096).partition(b"\r\n")[0].split()
    return int(line[1]) if line else 0


def is_closed(connection: socket.socket, patience: float) -> bool:
    """Return whether the server closes a connection in time."""
    connection.settimeout(patience)
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


class Guest:
    """A client that asks for health and for a list every 100 ms."""

    def __init__(self, port: int, source: str = GUEST) -> None:
        """Prepare requests to the server at a port."""
        self.port, self.source = port, source
        self.waits: list[float] = []
        self.failed: list[str] = []
        self._stopped = threading.Event()

    def ask(self, path: str) -> None:
        """Send one request, and record its duration."""
        begun = time.monotonic()
        if not answers(self.port, path, self.source):
            self.failed.append(path)
        self.waits.append(time.monotonic() - begun)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Send requests for as long as the block runs, at least one each."""

        def ask_on(path: str) -> None:
            self.ask(path)
            while not self._stopped.wait(0.1):
                self.ask(path)

        threads = [threading.Thread(target=ask_on, args=(path,)) for path in ("/livez", "/cities")]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def report(self, name: str) -> None:
        """Print the percentiles in milliseconds."""
        p50, p99 = statistics.median(self.waits), statistics.quantiles(self.waits, n=100, method="inclusive")[98]
        numbers = [f"{seconds * 1000:.0f}" for seconds in (p50, p99, max(self.waits))]
        print(f"{name}: {len(self.waits)} requests, p50/p99/max {'/'.join(numbers)} ms, {len(self.failed)} failed")  # noqa: T201


def suffered(port: int, name: str, during: Callable[[], object], source: str = GUEST) -> Guest:
    """Return a guest whose requests ran during an attack."""
    guest = Guest(port, source)
    with guest.asking():
        during()
    guest.report(name)
    return guest


def waiting(connections: Sequence[socket.socket], seconds: float) -> list[socket.socket]:
    """Return the connections on which nothing has come after some seconds."""
    time.sleep(seconds)
    readable, _, _ = select.select(connections, (), (), 0)
    return [connection for connection in connections if connection not in readable]


def statuses(connections: Sequence[socket.socket], patience: float) -> set[int]:
    """Return the statuses of the answers on several connections."""
    return {status(connection, patience) for connection in connections}

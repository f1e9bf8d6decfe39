"""Closes the connections that only hold a place: silent ones, slow readers, and too many of one client.

granian admits a number of connections and never closes one that sends nothing. The kernel knows all of them: this process lists
its sockets, sees on which of them bytes have moved, and shuts the idle ones down.
"""

import contextlib
import math
import os
import resource
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from api.settings import Settings
from api.web.places import client_of

DESCRIPTORS = "/dev/fd"
INTERVAL = 0.5
# In Linux's `struct tcp_info`: the bytes that the other side has acknowledged, and those that it has sent, two 64-bit numbers.
MOVED = 120
# Files and sockets that a process needs besides its connections.
SPARE_DESCRIPTORS = 500


class Peer(NamedTuple):
    """The other end of a connection."""

    address: str
    port: int

    @classmethod
    def read(cls, text: str) -> "Peer":
        """Return the peer of ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``, as granian writes it."""
        address, _, port = text.rpartition(":")
        return cls(address.strip("[]").partition("%")[0], int(port))


@dataclass
class Trace:
    """The last look at a connection: the bytes moved, when that number was new, and since when it has no request."""

    moved: int
    active: float
    since: float


class Connections:
    """The connections of this process."""

    def __init__(self, settings: Settings, is_proxy: Callable[[str], bool]) -> None:
        """Take the limits from the settings; one proxy may hold any number of connections."""
        self.port, self.share = settings.port, settings.connections // 2
        self.idle, self.longest = settings.keepalive_timeout, settings.stream_timeout
        self.is_proxy = is_proxy
        # When the last request of a connection ended; infinity while there is one.
        self.ended: dict[str, float] = {}
        self._traces: dict[Peer, Trace] = {}

    def start(self) -> None:
        """Begin to look at the connections, in a thread."""
        threading.Thread(target=self._watch, name="connections", daemon=True).start()

    def begin(self, client: str) -> None:
        """Note that a request of a client, as granian names it, has begun."""
        self.ended[client] = math.inf

    def end(self, client: str) -> None:
        """Note that it is answered, as far as the application is concerned."""
        self.ended[client] = time.monotonic()

    def cut(self, client: str) -> None:
        """Close a client's connection at once: an answer that is not complete must not look as if it were."""
        peer = Peer.read(client)
        for connection, other in self._sockets():
            if other == peer:
                _shut_down(connection)

    def _watch(self) -> None:
        while True:
            time.sleep(INTERVAL)
            with contextlib.suppress(OSError):
                self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Look at every connection once, and close those that must go."""
        ended = {Peer.read(client): (client, moment) for client, moment in list(self.ended.items())}
        traces, idle = {}, defaultdict(list)
        held: dict[str, int] = defaultdict(int)
        for connection, peer in self._sockets():
            _, moment = ended.pop(peer, ("", 0.0))
            traces[peer] = trace = self._trace(connection, peer, moment, now)
            client = client_of(peer.address)
            held[client] += 1
            if moment == math.inf:
                continue
            if now - trace.active > self.idle or now - trace.since > self.longest:
                _shut_down(connection)
            else:
                idle[client].append((trace.active, peer))
        self._traces = traces
        for client, moment in ended.values():
            if moment != math.inf:
                self.ended.pop(client, None)
        excess = {
            peer
            for client, rows in idle.items()
            if held[client] > self.share and not self.is_proxy(rows[0][1].address)
            for _, peer in sorted(rows)[: held[client] - self.share]
        }
        if excess:
            for connection, peer in self._sockets():
                if peer in excess:
                    _shut_down(connection)

    def _trace(self, connection: socket.socket, peer: Peer, ended: float, now: float) -> Trace:
        moved = _moved(connection)
        trace = self._traces.get(peer) or Trace(moved, now, now)
        if ended == math.inf:
            return Trace(moved, now, now)
        if ended > trace.since:
            return Trace(moved, max(ended, trace.active), ended)
        return trace if moved == trace.moved else Trace(moved, now, trace.since)

    def _sockets(self) -> Iterator[tuple[socket.socket, Peer]]:
        """Yield the accepted connections.

        None is duplicated: to close any descriptor of a file, a duplicate too, drops the process's locks on that file, and
        SQLite's files are among the descriptors (sqlite.org/howtocorrupt.html, 2.2).
        """
        for name in os.listdir(DESCRIPTORS):  # noqa: PTH208 - names, thousands of them
            try:
                connection = socket.socket(fileno=int(name))
            except OSError:
                continue
            try:
                if connection.family in {socket.AF_INET, socket.AF_INET6} and connection.getsockname()[1] == self.port:
                    address, port, *_ = connection.getpeername()
                    yield connection, Peer(address.partition("%")[0], port)
            except OSError:
                continue
            finally:
                connection.detach()


def _moved(connection: socket.socket) -> int:
    """Return the number of bytes that went over a connection; 0 where the system does not tell, and only requests count."""
    if not hasattr(socket, "TCP_INFO"):
        return 0
    acknowledged, received = struct.unpack_from("QQ", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), MOVED)
    return int(acknowledged + received)


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def allow_descriptors(connections: int) -> None:
    """Raise this process's limit of open files, if it may, so that it can hold this number of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))

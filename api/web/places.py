"""Places for slow requests: at most N requests wait or stream at a time, and one client holds at most half of the places."""

import ipaddress
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from flask import Response, after_this_request, current_app, g, request

from api.errors import ProblemError
from api.settings import Settings
from api.web.responses import database

# The kinds of places: extensions of the application, and settings with their number.
CHANGES, VERSION, STREAMS = "waiters", "version_waiters", "streams"
# A server that takes the place for waiting before it starts a request names its kind here; nothing if there was none.
HELD = "digital_cities.held_place"


@lru_cache(maxsize=4096)
def client_of(address: str) -> str:
    """Return the part of an address that stands for one client: an IPv4 address, or the /64 network of an IPv6 address.

    A client with one IPv6 address usually has the whole /64.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


class Places:
    """Counts the places that are taken; safe to use from several threads."""

    def __init__(self, total: int) -> None:
        """Offer ``total`` places; one client gets half of them, rounded up."""
        self.total, self.share = total, (total + 1) // 2
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()
        self._used = 0

    def take(self, address: str) -> bool:
        """Take a place for a client's address. Returns False if there is none for it."""
        client = client_of(address)
        with self._lock:
            if self._used >= self.total or self._taken[client] >= self.share:
                return False
            self._used += 1
            self._taken[client] += 1
        return True

    @property
    def used(self) -> int:
        """The number of places that are taken."""
        return self._used

    def release(self, address: str) -> None:
        """Give a place back."""
        client = client_of(address)
        with self._lock:
            self._used -= 1
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]


def on_threads(settings: Settings) -> dict[str, Places]:
    """Return the places on a server that gives each request a thread: slow requests share them, and leave one for others.

    With a single thread, answers are streamed nevertheless, and nobody waits.
    """
    slow = Places(max(1, settings.threads - 1))
    waits = slow if min(settings.waiters, settings.threads - 1) else Places(0)
    return {STREAMS: slow, CHANGES: waits, VERSION: waits}


def on_gateway(settings: Settings) -> dict[str, Places]:
    """Return the places on a server that has threads for each kind of slow request."""
    return {name: Places(getattr(settings, name)) for name in (CHANGES, VERSION, STREAMS)}


@contextmanager
def streaming() -> Iterator[None]:
    """Hold one of the places for streams. Raises a 503 if there is none for this client, or if streams must end."""
    with _place(STREAMS) as has_place:
        if not has_place:
            raise ProblemError("unavailable", "Too many lists are being streamed at the moment.")
        if database().wal.is_full():
            # This request reads from the log itself until it is answered.
            after_this_request(_empty_log)
            raise ProblemError("unavailable", "Too much was written while lists were streamed.")
        yield


def _empty_log(response: Response) -> Response:
    database().wal.empty()
    return response


@contextmanager
def waiting(kind: str) -> Iterator[bool]:
    """Hold a place for waiting, for `CHANGES` or for a `VERSION`; yields False if there is none for this client.

    A request that waits for both holds one place, for changes, since the wait for a version is short.
    """
    held = g.get("held_place", request.environ.get(HELD))
    if held is not None:
        yield held in {kind, CHANGES}
        return
    with _place(kind) as has_place:
        if has_place:
            g.held_place = kind
        try:
            yield has_place
        finally:
            g.pop("held_place", None)


@contextmanager
def _place(extension: str) -> Iterator[bool]:
    places: Places = current_app.extensions[extension]
    # A stream goes on without its request, so its address is noted here.
    address = request.remote_addr or ""
    has_place = places.take(address)
    try:
        yield has_place
    finally:
        if has_place:
            places.release(address)

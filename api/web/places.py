"""Places for slow requests: at most N requests wait or stream at a time, and one client holds at most half of the places."""

import ipaddress
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from flask import current_app, g, request

from api.errors import ProblemError

# A server that takes the place for waiting before it starts a request says here whether there was one (a bool).
MAY_WAIT = "digital_cities.may_wait"


@lru_cache(maxsize=4096)
def client_of(address: str) -> str:
    """Return the part of an address that stands for one client: an IPv4 address, or the /64 network of an IPv6 address.

    Whoever has one IPv6 address usually has the whole /64.
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

    def release(self, address: str) -> None:
        """Give a place back."""
        client = client_of(address)
        with self._lock:
            self._used -= 1
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]


@contextmanager
def streaming() -> Iterator[None]:
    """Hold one of the places for streams. Raises a 503 if there is none for this client."""
    with _place("streams") as has_place:
        if not has_place:
            raise ProblemError("unavailable", "Too many lists are being streamed at the moment.")
        yield


@contextmanager
def waiting() -> Iterator[bool]:
    """Hold one of the places for waiting; yields False if there is none for this client.

    A request that waits twice (`wait` and `min_version`) holds one place.
    """
    may_wait = g.get("may_wait", request.environ.get(MAY_WAIT))
    if may_wait is not None:
        yield may_wait
        return
    with _place("waiters") as g.may_wait:
        try:
            yield g.may_wait
        finally:
            del g.may_wait


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

"""What is known of each request when it was answered."""

import re
from typing import NamedTuple

# What the application tells of a request, in its variables of PEP 3333.
ROUTE, CACHE, KEY, REQUEST_ID = (f"digital_cities.{name}" for name in ("route", "cache", "key", "request_id"))
# The version of the state for which an answer is cached.
CACHED_AT = "digital_cities.cached_at"
# Whether a request is answered by the primary, to see what was written last, although this server reads from a standby.
LATEST = "digital_cities.latest"
# When a server received the request, by `time.perf_counter`.
BEGUN = "digital_cities.begun"
# Methods that have a name in the metrics: a client can send any word.
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
# W3C Trace Context: version, trace-id, parent-id, flags. An id of zeros means none.
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
# What a proxy may say of a client that is no address, such as a text with spaces, stays out of the log.
ADDRESS = re.compile(r"[\w.:%-]{1,64}", re.ASCII)


class Exchange(NamedTuple):
    """A request and its answer.

    ``route`` is a path as in the OpenAPI document, ``cache`` is hit, stale or miss, or empty for what is never cached,
    ``seconds`` is the time until the answer was sent, ``size`` the bytes of its body, ``key`` the name of the API key, and
    ``trace`` the id of a trace.
    """

    method: str
    route: str
    status: int
    cache: str
    seconds: float
    size: int
    client: str
    request_id: str
    key: str
    trace: str


def method_of(method: str) -> str:
    """Return a method as the metrics name it."""
    return method if method in METHODS else "other"


def trace_of(traceparent: str) -> str:
    """Return the id of the trace that a `traceparent` header names; empty if it names none."""
    match = TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else ""

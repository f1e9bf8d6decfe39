"""What is known of each request when it was answered: counted for `/metrics`, and a line of the access log."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from flask import Flask, Response, request

from api.settings import Settings
from api.web.access_log import AccessLog
from api.web.metrics import Counts

# What the application tells of a request, in its variables of PEP 3333.
ROUTE, CACHE, KEY, REQUEST_ID = (f"digital_cities.{name}" for name in ("route", "cache", "key", "request_id"))
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


class Sized:
    """The pieces of an answer; ``seen`` is called with the number of bytes that were sent when it is closed."""

    def __init__(self, pieces: Iterable[bytes], seen: Callable[[int], None]) -> None:
        """Pass on the pieces."""
        self.pieces, self.seen, self.size = pieces, seen, 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield each piece."""
        for piece in self.pieces:
            self.size += len(piece)
            yield piece

    def close(self) -> None:
        """Close the answer."""
        try:
            if close := getattr(self.pieces, "close", None):
                close()
        finally:
            self.seen(self.size)


class Observer:
    """Sees each exchange of a process."""

    def __init__(self, settings: Settings) -> None:
        """Count and log as the settings say."""
        self.counts = Counts() if settings.metrics else None
        self.log = AccessLog(settings.access_log) if settings.access_log != "off" else None
        self.is_blind = self.counts is None and self.log is None

    def see(self, exchange: Exchange) -> None:
        """Count a request and log it."""
        if self.counts is not None:
            key = (exchange.method, exchange.route, exchange.status, exchange.cache)
            self.counts.add(key, exchange.seconds, exchange.size)
        if self.log is not None:
            self.log.write(exchange)

    def see_wsgi(self, environ: dict[str, Any], status: str, seconds: float, size: int) -> None:
        """Do the same for a request of a WSGI application, and what that told in its variables."""
        told = environ.get
        self.see(
            Exchange(
                method_of(environ["REQUEST_METHOD"]),
                told(ROUTE, ""),
                int(status[:3]),
                told(CACHE, ""),
                seconds,
                size,
                client if ADDRESS.fullmatch(client := told("REMOTE_ADDR", "")) else "",
                told(REQUEST_ID, ""),
                told(KEY, ""),
                trace_of(told("HTTP_TRACEPARENT", "")),
            )
        )

    def end(self) -> None:
        """Write what was logged last, when a process ends."""
        if self.log is not None:
            self.log.flush()

    def watch(self, app: Callable[..., Iterable[bytes]], environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Call a WSGI application, and see the exchange when its answer is closed."""
        if self.is_blind:
            return app(environ, start)
        begun, statuses = time.perf_counter(), ["500"]

        def note(status: str, *rest: Any) -> Any:
            statuses.append(status)
            return start(status, *rest)

        def seen(size: int) -> None:
            self.see_wsgi(environ, statuses[-1], time.perf_counter() - begun, size)

        return Sized(app(environ, note), seen)

    def count(self, name: str, label: str) -> None:
        """Count an event that is no request, such as a limit that was reached."""
        if self.counts is not None:
            self.counts.count(name, label)


def register(app: Flask, settings: Settings) -> None:
    """Have an application tell of its requests."""
    app.extensions["observer"] = observer = Observer(settings)
    if not observer.is_blind:
        app.after_request(_tell)


def observer_of(app: Flask) -> Observer:
    """Return the observer of an application."""
    observer: Observer = app.extensions["observer"]
    return observer


def method_of(method: str) -> str:
    """Return a method as the metrics name it."""
    return method if method in METHODS else "other"


def trace_of(traceparent: str) -> str:
    """Return the id of the trace that a `traceparent` header names; empty if it names none."""
    match = TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else ""


def _tell(response: Response) -> Response:
    # Paths that nobody serves have one name, since clients can think of any number.
    if request.url_rule is not None:
        request.environ[ROUTE] = re.sub("<(?:[^<>]*:)?([^<>]*)>", r"{\1}", request.url_rule.rule)
    return response

"""Sees each exchange of a process: counts it for `/metrics`, and writes its line of the access log."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from flask import Flask, Response, request

from api.settings import Settings
from api.web.access_log import AccessLog
from api.web.exchanges import ADDRESS, CACHE, KEY, REQUEST_ID, ROUTE, Exchange, method_of, trace_of
from api.web.metrics import Counts, Key


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
        key = (exchange.method, exchange.route, exchange.status, exchange.cache)
        self.count_request(key, exchange.seconds, exchange.size)
        if self.log is not None:
            self.log.write(exchange)

    def count_request(self, key: Key, seconds: float, size: int) -> None:
        """Count a request: this alone takes half as long as to see an exchange."""
        if self.counts is not None:
            self.counts.add(key, seconds, size)

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


@cache
def _route_of(rule: str) -> str:
    """Return a rule of the URL map as the OpenAPI document writes it."""
    return re.sub("<(?:[^<>]*:)?([^<>]*)>", r"{\1}", rule)


def _tell(response: Response) -> Response:
    # Paths that nobody serves have one name, since clients can think of any number.
    if request.url_rule is not None:
        request.environ[ROUTE] = _route_of(request.url_rule.rule)
    return response

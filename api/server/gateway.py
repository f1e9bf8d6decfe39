"""The gateway: an application of granian's own interface (RSGI) in front of the WSGI application.

An answer from the cache is sent by the thread in which granian hands over all requests of the process: it waits for nothing.
The event loop receives each other request whole before a thread is busy with it. Requests that wait, streams and health checks
have threads of their own, so that none of them keeps the others from being answered.
"""

import asyncio
import io
import itertools
import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

from flask import Flask

from api.server.bodies import Bodies
from api.server.connections import Connections, allow_descriptors
from api.server.environ import Environ, environ_of, variable_of, wire_path
from api.server.streams import Pipe, StalledError
from api.server.tasks import begin_at_once, first_step_ends
from api.server.threads import Threads
from api.settings import Settings
from api.web.application import prepare
from api.web.cache import Answer, Cache
from api.web.exchanges import BEGUN, Exchange, method_of, trace_of
from api.web.news import news
from api.web.observer import Sized, observer_of
from api.web.places import CHANGES, HELD, VERSION, client_of, on_gateway
from api.web.plain_reads import plain_read, read_of
from api.web.problems import REFUSAL
from api.web.proxies import proxies_of
from api.web.responses import CutOffError

# The parameters that make a request wait, by the kind of its place.
WAITS = {CHANGES: re.compile(r"(?:^|&)wait="), VERSION: re.compile(r"(?:^|&)min_version=")}
HEALTH = ("/livez", "/readyz", "/metrics")
# Tells a worker that it will be stopped. One that does not know the signal yet dies of it, and has no requests either.
STOPPING = signal.SIGUSR1
# The headers in which proxies name the client, and the scheme and host that it asked for.
FORWARDED = {"forwarded", "x-forwarded-for"}
FORWARDED_VARIABLES = {variable_of(name) for name in FORWARDED}
# The statuses of answers without a body.
BODILESS_STATUSES = ("204", "304")
logger = logging.getLogger(__name__)


class Start:
    """PEP 3333's ``start_response``: keeps the status and the headers."""

    __slots__ = ("headers", "status")

    def __call__(self, status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
        """Keep them."""
        self.status, self.headers = status[:3], headers


class Gateway:
    """An RSGI application."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        """Serve an application, which gets more places for slow requests than on a server without a gateway."""
        self.settings = settings
        self.prepare = partial(prepare, app)
        self.app: Callable[..., Iterable[bytes]] = app.wsgi_app
        self.cache = app.wsgi_app if isinstance(app.wsgi_app, Cache) else None
        self.news = news(app)
        self.observer = observer_of(app)
        self.end_tracing: Callable[[], None] = app.extensions["tracing"]
        self.proxies = proxies_of(app)
        self.places = on_gateway(settings)
        app.extensions |= self.places
        self.must_end: Callable[[], bool] = app.extensions["database"].wal.is_full
        self.connections = Connections(settings, self.proxies.is_trusted)
        self.bodies = Bodies(settings)
        app.extensions["bodies"] = self.bodies.places
        # One client leaves a thread for the others.
        self.ordinary = Threads("request", settings.threads, max(1, settings.threads - 1))
        self.waiting = {kind: Threads(kind, self.places[kind].total, self.places[kind].total) for kind in WAITS}
        self.health = {path: Threads(path[1:], 1, 1) for path in HEALTH}

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, when the server has an event loop."""
        self.loop = loop
        begin_at_once(loop)
        loop.add_signal_handler(STOPPING, self.news.end)
        allow_descriptors(self.settings.connections)
        self.connections.start()

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Tell what was counted and logged last, when the server stops."""
        self.observer.end()
        self.end_tracing()

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """Answer one request: from the cache at once, else in a thread."""
        peer, begun = scope.client, time.perf_counter()
        if (answer := self._at_once(scope)) is not None:
            proto.response_bytes(answer.status, answer.headers, answer.body)
            self.connections.end(peer)
            if not self.observer.is_blind:
                self._see_hit(scope, answer, time.perf_counter() - begun)
            return
        environ = environ_of(scope)
        self.prepare(environ)
        environ[BEGUN] = begun
        if (answer := self._behind_proxy(environ)) is not None:
            proto.response_bytes(answer.status, answer.headers, answer.body)
            self.connections.end(peer)
            self._see(environ | answer.told(), str(answer.status), len(answer.body))
            return
        await first_step_ends()
        self.connections.begin(peer)
        try:
            body, refusal = await self.bodies.receive(environ, proto)
            if refusal:
                environ[REFUSAL] = refusal
                # The server closes the connection, since the rest of the body is not read.
            environ["CONTENT_LENGTH"] = str(len(body)) if body else ""
            environ["wsgi.input"] = io.BytesIO(body)
            await self._answer(environ, proto, peer)
        finally:
            self.connections.end(peer)

    def _see_hit(self, scope: Any, answer: Answer, seconds: float) -> None:
        if self.observer.log is None:
            self.observer.count_request(
                (method_of(scope.method), answer.route, answer.status, answer.kind), seconds, len(answer.body)
            )
            return
        client, trace = scope.client.rpartition(":")[0].strip("[]"), trace_of(scope.headers.get("traceparent") or "")
        told = (answer.route, answer.status, answer.kind, seconds, len(answer.body), client, answer.request_id, "", trace)
        self.observer.see(Exchange(method_of(scope.method), *told))

    def _at_once(self, scope: Any) -> Answer | None:
        """Return the answer from the cache, if that has it: to hand a request to a thread takes twice as long as that.

        It is found without the variables of PEP 3333, which take as long again. Headers that were sent twice, or not in ASCII,
        and those of proxies need them.
        """
        sent = scope.headers
        headers = dict(sent.items())
        if self.cache is None or len(headers) < len(sent) or not FORWARDED.isdisjoint(headers):
            return None
        read = plain_read(scope.method, scope.scheme, ("", wire_path(scope)), scope.query_string, headers)
        return self.cache.at_once(read) if read else None

    def _behind_proxy(self, environ: Environ) -> Answer | None:
        """Do the same for a request that came through a proxy, when what that says of the client has been read."""
        if self.cache is None or FORWARDED_VARIABLES.isdisjoint(environ):
            return None
        read = read_of(environ)
        return self.cache.at_once(read) if read else None

    async def _answer(self, environ: Environ, proto: Any, peer: str) -> None:
        """Let the application answer in a thread of the kind that the request needs."""
        address = environ["REMOTE_ADDR"]
        done = self.loop.create_future()
        threads = self.health.get(environ["PATH_INFO"], self.ordinary)
        held = self._place(environ) if "wait=" in (query := environ["QUERY_STRING"]) or "min_version=" in query else ""
        if held:
            threads = self.waiting[held]
        try:
            threads.submit(client_of(address), lambda: self._run(environ, proto, peer, done))
            await done
        finally:
            if held:
                self.places[held].release(address)

    def _place(self, environ: Environ) -> str:
        """Take a place for what a request waits for, and return its kind; nothing if it does not wait, or may not."""
        kinds = [kind for kind, pattern in WAITS.items() if pattern.search(environ["QUERY_STRING"])]
        environ[HELD] = next((kind for kind in kinds if self.places[kind].take(environ["REMOTE_ADDR"])), "")
        return str(environ[HELD])

    def _run(self, environ: Environ, proto: Any, peer: str, done: asyncio.Future[None]) -> None:
        """Run the application, and send its answer or begin to stream it.

        An answer is closed after it was sent: then the use of a key is noted, which can wait for another writer.
        """
        body: Iterable[bytes] = ()
        is_streaming = False
        try:
            start = Start()
            body = self.app(environ, start)
            if is_whole(environ, start, body):
                whole = b"".join(body)
                proto.response_bytes(int(start.status), start.headers, whole)
                self._see(environ, start.status, len(whole))
            else:
                body = Sized(body, partial(self._see, environ, start.status))
                stream = threading.Thread(target=self._stream, args=(start, body, proto, peer, done), daemon=True)
                stream.start()
                is_streaming = True
        finally:
            if not is_streaming:
                self.loop.call_soon_threadsafe(done.set_result, None)
                if hasattr(body, "close"):
                    body.close()

    def _see(self, environ: Environ, status: str, size: int) -> None:
        if not self.observer.is_blind:
            self.observer.see_wsgi(environ, status, time.perf_counter() - environ[BEGUN], size)

    def _stream(self, start: Start, body: Any, proto: Any, peer: str, done: asyncio.Future[None]) -> None:
        """Send an answer while it is made; if it fails, cut the connection, so that the client sees that it is incomplete."""
        try:
            with closing(body):
                self._send(start, filter(None, body), proto, peer)
        except Exception:
            logger.exception("a stream failed")
        finally:
            self.loop.call_soon_threadsafe(done.set_result, None)

    def _send(self, start: Start, pieces: Iterator[bytes], proto: Any, peer: str) -> None:
        first = next(pieces, None)
        if first is None:
            proto.response_bytes(int(start.status), start.headers, b"")
            return
        with closing(Pipe(self.settings, self.must_end)) as pipe:
            proto.response_file(int(start.status), start.headers, pipe.path)
            try:
                pipe.send(itertools.chain([first], pieces))
            except (StalledError, CutOffError) as error:
                logger.info("a stream was cut off: %s", type(error).__name__)
                self.connections.cut(peer)
            except BaseException:
                self.connections.cut(peer)
                raise


def is_whole(environ: Environ, start: Start, body: Iterable[bytes]) -> bool:
    """Return whether an answer is complete already, and not made while it is sent."""
    if isinstance(body, list) or environ["REQUEST_METHOD"] == "HEAD" or start.status in BODILESS_STATUSES:
        return True
    return any(name == "Content-Length" for name, _ in start.headers)

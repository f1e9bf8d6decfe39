"""Webhooks to subscribe and deliver: a simulated network, receivers on this machine, and changes."""

import datetime as dt
import itertools
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from sqlalchemy import text

from api.db.database import Database
from api.webhooks import delivery, subscriptions
from api.webhooks.subscriptions import Webhook
from tests.support.answers import Json
from tests.support.databases import head, publishing

URL = "https://example.org/hook"
NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
# The specification's table: how long after the first attempt each is made.
ATTEMPTS = [
    "00:00:00",
    "00:00:05",
    "00:05:05",
    "00:35:05",
    "02:35:05",
    "07:35:05",
    "17:35:05",
    "31:35:05",
    "51:35:05",
    "75:35:05",
]
PLAIN = "An address begins with https://, since what is sent over http:// can be read on the way."
NOT_PUBLIC = "The host of this address is not on the public internet."
COUNT = itertools.count()


def after(**passed: float) -> dt.datetime:
    """Return a moment after the beginning."""
    return NOW + dt.timedelta(**passed)


def change(database: Database, *kinds: str) -> int:
    """Commit a change to a record of each noun, of a city by default; returns the dataset's version."""
    with publishing(database) as session:
        for kind in kinds or ["cities"]:
            statement = f"update {kind} set summary = :summary where id = (select min(id) from {kind})"
            session.execute(text(statement), {"summary": f"Number {next(COUNT)}."})
    return head(database)


def subscribe(database: Database, url: str = URL, *kinds: str) -> Webhook:
    """Add a receiver, as its owner does, of some nouns or of all."""
    with database.writing() as session:
        return subscriptions.subscribe(session, url, kinds=kinds or None, now=NOW)


def rotate(database: Database, id: str, now: dt.datetime = NOW) -> str:
    """Give a receiver a new secret at a moment, as its owner does; returns the secret."""
    with database.writing() as session:
        webhook = subscriptions.rotate(session, id, now=now)
        assert webhook
        return webhook.secret


def every(database: Database) -> list[Webhook]:
    """Return all receivers as they are now."""
    with database.reading() as session:
        return list(subscriptions.every(session))


def resume(database: Database, id: str) -> None:
    """Resume a receiver, as its owner does."""
    with database.writing() as session:
        assert subscriptions.resume(session, id)


@dataclass(frozen=True)
class Attempt:
    """A request to a receiver."""

    url: str
    body: bytes
    headers: dict[str, str]

    @property
    def message(self) -> tuple[str, bytes]:
        """The parts that every attempt of a message shares."""
        return self.headers["webhook-id"], self.body

    @property
    def data(self) -> Json:
        """The message's data."""
        data: Json = json.loads(self.body)["data"]
        return data


def deliver(database: Database, **options: Any) -> int:
    """Send each message that is due, once; returns the number of messages that this sender took."""
    with delivery.Senders(database, **{"loopback": False, **options}) as senders:
        return sum(sent.result() for sent in senders.start())


class Wire:
    """Replaces the network and all receivers: records messages, and answers with the outcome."""

    def __init__(self, outcome: int | BaseException = 204) -> None:
        """Answer with a status, or raise an error."""
        self.outcome = outcome
        self.sent: list[Attempt] = []
        # A test's action while a message is in flight.
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, url: str, body: bytes, headers: dict[str, str], **_: Any) -> int:
        """Take a message."""
        self.sent.append(Attempt(url, body, headers))
        self.meanwhile()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def deliver(self, database: Database, now: dt.datetime = NOW) -> int:
        """Send the messages due at a moment."""
        return deliver(database, clock=lambda: now, post=self)


class Receiver(HTTPServer):
    """A receiver on this machine that records requests and behaves as a test needs."""

    def __init__(self, port: int = 0) -> None:
        """Listen."""
        super().__init__(("127.0.0.1", port), Handler)
        self.got: list[Attempt] = []
        self.behave: Callable[[Handler], None] = status(204)
        self.url = f"http://127.0.0.1:{self.server_port}/hook?a=b"


class Handler(BaseHTTPRequestHandler):
    """Takes a request for a receiver."""

    server: Receiver

    def do_POST(self) -> None:
        """Record the request, and answer; a killed sender reads no answer."""
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        # A sender killed during a request has sent no message.
        if len(body) < length:
            return
        self.server.got.append(Attempt(self.path, body, dict(self.headers)))
        with suppress(OSError):
            self.server.behave(self)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def status(number: int, **headers: str) -> Callable[[Handler], None]:
    """Answer with a status."""

    def behave(handler: Handler) -> None:
        handler.send_response(number)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return behave


def noise(handler: Handler) -> None:
    """Answer with bytes that are not HTTP."""
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


def hold(end: threading.Event, handler: Handler) -> None:
    """Answer when something has happened."""
    end.wait(30)
    status(204)(handler)


def silence(_: Handler) -> None:
    """Close the connection, and say nothing."""


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver."""
    with Receiver(port) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join(30)


def remove(database: Database, id: str) -> None:
    """Remove a receiver, as its owner does."""
    with database.writing() as session:
        session.delete(session.get_one(Webhook, id))


@contextmanager
def loopback() -> Iterator[tuple[int, Callable[[], bool]]]:
    """Listen on a port of 127.0.0.1 and, if it exists, of ::1; yields the port and a check that nobody connected."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0)))]
        port: int = listeners[0].getsockname()[1]
        with suppress(OSError):
            listeners.append(stack.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6)))
        yield port, lambda: select.select(listeners, [], [], 0) == ([], [], [])


class Killed(BaseException):
    """Ends a sender while a message is in flight: none of it is recorded."""

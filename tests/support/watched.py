"""A server in this process that notes each request and can be made to answer wrongly."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flask import Flask
from werkzeug import Request, Response
from werkzeug.serving import ThreadedWSGIServer, make_server

from api.settings import Settings
from tests.support.applications import curating, serving

MANY = 5_000


Answer = Callable[[], Response]


def as_it_is(_: Request, answer: Answer) -> Response:
    """Answer as the application does."""
    return answer()


class Watched:
    """A server in this process that records its requests; a test can wait for them and change the answers."""

    def __init__(self, app: Flask, name: str) -> None:
        """Prepare it."""
        self.app, self.database = app, app.extensions["database"]
        self.curator = curating(app.test_client(), self.database, name=name)
        self.asked: list[str] = []
        self.news = threading.Condition()
        self.fault: Callable[[Request, Answer], Response] = as_it_is
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True)
        assert isinstance(self.server, ThreadedWSGIServer)
        # The threads are waited for, so none of them needs the database when it is closed.
        self.server.daemon_threads = False
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer like the application, except for the fault."""
        request = Request(environ)
        with self.news:
            self.asked.append(request.full_path.rstrip("?"))
            self.news.notify_all()
            if len(self.asked) > MANY:
                return Response("What would be endless ends here.", 404)(environ, start_response)
        return self.fault(request, lambda: Response.from_app(self.app, environ))(environ, start_response)

    def wait(self, is_so: Callable[[Sequence[str]], bool]) -> None:
        """Wait until the requests fulfil a condition."""
        with self.news:
            assert self.news.wait_for(lambda: is_so(self.asked), 30), self.asked

    def paths(self) -> list[str]:
        """Return the paths requested since the last call, without parameters."""
        with self.news:
            paths = [re.sub(r"\?.*", "", path) for path in self.asked]
            self.asked.clear()
        return paths


@contextmanager
def watching(settings: Settings, name: str = "curator") -> Iterator[Watched]:
    """Run a server on a database; ``name`` is its key's."""
    with serving(replace(settings, write_limit="1000000/minute")) as app:
        watched = Watched(app, name)
        thread = threading.Thread(target=watched.server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield watched
        finally:
            watched.server.shutdown()
            thread.join()
            watched.server.server_close()

"""The classes of the application and of its requests."""

from collections.abc import Callable, Iterable
from typing import IO, Any

import flask
from flask import Flask
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.utils import cached_property
from werkzeug.wsgi import get_input_stream

from api.errors import ProblemError, error_item
from api.web import suffixes
from api.web.observer import observer_of
from api.web.proxies import proxies_of


class Request(flask.Request):
    """A request whose body is read whole, or refused."""

    @cached_property
    def stream(self) -> IO[bytes]:
        """Return the body as it arrives, one byte more than the limit if no `Content-Length` announced it.

        werkzeug's stream ends at its limit as if the body did, so the byte tells a body that is too long from one that fits.
        """
        limit = self.max_content_length
        if limit is not None and self.content_length is None:
            limit += 1
        return get_input_stream(self.environ, max_content_length=limit)

    def get_data(self, *args: Any, **options: Any) -> Any:
        """Return the body. Raises a 413 if it is too long, and a 400 if the client sent less than it announced."""
        body = super().get_data(*args, **options)
        limit, announced = self.max_content_length, self.content_length
        if limit is not None and len(body) > limit:
            raise RequestEntityTooLarge
        if announced is not None and len(body) != announced:
            detail = f"The body has {len(body)} bytes, and `Content-Length` says {announced}: send it again."
            raise ProblemError("bad-request", detail, error_item("Content-Length", "invalid-value", detail))
        return body


def prepare(app: Flask, environ: dict[str, Any]) -> None:
    """Read what proxies and a suffix say of a request. A server that calls `wsgi_app` itself calls this before."""
    proxies_of(app).read(environ)
    suffixes.read(environ)


class App(Flask):
    """A Flask application without coroutines among its views, which believes trusted proxies."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request as its client sent it, through the answer cache."""
        prepare(self, environ)
        return observer_of(self).watch(super().__call__, environ, start_response)

    request_class = Request

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a view as it is: Flask and flask-smorest would inspect 18 functions a request, 4 % of a record's time."""
        return func

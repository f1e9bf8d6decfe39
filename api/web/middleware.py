"""The middleware of every answer: the request's id, CORS headers, and compression."""

from flask import Flask, Response, request
from flask_cors import CORS

from api.web import request_ids
from api.web.compression import compress
from api.web.exchanges import REQUEST_ID

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# The desk is for its own pages alone.
OPEN = r"(?!/edit(?:/|$)).*"
# Scripts of other origins can read only these headers, and the few that browsers always show.
EXPOSED = [
    "ETag",
    "Link",
    "Location",
    "Allow",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-Request-Id",
    "Content-Disposition",
    "Content-Range",
    "Accept-Ranges",
    "Idempotent-Replayed",
    "Preference-Applied",
    "WWW-Authenticate",
]


def register(app: Flask) -> None:
    """Add the headers to every answer of an application. Flask calls the function that is registered last first."""
    app.after_request(_name_methods)
    CORS(app, resources=OPEN, origins="*", send_wildcard=True, expose_headers=EXPOSED, max_age=86400)


def _name_methods(response: Response) -> Response:
    """Name the methods of the path in a preflight's answer: Flask takes `Allow` from the URL map, flask-cors names all."""
    if "Access-Control-Allow-Methods" in response.headers:
        response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(response.allow or SAFE_METHODS))
    return response


def finish(response: Response) -> Response:
    """Name the request, forbid browsers to guess the media type, and compress what clients can revalidate by its tag."""
    if "ETag" in response.headers and request.method in SAFE_METHODS:
        response = compress(request, response)
    request.environ[REQUEST_ID] = request_ids.request_id()
    # A shared cache would repeat it to others.
    if "s-maxage" not in response.headers.get("Cache-Control", ""):
        response.headers["X-Request-Id"] = request.environ[REQUEST_ID]
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response

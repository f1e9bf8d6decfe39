"""Suffixes of paths: `.html`, `.json` and `.atom` say what `Accept` would say, at every address."""

from typing import Any

from api.resources import RESOURCES
from api.schema.formats import FORMATS
from api.web.negotiation import ATOM

MEDIA_TYPES = {name: FORMATS[name].media_type for name in ("html", "json")} | {"atom": ATOM}
# The lists have a route for their files, the OpenAPI document is one, and these folders have files.
FILES, FOLDERS = {"/openapi.json", *(f"/{noun.name}.json" for noun in RESOURCES)}, ("/docs/", "/static/")
# The variable of a request with the path as it was sent, if that has a suffix.
SENT = "digital_cities.path"


def split(path: str) -> tuple[str, str | None]:
    """Return a path without its suffix, and the media type of the suffix; None if it has none. `/index` stands for `/`."""
    bare, dot, name = path.rpartition(".")
    if not dot or name not in MEDIA_TYPES or bare in {"", "/"} or path in FILES or path.startswith(FOLDERS):
        return path, None
    return "/" if bare == "/index" else bare, MEDIA_TYPES[name]


def read(environ: dict[str, Any]) -> None:
    """Let the suffix of a WSGI request's path go before its `Accept`."""
    path, media_type = split(environ["PATH_INFO"])
    if media_type:
        environ[SENT], environ["PATH_INFO"], environ["HTTP_ACCEPT"] = environ["PATH_INFO"], path, media_type


def kept(environ: dict[str, Any], path: str) -> str:
    """Return the decoded path of a request with the suffix that it was sent with, for links that stay in its form."""
    sent = environ.get(SENT)
    return f"{'/index' if path == '/' else path}.{sent.rpartition('.')[2]}" if sent else path

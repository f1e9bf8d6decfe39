"""The public address of the server."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import current_app, g, request

if TYPE_CHECKING:
    from api.db.database import Database


def base_url() -> str:
    """Return the scheme and host of absolute links, without a trailing slash."""
    if "base_url" not in g:
        database: Database = current_app.extensions["database"]
        # The host as it was sent: `request.host_url` decodes it, and a URL has only ASCII.
        of_request = f"{request.scheme}://{request.host}" if request.host else ""
        g.base_url = (database.settings.public_url or of_request).rstrip("/")
    return str(g.base_url)


def root() -> str:
    """Return the path in front of all paths, if the API is not served at the root of its host."""
    return urlsplit(base_url()).path

"""What keys and webhooks share: both are only for keys with the scope `admin`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from api.query import parser
from api.web import auth
from api.web.responses import JSON, NOT_KEPT, RATE_LIMIT, database, negotiate

ADMIN = "admin"
NOT_JSON = ("invalid-json", "invalid-body", "content-too-large", "unsupported-media-type")
HEADERS = NOT_KEPT | RATE_LIMIT


@contextmanager
def asked() -> Iterator[Session]:
    """Open a session for who may see and change keys. Raises what is wrong with the request."""
    auth.authorize(ADMIN)
    if request.method != "DELETE":
        negotiate(JSON)
    parser.parse_named({}, request.args.lists())
    with database().writing() as session:
        yield session


def answer(body: Any, status: int = 200) -> Response:
    """Answer with what nobody may keep."""
    response = Response(json.dumps(body, separators=(",", ":")), status, content_type=JSON)
    response.headers["Cache-Control"] = "no-store"
    return response

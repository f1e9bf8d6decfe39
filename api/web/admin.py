"""What the endpoints of keys and webhooks share: both need a key with the scope `admin`."""

import json
from typing import Any

from flask import Response, request

from api.query import parser
from api.web import auth
from api.web.headers import NOT_KEPT, RATE_LIMIT
from api.web.responses import JSON, negotiate

ADMIN = "admin"
HEADERS = NOT_KEPT | RATE_LIMIT


def check_request() -> None:
    """Check the key, `Accept` and the query string of a request. Raises 400, 401, 403, 406 and 429."""
    auth.authorize(ADMIN)
    if request.method != "DELETE":
        negotiate(JSON)
    parser.parse_named({}, request.args.lists())


def answer(body: Any, status: int = 200) -> Response:
    """Return an answer with this JSON, which caches may not store."""
    response = Response(json.dumps(body, separators=(",", ":")), status, content_type=JSON)
    response.headers["Cache-Control"] = "no-store"
    return response


def empty() -> Response:
    """Return the 204 of a deletion."""
    response = Response(status=204, headers={"Cache-Control": "no-store"})
    response.headers.pop("Content-Type")
    return response

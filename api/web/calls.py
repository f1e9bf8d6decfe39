"""Requests to the API itself, within this process: the desk reads and writes as every client does, with the same checks."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import current_app, request
from werkzeug.test import EnvironBuilder, run_wsgi_app

from api.errors import ProblemError, ProblemName
from api.web.auth import SIGNED_IN
from api.web.exchanges import LATEST
from api.web.keys import ApiKey
from api.web.request_ids import request_id
from api.web.responses import JSON


@dataclass(frozen=True)
class Reply:
    """An answer of the API."""

    status: int
    body: Any
    etag: str
    location: str

    @property
    def problem(self) -> ProblemName | None:
        """The name of the problem that the body describes; None if it is no problem."""
        name: ProblemName | None = self.body["type"].rpartition("/")[2] if self.status >= HTTPStatus.BAD_REQUEST else None
        return name

    def require(self) -> Any:
        """Return the body. Raises the problem if it is one."""
        if self.problem:
            raise ProblemError(self.problem, self.body.get("detail", ""), *self.body.get("errors", ()))
        return self.body


def call(key: ApiKey | None, method: str, path: str, body: Any = None, *, media_type: str = JSON, **headers: str) -> Reply:
    """Return what the API answers to a request with a key; a body of bytes is sent as it is, any other as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    environ = EnvironBuilder(
        path=path.partition("?")[0],
        query_string=path.partition("?")[2],
        method=method,
        base_url=f"{request.scheme}://{request.host}",
        headers=[
            ("Accept", JSON),
            ("X-Request-Id", request_id()),
            *((name.replace("_", "-"), value) for name, value in headers.items()),
        ],
        data=data,
        content_type=media_type if data is not None else None,
    ).get_environ()
    # The page after a change shows what was changed, and the next change is of that version: a standby may not have it yet.
    environ |= {"REMOTE_ADDR": request.remote_addr or "", SIGNED_IN: key, LATEST: bool(current_app.extensions["primary"])}
    # Flask would let both requests share what `g` holds.
    with current_app.app_context():
        pieces, status, answered = run_wsgi_app(current_app.wsgi_app, environ, buffered=True)
    text = b"".join(pieces)
    return Reply(int(status[:3]), json.loads(text) if text else None, answered.get("ETag", ""), answered.get("Location", ""))

"""Requests over HTTP, whose failures are answers: a client must cope with each of them."""

import json
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 15


@dataclass(frozen=True)
class Answer:
    """An answer; the status is 0 if there was none."""

    status: int
    headers: dict[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


def ask(url: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """Return the answer to a request on a connection of its own. Raises OSError if there is none."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    sent = {"Content-Type": "application/json"} if body is not None else {}
    try:
        connection.request(
            method, url.removeprefix(f"{parts.scheme}://{parts.netloc}"), body and json.dumps(body), sent | (headers or {})
        )
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    except HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()

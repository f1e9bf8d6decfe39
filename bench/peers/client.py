"""A small HTTP client: one request, its whole response."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any


@dataclass(frozen=True)
class Response:
    """Status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)


def send(url: str, content: Any = None, headers: Mapping[str, str] | None = None) -> Response:
    """Send a GET, or a POST if there is content, and return the response whatever its status."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310
            return Response(response.status, _lower(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Response(error.code, _lower(error.headers), error.read())


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}

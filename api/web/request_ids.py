"""The id of a request, which answers, logs and webhooks name."""

import random
import re

from flask import g, request


def request_id() -> str:
    """Return the id of the current request: the client's `X-Request-Id` if it is a plain token, else a new one."""
    if "request_id" not in g:
        g.request_id = request_name(request.headers.get("X-Request-Id", ""))
    return str(g.request_id)


def request_name(name: str) -> str:
    """Return a client's name for a request if it is a plain token, which is safe in a log, else a new name."""
    if name and re.fullmatch(r"[A-Za-z0-9_-]{1,128}", name):
        return name
    # It tells requests apart and protects nothing, so it need not come from the system, which takes three times as long.
    return f"{random.getrandbits(128):032x}"

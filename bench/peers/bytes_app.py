"""An application that only returns stored bodies: the limit of granian and of Python.

``BODIES`` is a folder: the file ``NAME`` is served at ``/NAME``, with the headers in ``NAME.headers`` (JSON).
"""

import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["BODIES"])
BODIES = {
    f"/{headers.stem}": (list(json.loads(headers.read_text()).items()), headers.with_suffix("").read_bytes())
    for headers in FOLDER.glob("*.headers")
}


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Respond through WSGI, as the product does."""
    headers, body = BODIES[environ["PATH_INFO"]]
    start_response("200 OK", headers)
    return [body]


async def rsgi(scope: Any, protocol: Any) -> None:
    """Respond through granian's own interface."""
    headers, body = BODIES[scope.path]
    protocol.response_bytes(200, headers, body)

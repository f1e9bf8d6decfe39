"""The variables of a request by PEP 3333, from what granian says of it."""

import sys
from typing import Any

from api.web.places import HELD

Environ = dict[str, Any]
# Variables of PEP 3333 that are the same for all requests, and one of ours: a request whose parameters we don't recognize as
# those that wait, such as `%77ait=1`, has no place, so it does not wait in a thread for the others.
COMMON = {
    HELD: "",
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "Granian",
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multiprocess": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
}


def environ_of(scope: Any) -> Environ:
    """Return the variables of a request by PEP 3333, without its body."""
    server, _, port = scope.server.rpartition(":")
    address, _, remote_port = scope.client.rpartition(":")
    environ: Environ = {
        **COMMON,
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": wire_path(scope),
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": "HTTP/1.0" if scope.http_version == "1" else f"HTTP/{scope.http_version}",
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "REMOTE_ADDR": address.strip("[]"),
        "REMOTE_PORT": remote_port,
        "wsgi.url_scheme": scope.scheme,
    }
    headers = scope.headers
    names = set()
    for name, value in headers.items():
        names.add(name)
        variable = VARIABLES.get(name) or variable_of(name)
        environ[variable] = f"{environ[variable]},{value}" if variable in environ else value
    if len(names) < len(headers):
        # granian leaves out values that are not ASCII; with none at all, a condition would be dropped that the client made.
        for name in headers.keys():  # noqa: SIM118 - they are no mapping
            environ.setdefault(variable_of(name), "")
    return environ


def wire_path(scope: Any) -> str:
    """Return the path of a request by PEP 3333: each character is one byte."""
    path: str = scope.path
    return path if path.isascii() else path.encode().decode("latin-1")


def variable_of(name: str) -> str:
    """Return the variable of a header."""
    variable = name.upper().replace("-", "_")
    return variable if variable in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{variable}"


# To look a name up takes a third of the time of making it.
VARIABLES = {
    name: variable_of(name)
    for name in (
        *("accept", "accept-encoding", "accept-language", "authorization", "cache-control", "connection", "content-length"),
        *("content-type", "host", "if-match", "if-none-match", "origin", "referer", "user-agent", "x-request-id"),
    )
}

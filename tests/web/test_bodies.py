"""A body is carried out whole or refused: under any server, in any pieces, whether its length was announced or not."""

import json
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from api.settings import Settings
from api.web import keys
from tests.support.answers import brief
from tests.support.applications import curating, serving
from tests.support.databases import ON_SQLITE, Store, opened
from tests.support.lengths import examples
from tests.support.processes import SERVE, listening, unused_port

LINES = "application/x-ndjson"
MAX_BODY = Settings().max_body
OPERATIONS = 20


class Pieces:
    """The input of a WSGI request whose body arrives in pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        """Take the pieces of the body."""
        self.pieces = list(pieces)

    def read(self, size: int = -1) -> bytes:
        """Return the next piece, or the part of it that fits; nothing at the end."""
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if 0 <= size < len(piece):
            self.pieces.insert(0, piece[size:])
            piece = piece[:size]
        return piece


def changeset(length: int) -> bytes:
    """Return operations that create cities, one on each line, of this many bytes in all."""
    rows = [
        {
            "op": "create",
            "kind": "cities",
            "document": {"id": f"city-{n}-ca", "name": f"City {n}", "state": "CA", "country": "US"},
        }
        for n in range(OPERATIONS)
    ]
    lines = [json.dumps(row).encode() for row in rows]
    # Blanks within each line, so that it remains JSON.
    blanks, rest = divmod(length - sum(map(len, lines)) - len(lines), OPERATIONS)
    padded = [line[:-1] + b" " * (blanks + (rest if n == 0 else 0)) + b"}" for n, line in enumerate(lines)]
    body = b"\n".join(padded) + b"\n"
    assert len(body) == length
    return body


def cut(body: bytes, size: int) -> list[bytes]:
    """Return a body in pieces of this size."""
    return [body[start : start + size] for start in range(0, len(body), size)]


DRY_RUN = "/changesets?dry_run=true"


def chunked(client: FlaskClient, pieces: Sequence[bytes], path: str = DRY_RUN) -> TestResponse:
    """Send a body without its length, as a server hands it on that reads a chunked request to its end."""
    environ = {"wsgi.input": Pieces(pieces), "wsgi.input_terminated": True}
    return client.post(path, content_type=LINES, environ_overrides=environ)


@pytest.fixture(scope="module")
def writer(store: Store, migrated: Settings) -> Iterator[FlaskClient]:
    """A client with a key for writing."""
    with serving(replace(store.copy(migrated), write_limit="1000000/minute")) as app:
        yield curating(app.test_client(), app.extensions["database"])


@hypothesis_settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(beyond=st.integers(-70_000, 70_000), size=st.integers(1_000, MAX_BODY))
@example(beyond=-1, size=65_536)
@example(beyond=0, size=65_536)
@example(beyond=1, size=65_536)
@example(beyond=2, size=65_536)
@example(beyond=0, size=MAX_BODY)
@example(beyond=1, size=MAX_BODY)
@example(beyond=MAX_BODY, size=MAX_BODY)
def test_a_chunked_body_is_whole_or_refused(writer: FlaskClient, beyond: int, size: int) -> None:
    """A chunked body within the limit is processed as a whole; one byte more is a 413."""
    response = chunked(writer, cut(changeset(MAX_BODY + beyond), size))
    if beyond <= 0:
        assert len(response.get_json()["data"]) == OPERATIONS
    else:
        assert brief(response) == (413, "content-too-large", [])


@pytest.mark.parametrize("first", [1, 5_000, MAX_BODY - 1])
def test_a_line_that_ends_at_the_limit_is_no_end(writer: FlaskClient, first: int) -> None:
    """A body is refused even if its first megabyte is valid alone; the control: that megabyte alone."""
    body = changeset(MAX_BODY)
    assert brief(chunked(writer, [body[:first], body[first:], b'{"op": "x"}\n']))[0] == 413
    assert chunked(writer, [body]).status_code == 200


def test_nothing_of_a_refused_body_is_written(writer: FlaskClient) -> None:
    """A changeset that is too long leaves the dataset as it is."""
    before = writer.get("/cities?limit=1").get_json()["meta"]["version"]
    assert chunked(writer, [changeset(MAX_BODY), changeset(5_000)], "/changesets").status_code == 413
    assert writer.get("/cities?limit=1").get_json()["meta"]["version"] == before


@pytest.mark.parametrize("lost", [1, 200, 4_999])
@pytest.mark.parametrize("terminated", [True, False])
def test_a_body_that_is_shorter_than_announced(writer: FlaskClient, lost: int, terminated: bool) -> None:  # noqa: FBT001 - pytest passes it
    """A connection lost in the middle of a body is a 400, even between two lines; the control: the whole body."""
    body = changeset(5_000)
    announced = {"CONTENT_LENGTH": str(len(body)), **({"wsgi.input_terminated": True} if terminated else {})}
    statuses = []
    for number in (lost, 0):
        environ = announced | {"wsgi.input": Pieces(cut(body[: len(body) - number], 512))}
        statuses.append(writer.post(DRY_RUN, content_type=LINES, environ_overrides=environ).status_code)
    assert statuses == [400, 200]


# --- servers


GUNICORN = (sys.executable, "-m", "gunicorn", "wsgi:app", "--no-control-socket", "--bind")


def exchange(port: int, head: Sequence[str], pieces: Sequence[bytes], *, lost: bool = False) -> int:
    """Send a request in pieces and return the status; if ``lost``, the connection ends with the last piece."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall("\r\n".join((*head, "", "")).encode())
        for piece in pieces:
            connection.sendall(piece)
        if lost:
            connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").readline()
    return int(answer.split()[1])


@ON_SQLITE
@pytest.mark.parametrize("server", ["granian", "gunicorn"])
def test_servers(store: Store, migrated: Settings, server: str) -> None:
    """Real servers pass on chunked bodies whole, and refuse long or interrupted ones."""
    settings, port = store.copy(migrated), unused_port()
    with opened(settings) as database, database.writing() as session:
        secret = keys.issue(session, "curator", ["write"])
    arguments = SERVE if server == "granian" else (*GUNICORN, f"127.0.0.1:{port}")
    head = [
        "POST /changesets?dry_run=true HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {secret}",
        f"Content-Type: {LINES}",
        "Connection: close",
    ]
    variables = {"DATABASE_URL": settings.database_url, "PORT": port, "WORKERS": 1}
    with listening(arguments, "127.0.0.1", port, **variables):
        for length, status in ((5_000, 200), (MAX_BODY, 200), (MAX_BODY + 1, 413)):
            pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut(changeset(length), 40_000)]
            assert (length, exchange(port, [*head, "Transfer-Encoding: chunked"], [*pieces, b"0\r\n\r\n"])) == (length, status)
        body = changeset(5_000)
        short = body[: body.rindex(b"\n", 0, -1) + 1]
        for sent, status in ((body, 200), (short, 400)):
            assert exchange(port, [*head, f"Content-Length: {len(body)}"], [sent], lost=sent is short) == status

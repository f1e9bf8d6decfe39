"""Helpers that read an answer of the API: its JSON, its problem, or every record of a list."""

from typing import Any

import rfc8785
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.ledger import merkle
from api.web.problem_types import PROBLEMS
from tests.support.applications import BASE

Json = dict[str, Any]
ANY = {"If-Match": "*"}


def read(client: FlaskClient, path: str) -> Json:
    """Return the JSON of a successful GET."""
    response = client.get(path)
    body: Json = response.get_json()
    assert response.status_code == 200, body
    return body


def problem(response: TestResponse) -> dict[str, Any]:
    """Return the body of a problem, after a check of the headers and members that all problems have."""
    body: dict[str, Any] = response.get_json()
    row = PROBLEMS[body["type"].rsplit("/", 1)[1]]
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert (body["status"], body["title"]) == (response.status_code, row.title) == (row.status, row.title)
    for leak in ("Traceback", "sqlite", "psycopg", "SELECT", ".py"):
        assert leak not in response.get_data(as_text=True)
    return body


def brief(response: TestResponse) -> tuple[int, str, list[dict[str, Any]]]:
    """Return a problem's status, the last part of its type, and its errors."""
    body = problem(response)
    return body["status"], body["type"].rsplit("/", 1)[1], body["errors"]


def record_state(kind: str, record: Json) -> str:
    """Return the part of a record's tag that follows the representation: its version, and the digits of its hash."""
    return f"{record['version']}-{merkle.leaf(kind, record['id'], rfc8785.dumps(record)).hex()[:8]}"


def walk(client: FlaskClient, path: str) -> list[dict[str, Any]]:
    """Return every record of a list, page by page."""
    records: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        answer = client.get(following).get_json()
        records += answer["data"]
        following = answer["links"]["next"] and answer["links"]["next"].removeprefix(BASE)
    return records


def version(client: FlaskClient) -> int:
    """Return the newest version of the dataset."""
    newest: int = client.get("/cities?limit=1").get_json()["meta"]["version"]
    return newest


def tag(record: Json, kind: str = "cities") -> dict[str, str]:
    """Return the `If-Match` header for a record as it was read; a write ignores the tag's representation."""
    return {"If-Match": f'"00000000-{record_state(kind, record)}"'}

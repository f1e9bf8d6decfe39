"""Short names for an answer of the API: its JSON, its problem, and all the records of a list."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import __version__
from api.web.problem_types import PROBLEMS
from tests.support.applications import BASE

Json = dict[str, Any]
ANY = {"If-Match": "*"}


def read(client: FlaskClient, path: str) -> Json:
    """Ask for JSON that is there."""
    response = client.get(path)
    assert response.status_code == 200, response.get_json()
    found: Json = response.get_json()
    return found


def problem(response: TestResponse) -> dict[str, Any]:
    """Return a problem's body, after checking what every problem has."""
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


def walk(client: FlaskClient, path: str) -> list[dict[str, Any]]:
    """Follow `links.next` to the end and return every record."""
    records: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        answer = client.get(following).get_json()
        records += answer["data"]
        following = answer["links"]["next"] and answer["links"]["next"].removeprefix(BASE)
    return records


def version(client: FlaskClient) -> int:
    """Return the version that the dataset is at."""
    found: int = client.get("/cities?limit=1").get_json()["meta"]["version"]
    return found


def tag(record: Json) -> dict[str, str]:
    """Return the header that says which state of a record is known."""
    return {"If-Match": f'"{__version__}-{record["version"]}"'}

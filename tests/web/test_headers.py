"""The headers that every answer has, on every path of the URL map."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

FILLED = {
    "id": "boston-ma",
    "noun": "cities",
    "number": "0",
    "version": "1",
    "name": "docs.js",
    "format": "csv",
    "part": "0",
} | {"of": "entity"}


def paths(app: Flask) -> dict[str, set[str]]:
    """Return a path for every rule of the API, with the methods of all rules that match it."""
    adapter = app.url_map.bind("localhost")
    filled = {re.sub(r"<(?:[^:>]+:)?([^>]+)>", lambda part: FILLED[part[1]], rule.rule) for rule in app.url_map.iter_rules()}
    filled = {path for path in filled if not path.startswith("/edit")}
    return {path: set(adapter.allowed_methods(path)) for path in filled}


def test_preflights_name_the_methods_of_the_path(app: Flask) -> None:
    """A preflight's answer has exactly the methods of `Allow` and of the URL map for the path, for any method requested."""
    client = app.test_client()
    for path, methods in paths(app).items():
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            asking = {"Origin": "https://app.example", "Access-Control-Request-Method": method}
            answer = client.options(path, headers=asking)
            assert (
                set(answer.headers["Access-Control-Allow-Methods"].split(", "))
                == methods
                == set(answer.headers["Allow"].split(", "))
            ), path
            assert (answer.headers["Access-Control-Allow-Origin"], answer.headers["Access-Control-Max-Age"]) == ("*", "86400")


@pytest.mark.parametrize("path", ["/cities", "/nowhere", "/livez", "/static/style.css"])
def test_every_answer(client: FlaskClient, path: str) -> None:
    """Every answer has its request's id, forbids content sniffing, and is readable from any origin."""
    response = client.get(path, headers={"X-Request-Id": "abc"})
    response.close()
    assert response.headers["X-Request-Id"] == "abc"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Access-Control-Allow-Origin"] == "*"

"""Keys over HTTP, from their beginning to their end."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.answers import brief


def test_a_key_from_its_beginning_to_its_end(admin: FlaskClient) -> None:
    """A key is created, used, rotated and revoked; only its newest secret works."""
    made = admin.post("/keys", json={"name": "part-two", "scopes": ["write:cities"], "expires_at": "2099-01-01T00:00:00Z"})
    key = made.get_json()["data"]
    assert (made.status_code, key) == (
        201,
        {
            "name": "part-two",
            "scopes": ["write:cities"],
            "state": "active",
            "created_at": key["created_at"],
            "expires_at": "2099-01-01T00:00:00.000Z",
            "revoked_at": None,
            "last_used_at": None,
        },
    )
    first = made.get_json()["secret"]
    second = admin.post("/keys/part-two/rotate").get_json()["secret"]

    def status(secret: str) -> int:
        response = admin.post("/cities", json={}, headers={"Authorization": f"Bearer {secret}"})
        response.close()
        return response.status_code

    assert (status(first), status(second)) == (401, 422)
    used = admin.get("/keys").get_json()["data"][1]
    assert used["last_used_at"] is not None
    assert {**used, "last_used_at": None} == key
    assert admin.delete("/keys/part-two").status_code == 204
    assert status(second) == 401
    assert [(row["name"], row["state"]) for row in admin.get("/keys").get_json()["data"]] == [
        ("admin", "active"),
        ("part-two", "revoked"),
    ]
    assert brief(admin.post("/keys", json={"name": "part-two", "scopes": ["write"]}))[:2] == (409, "conflict")
    assert brief(admin.delete("/keys/nobody"))[:2] == (404, "record-not-found")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], {"": None}),
        ({}, {"/name": None, "/scopes": None}),
        ({"name": "A b", "scopes": ["write"]}, {"/name": None}),
        ({"name": "a", "scopes": []}, {"/scopes": None}),
        ({"name": "a", "scopes": "write"}, {"/scopes": None}),
        ({"name": "a", "scopes": ["write", "writ", 5, {}]}, {"/scopes/1": "write", "/scopes/2": None, "/scopes/3": None}),
        ({"name": "a", "scopes": ["write"], "expires_at": "tomorrow"}, {"/expires_at": None}),
        ({"name": "a", "scopes": ["write"], "expires_at": "2020-01-01T00:00:00Z"}, {"/expires_at": None}),
        ({"name": "a", "scopes": ["write"], "expires_at": 5}, {"/expires_at": None}),
        ({"name": "a", "scopes": ["write"], "expires": "x", "secret": "x"}, {"/expires": "expires_at", "/secret": None}),
    ],
)
def test_keys_that_are_none(admin: FlaskClient, body: Any, expected: dict[str, str | None]) -> None:
    """An invalid key is a 422 with the place and a suggestion."""
    status, name, items = brief(admin.post("/keys", json=body))
    assert (status, name) == (422, "invalid-body")
    assert {item["pointer"]: item.get("suggestion") for item in items} == expected

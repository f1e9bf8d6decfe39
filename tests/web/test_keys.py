"""Keys: their scopes, and when they were last used."""

import datetime as dt

import pytest
from flask.testing import FlaskClient

from api.db.database import Database
from api.web import keys


def test_last_use_is_noted_once_a_minute(own_client: FlaskClient, database: Database) -> None:
    """A key's last use is written at the first use and then at most once a minute, however often it is used."""
    with database.writing() as session:
        secret = keys.issue(session, "curator", ["write"], None)
    headers = {"Authorization": f"Bearer {secret}"}

    def used() -> dt.datetime | None:
        own_client.post("/cities", json={}, headers=headers).close()
        with database.reading() as session:
            return session.get_one(keys.ApiKey, "curator").last_used_at

    first = used()
    assert first is not None
    assert used() == first
    with database.writing() as session:
        session.get_one(keys.ApiKey, "curator").last_used_at = first - dt.timedelta(seconds=61)
    assert (used() or first) > first


@pytest.mark.parametrize(("held", "scope", "allowed"), [
    ("", "write:cities", False), ("read", "write:cities", False), ("write:cities", "write:cities", True), ("write:cities", "write:awards", False),
    ("write", "write:awards", True), ("write", "admin", False), ("admin", "write:awards", True), ("admin", "admin", True),
])  # fmt: skip
def test_scopes(held: str, scope: str, allowed: bool) -> None:  # noqa: FBT001 - pytest passes it
    """`write` covers every noun, `admin` everything, and other scopes only themselves."""
    assert keys.ApiKey(name="k", scopes=held).allows(scope) is allowed

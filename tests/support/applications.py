"""The application under test, and clients with keys for writing."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from api.db.database import Database
from api.settings import Settings
from api.web import keys
from tests.support.databases import share_compiled

BASE = "https://api.example.org"
# A file that does not exist, for tests of answers that need no database.
NO_DATABASE = Settings(database_url="sqlite:///nowhere.sqlite3")


@contextmanager
def serving(settings: Settings) -> Iterator[Flask]:
    """Make an application, and close its database connections afterwards."""
    app = create_app(settings)
    share_compiled(app.extensions["database"].engine)
    try:
        yield app
    finally:
        app.extensions["database"].engine.dispose()


def curating(client: FlaskClient, database: Database, *scopes: str, name: str = "curator") -> FlaskClient:
    """Return the client with a new key, which has the scope `write` unless others are named."""
    with database.writing() as session:
        secret = keys.issue(session, name, scopes or ("write",), None)
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return client

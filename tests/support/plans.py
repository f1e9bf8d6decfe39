"""The database's plans for a request."""

import json
import re
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import event

from api.db.database import Database


def plans(client: FlaskClient, path: str) -> list[str]:
    """Return the plan of each statement on documents, or on the figures of initiatives, that a request runs."""
    database: Database = client.application.extensions["database"]
    explained: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and re.search("FROM (revision|initiative_metrics)", statement):
            prefix = "explain query plan " if database.engine.dialect.name == "sqlite" else "explain "
            cursor = connection.connection.cursor()
            cursor.execute(prefix + statement, parameters)
            explained.append("\n".join(str(row[-1]) for row in cursor.fetchall()))

    event.listen(database.engine, "before_cursor_execute", explain)
    try:
        assert client.get(path).status_code == 200
    finally:
        event.remove(database.engine, "before_cursor_execute", explain)
    return explained


def written(value: object) -> str:
    """Write a value as a query has it."""
    if isinstance(value, list):
        return ",".join(map(written, value))
    return value if isinstance(value, str) else json.dumps(value)

"""Writes the README's tables and answers: each from what the code declares, or from a real request."""

import json
import tempfile
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from flask.testing import FlaskClient

from api.app import create_app
from api.db import Database, alembic_config
from api.resources import RESOURCES
from api.settings import ROOT, Settings

# A record is published when a reader's own database is migrated; the README shows one such moment.
MOMENT = "2026-11-22T09:00:00.000Z"


@cache
def client() -> FlaskClient:
    """Return a client of the application on a database as `make run` makes it."""
    folder = tempfile.mkdtemp()
    settings = Settings(database_url=f"sqlite:///{Path(folder) / 'readme.sqlite3'}", public_url="http://127.0.0.1:8000")
    database = Database(settings, create=True)
    config = alembic_config()
    config.attributes["connection"] = database.engine
    command.upgrade(config, "head")
    database.engine.dispose()
    return create_app(settings).test_client()


def answer(path: str, *headers: str) -> str:
    """Return a request as one types it, with its real answer: the status when it is no success, and the body."""
    asked = dict(header.split(": ", 1) for header in headers)
    response = client().get(path, headers=asked)
    line = f"curl '127.0.0.1:8000{path}'" + "".join(f" -H '{header}'" for header in headers)
    shown = [] if response.status_code == 200 else [f"HTTP {response.status}"]
    if response.get_data():
        shown.append(json.dumps(_stable(response.get_json()), indent=2, ensure_ascii=False))
    return f"```console\n$ {line}\n" + "\n".join(shown) + "\n```"


def _stable(value: Any) -> Any:
    """Replace what differs from one reader to the next."""
    if isinstance(value, dict):
        changing = {"updated_at": MOMENT, "request_id": "0b6a4ac1b2c84a0e9d5d1b1f0a2c3d4e"}
        return {key: changing.get(key) or _stable(below) for key, below in value.items()}
    return [_stable(below) for below in value] if isinstance(value, list) else value


def settings() -> str:
    """Return the table of environment variables."""
    rows = ["| variable | default | what it does |", "|---|---|---|"]
    for row in fields(Settings):
        assert row.default is not MISSING
        default = str(row.default).replace(f"{ROOT}/", "")
        rows.append(f"| `{row.name.upper()}` | {f'`{default}`' if default else ''} | {row.metadata['help']} |")
    return "\n".join(rows)


def nouns() -> str:
    """Return the table of nouns."""
    rows = ["| path | records | what it holds |", "|---|---|---|"]
    for resource in RESOURCES:
        total = client().get(f"/{resource.name}?limit=1").get_json()["page"]["total"]
        rows.append(f"| `/{resource.name}` | {total} | {resource.description} |")
    return "\n".join(rows)

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
from api.db.database import Database, alembic_config
from api.query.language import PARAMETERS, filters, includable
from api.resources import BY_NAME, RESOURCES
from api.schema.formats import FORMATS
from api.schema.operators import OPERATORS, TYPES
from api.settings import ROOT, Settings
from api.web.keys import SCOPES
from bench.report import FILE, summary

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


def lines(path: str, most: int = 4) -> str:
    """Return a request as one types it, with the first lines of its real answer, which is no JSON."""
    shown = client().get(path).get_data(as_text=True).splitlines()[:most]
    return f"```console\n$ curl '127.0.0.1:8000{path}'\n" + "\n".join(shown) + "\n```"


def outline(path: str, *members: str) -> str:
    """Return a request as one types it, with some members of its real answer."""
    found = _stable(client().get(path).get_json())
    shown = json.dumps({name: found[name] for name in members}, indent=2, ensure_ascii=False)
    return f"```console\n$ curl '127.0.0.1:8000{path}'  # of its answer: {', '.join(members)}\n{shown}\n```"


def operators() -> str:
    """Return the table of operators."""
    rows = ["| operator | example | the field | fields of type |", "|---|---|---|---|"]
    for row in OPERATORS.values():
        types = [type.name for type in TYPES.values() if row.name in type.operators]
        kinds = ", ".join(types) if types else "any that can be null, and relations to many"
        rows.append(f"| {f'`{row.name}`' if row.name else '(none)'} | `{EXAMPLES[row.name]}` | {row.description} | {kinds} |")
    return "\n".join(rows)


# Each is asked for by a test.
EXAMPLES = {
    "": "state=CA,WA",
    "not": "initiative.status__not=draft,planned",
    "gt": "award.survey.year__gt=2023",
    "gte": "initiative.started__gte=2024",
    "lt": "award.rank__lt=3",
    "lte": "award.rank__lte=3",
    "contains": "name__contains=san",
    "startswith": "name__startswith=los",
    "isnull": "award__isnull=true",
}


def parameters() -> str:
    """Return the table of the parameters that lists have besides filters."""
    rows = ["| parameter | example | what it does |", "|---|---|---|"]
    for row in PARAMETERS.values():
        example = f"`{row.example(BY_NAME['initiatives'])}`" if row.example else ""
        rows.append(f"| `{row.name}` | {example} | {row.description} |")
    return "\n".join(rows)


def fields_of_nouns() -> str:
    """Return the table of what each noun can be filtered by."""
    rows = ["| path | fields | counted by `facets` | `include` |", "|---|---|---|---|"]
    for resource in RESOURCES:
        named = ", ".join(f"`{name}`" for name in dict.fromkeys(name.partition("__")[0] for name in filters(resource)))
        counted = ", ".join(f"`{name}`" for name in resource.facets)
        related = ", ".join(f"`{name}`" for name in includable(resource) if "." not in name)
        rows.append(f"| `/{resource.name}` | {named} | {counted} | {related} |")
    return "\n".join(rows)


def formats() -> str:
    """Return the table of formats."""
    rows = ["| suffix | `Accept` | what it is |", "|---|---|---|"]
    return "\n".join([*rows, *(f"| `.{row.name}` | `{row.media_type}` | {row.description} |" for row in FORMATS.values())])


def scopes() -> str:
    """Return the table of scopes."""
    rows = ["| scope | what a key with it may do |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {described} |" for name, described in SCOPES.items())])


def verbs() -> str:
    """Return the table of what can be done to records, from the OpenAPI document."""
    document = client().get("/openapi.json").get_json()
    rows = ["| request | what it does | success |", "|---|---|---|"]
    for path in ("/cities", "/cities/{id}", "/changesets"):
        for method, found in document["paths"][path].items():
            if method in {"post", "put", "patch", "delete"}:
                shown = path.replace("cities", "{noun}")
                success = ", ".join(sorted(status for status in found["responses"] if status.startswith("2")))
                rows.append(f"| `{method.upper()} {shown}` | {found['description'].strip()} | {success} |")
    return "\n".join(rows)


def copies() -> str:
    """Return the table of what those who keep a copy ask for, from the OpenAPI document."""
    document = client().get("/openapi.json").get_json()
    rows = ["| request | what it does | parameters |", "|---|---|---|"]
    for path, item in document["paths"].items():
        found = item.get("get", {})
        if "sync" in found.get("tags", ()) or path == "/cities/{id}/history":
            named = [
                _resolved(document, row)["name"] for row in found["parameters"] if _resolved(document, row)["in"] == "query"
            ]
            told = found["description"].strip().partition("\n\n")[0].replace("\n", " ")
            shown = ", ".join(f"`{name}`" for name in named)
            rows.append(f"| `GET {path.replace('cities', '{noun}')}` | {told} | {shown} |")
    return "\n".join(rows)


def _resolved(document: Any, item: Any) -> Any:
    """Return a parameter itself, where the document refers to it."""
    return document["components"]["parameters"][item["$ref"].rsplit("/", 1)[1]] if "$ref" in item else item


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


def speed() -> str:
    """Return the table of what `make bench` has measured."""
    return summary(FILE)

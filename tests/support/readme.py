"""Generates the tables and answers of README.md and docs/: from the declarations in the code, or from a real request."""

import ast
import json
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

import click
from alembic import command
from flask.testing import FlaskClient

from api import cli
from api.app import create_app
from api.db.database import Database
from api.db.revisions import alembic_config
from api.query.language import filters, includable
from api.query.parameters import PARAMETERS
from api.resources import BY_NAME, RESOURCES
from api.schema.fingerprints import ABBREVIATIONS
from api.schema.formats import FORMATS
from api.schema.operators import OPERATORS, TYPES
from api.settings import ROOT, Settings
from api.web.gauges import STANDBY
from api.web.keys import SCOPES
from api.web.metrics import EVENTS, PREFIX
from api.web.problem_types import PROBLEMS
from bench.report import FILE, summary
from tests.support.dates import FILTERS, MEANINGS, REFUSED

# Records are published when a reader migrates their own database, so the pages show this time instead.
MOMENT = "2026-11-22T09:00:00.000Z"
WIDTH = 120


@cache
def client() -> FlaskClient:
    """Return a client of the application, on a new database with the facts."""
    folder = tempfile.mkdtemp()
    settings = Settings(database_url=f"sqlite:///{Path(folder) / 'readme.sqlite3'}", public_url="http://127.0.0.1:8000")
    database = Database(settings, create=True)
    config = alembic_config()
    config.attributes["connection"] = database.engine
    command.upgrade(config, "head")
    database.engine.dispose()
    return create_app(settings).test_client()


def answer(path: str, *headers: str) -> str:
    """Return a request as a `curl` command, with its status if it is not 200, and its whole body."""
    response = client().get(path, headers=dict(header.split(": ", 1) for header in headers))
    line = f"curl '127.0.0.1:8000{path}'" + "".join(f" -H '{header}'" for header in headers)
    status = [] if response.status_code == 200 else [f"HTTP {response.status}"]
    body = [pretty(_stable(response.get_json()))] if response.get_data() else []
    return _console(line, *status, *body)


def outline(path: str, *members: str) -> str:
    """Return a request as a `curl` command, with some members of its answer."""
    response = client().get(path)
    body = _stable(response.get_json())
    comment = f"  # of the answer: {', '.join(members)}"
    status = [] if response.status_code == 200 else [f"HTTP {response.status}"]
    return _console(f"curl '127.0.0.1:8000{path}'{comment}", *status, pretty({name: body[name] for name in members}))


def lines(path: str, limit: int = 4) -> str:
    """Return a request as a `curl` command, with the first lines of its answer, which is not JSON."""
    body = client().get(path).get_data(as_text=True).splitlines()
    return _console(f"curl '127.0.0.1:8000{path}'", *body[:limit])


def reconciled() -> str:
    """Return a request of a reconciliation as a `curl` command, with its answer."""
    queries = '{"a": {"query": "Bostn", "type": "cities"}, "b": {"query": "CPUC"}}'
    answer = client().post("/reconcile", data={"queries": queries}).get_json()
    return _console(f"curl 127.0.0.1:8000/reconcile --data-urlencode 'queries={queries}'", pretty(answer))


def block(language: str, lines: Iterable[str]) -> str:
    """Return a block of code."""
    return "\n".join([f"```{language}", *lines, "```"])


def _console(line: str, *output: str) -> str:
    return block("console", [f"$ {line}", *output])


def _stable(value: Any) -> Any:
    """Replace the values that differ from one reader's server to another's."""
    if isinstance(value, dict):
        changing = {"updated_at": MOMENT, "request_id": "0b6a4ac1b2c84a0e9d5d1b1f0a2c3d4e"}
        return {key: changing.get(key) or _stable(item) for key, item in value.items()}
    return [_stable(item) for item in value] if isinstance(value, list) else value


def pretty(value: Any, indent: str = "", room: int = WIDTH) -> str:
    """Return JSON that has an object or a list on one line where it fits into ``room`` columns."""
    short = json.dumps(value, ensure_ascii=False)
    if len(short) <= room or not value or not isinstance(value, dict | list):
        return short
    inner, left = f"{indent}  ", WIDTH - len(indent) - 2
    if isinstance(value, list):
        items = [pretty(item, inner, left - 1) for item in value]
    else:
        items = [f"{json.dumps(key)}: {pretty(item, inner, left - len(key) - 5)}" for key, item in value.items()]
    start, end = "[]" if isinstance(value, list) else "{}"
    return f"{start}\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}{end}"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table. A `|` in a cell is escaped, because it would end the cell even inside code."""
    lines = [" | ".join(str(cell).replace("|", "\\|") for cell in row) for row in (header, *rows)]
    return "\n".join([f"| {lines[0]} |", "|" + "---|" * len(header), *(f"| {line} |" for line in lines[1:])])


# One example of each operator; a test sends each to `/cities`.
EXAMPLES = {
    "": "state=CA,WA",
    "not": "initiative.status__not=draft,planned",
    "gt": "award.survey.year__gt=2023",
    "gte": "initiative.started__gte=2024",
    "lt": "award.rank__lt=3",
    "lte": "award.rank__lte=3",
    "contains": "name__contains=san",
    "startswith": "name__startswith=los",
    "month": "initiative.started__month=6,7,8",
    "isnull": "award__isnull=true",
}


def nouns() -> str:
    """Return the table of nouns."""
    totals = {row.name: client().get(f"/{row.name}?limit=1").get_json()["page"]["total"] for row in RESOURCES}
    return _table(("path", "records", "contents"), [(f"`/{row.name}`", totals[row.name], row.description) for row in RESOURCES])


def operators() -> str:
    """Return the table of operators."""
    rows = []
    for row in OPERATORS.values():
        types = [type.name for type in TYPES.values() if row.name in type.operators]
        allowed = ", ".join(types) or "all that can be null, and relations to many"
        rows.append((f"`{row.name}`" if row.name else "(none)", f"`{EXAMPLES[row.name]}`", row.description, allowed))
    return _table(("operator", "example", "the field", "types of fields"), rows)


def dates() -> str:
    """Return the table of the meaning of dates."""
    rows = [
        (f"`{date}`", row.earliest, row.latest, row.month, *("yes" if name in row.found_by else "" for name in FILTERS))
        for date, row in MEANINGS.items()
    ]
    return _table(("date", "earliest", "latest", "month", *(f"`{name}`" for name in FILTERS)), rows)


def wrong_dates() -> str:
    """Return the list of texts that are refused as dates, and why."""
    return "\n".join(f"- `{text}`: {why}" for text, why in REFUSED.items())


def parameters() -> str:
    """Return the table of a list's parameters other than filters."""
    initiatives = BY_NAME["initiatives"]
    examples = {row.name: f"`{row.example(initiatives)}`" if row.example else "" for row in PARAMETERS.values()}
    rows = [(f"`{row.name}`", examples[row.name], row.description) for row in PARAMETERS.values()]
    return _table(("parameter", "example", "effect"), rows)


def fields_of_nouns() -> str:
    """Return a list for each noun: its filters, its facets and its values of `include`."""
    sections = []
    for resource in RESOURCES:
        named = dict.fromkeys(name.partition("__")[0] for name in filters(resource))
        related = [name for name in includable(resource) if "." not in name]
        sections.append(
            f"**`/{resource.name}`**\n\n"
            f"- filters: {_codes(named)}\n"
            f"- `facets`: {_codes(resource.facets)}\n"
            f"- `include`: {_codes(related)}"
        )
    return "\n\n".join(sections)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def abbreviations() -> str:
    """Return the table of the abbreviations that end no sentence."""
    rows = [(kind, " ".join(f"`{word}.`" for word in words.split())) for kind, words in ABBREVIATIONS.items()]
    return _table(("kind", "abbreviations"), rows)


def evidence() -> str:
    """Return the table of members that need no citation, and of those whose items each need one."""
    rows = [(f"`{row.name}`", _codes(row.unsourced), _codes(row.judged)) for row in RESOURCES if row.unsourced or row.judged]
    return _table(("records", "need no citation", "are judgements"), rows)


def formats() -> str:
    """Return the table of formats."""
    return _table(
        ("suffix", "`Accept`", "contents"),
        [(f"`.{row.name}`", f"`{row.media_type}`", row.description) for row in FORMATS.values()],
    )


def problems() -> str:
    """Return the table of problem types, by status."""
    rows = sorted(PROBLEMS.values(), key=lambda row: row.status)
    return _table(("status", "`type`", "title"), [(row.status, f"`/problems/{row.name}`", row.title) for row in rows])


def scopes() -> str:
    """Return the table of scopes."""
    return _table(("scope", "what the key may do"), [(f"`{name}`", text) for name, text in SCOPES.items()])


def verbs() -> str:
    """Return the table of writing requests, from the OpenAPI document."""
    document = client().get("/openapi.json").get_json()
    rows = []
    for path in ("/cities", "/cities/{id}", "/changesets", "/changesets/{version}/revert"):
        for method, operation in document["paths"][path].items():
            if method in {"post", "put", "patch", "delete"}:
                request = f"`{method.upper()} {path.replace('cities', '{noun}')}`"
                success = ", ".join(sorted(status for status in operation["responses"] if status.startswith("2")))
                rows.append((request, operation["description"].strip().partition("\n\n")[0].replace("\n", " "), success))
    return _table(("request", "effect", "success"), rows)


def copies() -> str:
    """Return the table of the requests that keep a copy up to date, from the OpenAPI document."""
    document = client().get("/openapi.json").get_json()
    rows = []
    for path, item in document["paths"].items():
        operation = item.get("get", {})
        if "sync" in operation.get("tags", ()) or path == "/cities/{id}/history":
            parameters = [_resolved(document, row) for row in operation["parameters"]]
            text = operation["description"].strip().partition("\n\n")[0].replace("\n", " ")
            names = _codes(row["name"] for row in parameters if row["in"] == "query")
            rows.append((f"`GET {path.replace('cities', '{noun}')}`", text, names))
    return _table(("request", "answer", "parameters"), rows)


def _resolved(document: Any, item: Any) -> Any:
    """Return a parameter itself where the document has a reference to it."""
    return document["components"]["parameters"][item["$ref"].rsplit("/", 1)[1]] if "$ref" in item else item


def settings() -> str:
    """Return the table of environment variables."""
    rows = []
    for row in fields(Settings):
        assert row.default is not MISSING
        default = f"`{row.default}`" if row.default != "" else ""
        rows.append((f"`{row.name.upper()}`", default, row.metadata["help"]))
    return _table(("variable", "default", "meaning"), rows)


def environment() -> str:
    """Return a file of environment variables: each in a comment, with its default, below what it means."""
    sections = []
    for row in fields(Settings):
        lines = textwrap.wrap(row.metadata["help"], 100, break_long_words=False, break_on_hyphens=False)
        sections.append("\n".join([*(f"# {line}" for line in lines), f"#{row.name.upper()}={row.default}"]))
    return "\n\n".join(sections)


def commands() -> str:
    """Return the table of commands, from their help texts."""
    rows = []
    for row in map(cli.command, cli.COMMANDS):
        for part in row.commands.values() if isinstance(row, click.Group) else [row]:
            name = f"{row.name} {part.name}" if isinstance(row, click.Group) else part.name
            rows.append((f"`{name}`", (part.help or "").partition("\n\n")[0].replace("\n", " ")))
    return _table(("command", "effect"), rows)


def metrics() -> str:
    """Return the table of metrics, as an application without a standby has them after a request."""
    client().get("/cities", buffered=True)
    rows = []
    for family in client().application.extensions["metrics"].collect():
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = labels or [EVENTS[family.name.removeprefix(f"{PREFIX}_")][0]] if family.type == "counter" else labels
        rows.append((f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation))
    rows.append((f"`{PREFIX}_{STANDBY[0]}`", "gauge", "", STANDBY[1]))
    return _table(("metric", "type", "labels", "meaning"), rows)


def folders() -> str:
    """Return a table for each folder of api/, from the first sentences of the docstrings."""
    api = ROOT / "api"
    rooms = [api, *sorted(path for path in api.iterdir() if (path / "__init__.py").exists())]
    sections = []
    for room in rooms:
        rows = [(f"`{name}`", text) for name, text in _contents(room, is_deep=room != api)]
        name = room.relative_to(ROOT).as_posix()
        sections.append(f"**`{name}/`**: {_summary(room / '__init__.py')}\n\n{_table(('file', 'contents'), rows)}")
    return "\n\n".join(sections)


def _contents(folder: Path, *, is_deep: bool) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and (path.name != "__init__.py" or _has_code(path)):
            yield path.name, _summary(path)
        elif is_deep and path.is_dir() and any(path.glob("*.py")):
            yield f"{path.name}/", _summary(path / "__init__.py")
            yield from ((f"{path.name}/{name}", text) for name, text in _contents(path, is_deep=True))
        elif is_deep and path.is_dir() and path.name != "__pycache__":
            yield f"{path.name}/", _codes(sorted(file.name for file in path.iterdir()))


def _has_code(path: Path) -> bool:
    return len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def _summary(path: Path) -> str:
    """Return the first sentence of a module's docstring, with Markdown's code in place of reST's."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ").replace("``", "`")


def speed() -> str:
    """Return the tables of the last run of `make bench`."""
    return summary(FILE)

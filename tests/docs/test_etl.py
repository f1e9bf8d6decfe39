"""Copies kept by dlt, Singer and Airbyte, each set up exactly as `docs/sync.md` says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import jsonschema_rs
import pytest
import yaml
from flask.testing import FlaskClient
from sqlalchemy import select

from api.editing.inputs import example_of
from api.ledger import retention
from api.ledger.models import Op, Revision
from api.resources import RESOURCES
from api.schema.resource import Resource
from api.settings import ROOT, Settings
from api.web import keys
from tests.support.databases import opened
from tests.support.processes import Server

pytestmark = pytest.mark.slow

Json = dict[str, Any]
PAGE = (ROOT / "docs" / "sync.md").read_text(encoding="utf-8")
NOUNS = [resource.name for resource in RESOURCES]
ANY = {"If-Match": "*"}


def blocks(section: str, language: str) -> list[str]:
    """Return the code of a section of the page."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def exact(text: str | bytes) -> Any:
    """Read JSON, with fractions as they are written."""
    return json.loads(text, parse_float=Decimal)


def bare(value: Any) -> Any:
    """Return a record without null and empty members; a warehouse may have no column or table for them."""
    if isinstance(value, list):
        return [bare(item) for item in value]
    if isinstance(value, dict):
        return {name: bare(item) for name, item in value.items() if item not in (None, [])}
    return value


class Office:
    """A real server with a client that writes to it."""

    def __init__(self, server: Server, secret: str, settings: Settings) -> None:
        """Keep all."""
        self.settings = settings
        self.server, self.address = server, f"http://127.0.0.1:{server.port}"
        self.headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> bytes:
        """Send a request that succeeds."""
        data = b"" if body is None else json.dumps(body).encode()
        status, answer = self.server.send(method, path, data, {**self.headers, **(headers or {})})
        assert status in {200, 201, 204}, answer
        return answer

    def records(self, noun: str) -> list[Json]:
        """Return a noun's records, by id."""
        return sorted(map(exact, self.send("GET", f"/{noun}.ndjson").splitlines()), key=lambda record: str(record["id"]))

    def create(self, resource: Resource) -> None:
        """Create the example of a noun."""
        self.send("PUT", f"/{resource.name}/{example_of(resource)['id']}", example_of(resource))

    def delete(self, resource: Resource) -> None:
        """Delete it."""
        self.send("DELETE", f"/{resource.name}/{example_of(resource)['id']}", headers=ANY)

    def erase(self, noun: str) -> None:
        """Erase the past of a record that was changed, as the operator's command does."""
        with opened(self.settings) as database, database.writing() as session:
            changed = select(Revision.id).where(
                Revision.kind == noun, Revision.op == Op.UPSERT, Revision.superseded.is_not(None)
            )
            id = session.scalars(changed.order_by(Revision.version).limit(1)).one()
            assert retention.erase(session, noun, id)

    def change(self, noun: str, id: str, members: Json) -> None:
        """Change a record."""
        self.send("PATCH", f"/{noun}/{id}", members, ANY)


@pytest.fixture
def office(settings: Settings) -> Iterator[Office]:
    """The server, on this test's own database."""
    with opened(settings) as database, database.writing() as session:
        secret = keys.issue(session, "curator", ["write"], None)
    server = Server(settings)
    try:
        yield Office(server, secret, settings)
    finally:
        server.kill()


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that keeps all files of a tool in this test's folder, and none at home."""
    home = tmp_path / "home"
    yield {**os.environ, "HOME": str(home), "DLT_DATA_DIR": str(tmp_path / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    assert not home.exists()


def keep(office: Office, run: Callable[[], int], records: Callable[[str], list[Json]]) -> None:
    """Bring a copy up to date repeatedly, while every kind of change happens to a record of each noun.

    ``run`` returns the number of rows loaded, and ``records`` the copy's records of a noun.
    """
    first, *others = RESOURCES

    def check(*, loaded: int) -> None:
        assert run() == loaded
        for noun in NOUNS:
            assert records(noun) == [bare(record) for record in office.records(noun)]

    # The first load has every existing record, and no earlier deletion.
    for resource in RESOURCES:
        office.create(resource)
    office.delete(first)
    check(loaded=sum(len(office.records(noun)) for noun in NOUNS))
    # One of each noun is changed and one deleted, but the first is back.
    for noun in NOUNS:
        record = next(record for record in office.records(noun) if not record["id"].startswith("example"))
        name = next(name for name in ("summary", "description", "sentence") if name in record)
        office.change(noun, record["id"], {name: 100 if name == "sentence" else "Changed."})
    for resource in others:
        office.delete(resource)
    office.create(first)
    metrics = [
        {"name": f"{value}", "value": value, "unit": "x", "kind": "count", "qualifier": None} for value in (0.1, 2.500001, 3)
    ]
    office.change("initiatives", "san-diego-ca-chatbots", {"metrics": metrics})
    check(loaded=2 * len(NOUNS) + 1)
    # The deleted records are back, except the first; the last is deleted and restored between two runs.
    for resource in others:
        office.create(resource)
    office.delete(first)
    office.delete(others[-1])
    office.create(others[-1])
    check(loaded=len(NOUNS))
    # A city that was changed loses its past: it is deleted, and comes again.
    office.erase("cities")
    check(loaded=2)
    check(loaded=0)


# --- dlt

COUNT = "\ncounts = pipeline.last_trace.last_normalize_info.row_counts\nprint(sum(counts.get(noun, 0) for noun in NOUNS))\n"
# A record's own members, with times as text.
MEMBERS = """SELECT COLUMNS(lambda name: name NOT IN ('changed_at', 'cursor', 'deleted', 'updated_at')),
strftime(updated_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ') AS updated_at ORDER BY id"""


def plain(value: Any) -> Any:
    """Return a value as it is."""
    return value


# How the values of some types of DuckDB are read.
READ: dict[str, Callable[[Any], Any]] = {"JSON": exact, "DOUBLE": lambda value: Decimal(str(value))}


class Warehouse:
    """A DuckDB file that dlt loads into, by programs that run in its folder."""

    def __init__(self, office: Office, environment: dict[str, str], folder: Path) -> None:
        """Keep the paths."""
        self.office, self.environment, self.folder = office, environment, folder

    def program(self, number: int) -> str:
        """Return a program of the page."""
        return blocks("dlt", "python")[number].replace("http://127.0.0.1:8000", self.office.address)

    def start(self, program: str) -> subprocess.Popen[str]:
        """Start a program."""
        return subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str) -> str:
        """Run a program; returns its output."""
        arguments = [sys.executable, "-c", program]
        done = subprocess.run(arguments, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout

    def tables(self, dataset: str, name: str) -> dict[str, list[Json]]:
        """Read a table of a dataset, and the tables of its lists."""
        tables = {}
        with duckdb.connect(self.folder / "digital_cities.duckdb", read_only=True) as connection:
            connection.execute(f"SET schema = '{dataset}'")
            for (table,) in connection.execute("SELECT name FROM (SHOW TABLES)").fetchall():
                if table == name or table.startswith(f"{name}__"):
                    rows = connection.execute(f"FROM {table} {MEMBERS if table == name else 'ORDER BY _dlt_list_idx'}")
                    columns = [(column[0], READ.get(str(column[1]), plain)) for column in rows.description or []]
                    tables[table] = [
                        {name: None if value is None else read(value) for (name, read), value in zip(columns, row, strict=True)}
                        for row in rows.fetchall()
                    ]
        return tables

    def records(self, noun: str, dataset: str = "city_awards") -> list[Json]:
        """Return the records of a noun, by id, each put together from all its tables."""
        tables = self.tables(dataset, noun)

        def whole(table: str, row: Json) -> Any:
            record: Json = {}
            for name, value in row.items():
                if value is not None and not name.startswith("_dlt"):
                    owner, _, member = name.partition("__")
                    (record.setdefault(owner, {}) if member else record)[member or owner] = value
            for other, rows in tables.items():
                name = other.removeprefix(f"{table}__")
                if name != other and "__" not in name:
                    record[name] = [whole(other, item) for item in rows if item["_dlt_parent_id"] == row["_dlt_id"]]
            return record["value"] if record.keys() == {"value"} else bare(record)

        return [whole(noun, row) for row in tables[noun]]


@pytest.fixture
def warehouse(office: Office, environment: dict[str, str], tmp_path: Path) -> Warehouse:
    """An empty one."""
    return Warehouse(office, environment, tmp_path)


def test_dlt(office: Office, warehouse: Warehouse) -> None:
    """The page's program for dlt keeps an exact copy in DuckDB, with deletions and fractions; a second run loads nothing."""
    keep(office, lambda: int(warehouse.run(warehouse.program(0) + COUNT)), warehouse.records)


def test_dlt_while_others_write(office: Office, warehouse: Warehouse) -> None:
    """Records changed, deleted or restored after dlt read them are on a later page, and count."""
    office.create(RESOURCES[-1])
    before = sorted(office.records("citations"), key=lambda record: int(record["version"]))
    changed, gone, back = before[:3]
    wait = f"lambda row: (row['version'] == {back['version']} and input('read\\n')) or row"
    run = "pipeline.run(source)"
    program = warehouse.program(0).replace(run, f"source.resources['citations'].add_map({wait})\n{run}")
    with warehouse.start(program + COUNT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "read\n"
        office.change("citations", changed["id"], {"sentence": 100})
        for record in (gone, back):
            office.send("DELETE", f"/citations/{record['id']}", headers=ANY)
        document = {name: value for name, value in back.items() if name not in {"version", "updated_at"}}
        office.send("PUT", f"/citations/{back['id']}", document)
        said, _ = process.communicate("\n")
    # Three were read twice, and one of them is gone.
    assert (process.returncode, int(said)) == (0, sum(len(office.records(noun)) for noun in NOUNS) + 4)
    assert warehouse.records("citations") == [bare(record) for record in office.records("citations")]


def test_dlt_by_itself(office: Office, warehouse: Warehouse) -> None:
    """Given only names, dlt loads lists and feeds of many pages completely."""
    for commit in range(10):
        documents = [
            {
                "id": f"w-{commit}-{number}",
                "city": "boston-ma",
                "title": f"{commit}-{number}",
                "summary": "S",
                "status": "pilot",
            }
            for number in range(100)
        ]
        operations = [{"op": "create", "kind": "initiatives", "document": document} for document in documents]
        office.send("POST", "/changesets", {"operations": operations})
    warehouse.run(warehouse.program(1))
    for noun in ("cities", "initiatives", "citations"):
        assert warehouse.records(noun, "lists") == [bare(record) for record in office.records(noun)]
    assert warehouse.records("changes_initiatives", "lists") == warehouse.records("initiatives", "lists")


# --- Singer


class Target:
    """Keeps a tap's messages in memory, as a target keeps them in a database."""

    def __init__(self, tap: list[str], folder: Path, environment: dict[str, str]) -> None:
        """Begin with nothing."""
        self.tap, self.folder, self.environment = tap, folder, environment
        self.schemas: dict[str, Any] = {}
        self.there: dict[str, dict[str, Json]] = {noun: {} for noun in NOUNS}

    def run(self) -> int:
        """Run the tap from its last state; returns the number of records."""
        state = self.folder / "state.json"
        arguments = [*self.tap, "--state", str(state)] if state.exists() else self.tap
        done = subprocess.run(arguments, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, check=True)
        count = 0
        for line in done.stdout.splitlines():
            message = exact(line)
            if message["type"] == "STATE":
                state.write_text(json.dumps(message["value"]), encoding="utf-8")
            elif message["type"] == "SCHEMA":
                self.schemas[message["stream"]] = jsonschema_rs.validator_for(message["schema"])
            elif message["type"] == "RECORD":
                count += 1
                self.schemas[message["stream"]].validate(json.loads(line)["record"])
                self.apply(message["stream"], message["record"])
        return count

    def apply(self, noun: str, row: Json) -> None:
        """Insert, update or delete."""
        if row["deleted"]:
            self.there[noun].pop(row["id"], None)
        else:
            self.there[noun][row["id"]] = {k: v for k, v in row.items() if k not in {"changed_at", "deleted", "cursor"}}

    def records(self, noun: str) -> list[Json]:
        """Return a noun's records, by id."""
        return [bare(record) for _, record in sorted(self.there[noun].items())]


def test_singer(office: Office, environment: dict[str, str], tmp_path: Path) -> None:
    """The page's tap, with its state, keeps an exact copy behind a target that upserts and applies `deleted`."""
    (program,) = blocks("Singer", "python")
    (tmp_path / "tap.py").write_text(program, encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"api_url": office.address}), encoding="utf-8")
    target = Target([sys.executable, "tap.py", "--config", "config.json"], tmp_path, environment)
    keep(office, target.run, target.records)


# --- Airbyte


def test_airbyte(client: FlaskClient) -> None:
    """The page's manifest has a stream for each noun, and only paths, parameters and members that the API documents."""
    (text,) = blocks("Airbyte", "yaml")
    manifest, document = yaml.safe_load(text), client.get("/openapi.json").get_json()
    operation, records = document["paths"]["/changes/{noun}"]["get"], document["components"]["schemas"]
    shared = document["components"]["parameters"]
    parameters = {
        shared[row["$ref"].rsplit("/", 1)[1]]["name"] if "$ref" in row else row["name"] for row in operation["parameters"]
    }
    assert [stream["name"] for stream in manifest["streams"]] == NOUNS
    for stream, resource in zip(manifest["streams"], RESOURCES, strict=True):
        retriever, cursor = stream["retriever"], stream["incremental_sync"]
        path = retriever["requester"]["path"].replace("{{ parameters['name'] }}", stream["$parameters"]["name"])
        assert path == f"/changes/{resource.name}"
        assert cursor["start_value_option"]["field_name"] in parameters
        page = client.get(f"{path}?{cursor['start_value_option']['field_name']}={cursor['start_value']}").get_json()
        (rows,) = (page[name] for name in retriever["record_selector"]["extractor"]["field_path"])
        assert page["links"]["next"] is None
        declared = stream["schema_loader"]["schema"]["properties"]
        assert {*stream["primary_key"], cursor["cursor_field"]} < declared.keys()
        # Only the rows of erasures and merges have these members.
        assert all(row.keys() == declared.keys() - {"erased", "merged_into"} for row in rows)
        # Only the newest changes first, which are for people, have these two.
        flat = {name: row for name, row in records["FlatChange"]["properties"].items() if name not in {"author", "label"}}
        properties = {
            **flat,
            **records[resource.schema.__name__.removesuffix("Schema")]["properties"],
        }
        assert {name: described(member, records) for name, member in declared.items()} == {
            name: described(member, records) for name, member in properties.items()
        }


def described(schema: Json, records: Json) -> Any:
    """Return a type and its members' types, without nullability."""
    if "anyOf" in schema:
        (schema,) = (member for member in schema["anyOf"] if member != {"type": "null"})
    if "$ref" in schema:
        return described(records[schema["$ref"].rsplit("/", 1)[1]], records)
    types = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    (type,) = types - {"null"}
    if type == "array":
        return [described(schema["items"], records)]
    if type == "object":
        members = {**schema.get("properties", {}), "*": schema.get("additionalProperties")}
        return {name: described(member, records) for name, member in members.items() if member}
    return type

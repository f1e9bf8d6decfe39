"""The forms that a list comes in, read back by the programs that people read them with."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from api.db.database import Database
from api.resources import BY_NAME
from api.schema.formats import BY_MEDIA_TYPE, FORMATS, GUARDED, SEPARATOR, cell
from api.schema.resource import Resource
from tests.support.answers import brief, walk
from tests.support.applications import serving
from tests.support.databases import publishing
from tests.support.records import nouns

pytestmark = pytest.mark.contract

STREAMED = [row for row in FORMATS.values() if row.write]
ODD = [
    "=1+2",
    "+1",
    "-1",
    "@x",
    "\tx",
    "\rx",
    "\nx",
    "'=1",
    "''",
    "'",
    "",
    "a,b",
    'a"b',
    "a\r\nb",
    "a|b",
    "a\\",
    "\u05d0 \U0001f3d9 e\u0301",
]


def unguarded(value: str) -> str:
    """Take the documented apostrophe away."""
    return re.sub(r"^'", "", value) if GUARDED.match(value) and value.startswith("'") else value


def restored(value: str, like: Any) -> Any:
    """Read a cell as its documentation says, given the type of value that its column has."""
    if isinstance(like, list):
        if value.startswith("[") and like and not isinstance(like[0], str):
            return json.loads(value)
        items = re.findall(r"(?:\\.|[^|\\])+", unguarded(value), re.DOTALL)
        return [re.sub(r"\\(.)", r"\1", item) for item in items]
    if value == "" or like is None:
        return None if value == "" else value
    return unguarded(value) if isinstance(like, str) else json.loads(value)


def rows_of(body: str) -> list[dict[str, str]]:
    """Read a CSV with Python's own reader, strictly."""
    return list(csv.DictReader(io.StringIO(body, newline=""), strict=True))


@nouns
def test_csv_loses_nothing(client: FlaskClient, resource: Resource) -> None:
    """The CSV has every record with the values of its JSON, in the same order."""
    records = walk(client, f"/{resource.name}?limit=500")
    rows = rows_of(client.get(f"/{resource.name}.csv").get_data(as_text=True))
    assert [
        {name: restored(value, record[name]) for name, value in row.items()} for row, record in zip(rows, records, strict=True)
    ] == records


@nouns
def test_tables_lose_nothing(client: FlaskClient, resource: Resource) -> None:
    """The table of a list of objects has each of them, with the id of its record, in the order of the records."""
    records = walk(client, f"/{resource.name}?limit=500")
    lists = {
        name for record in records for name, value in record.items() if isinstance(value, list) and dict in map(type, value)
    }
    assert lists <= resource.tables.keys()
    for name in resource.tables:
        rows = rows_of(client.get(f"/{resource.name}.{name}.csv").get_data(as_text=True))
        expected = [(record["id"], item) for record in records for item in record[name]]
        assert [
            (row.pop("id"), {key: restored(value, item[key]) for key, value in row.items()})
            for row, (_, item) in zip(rows, expected, strict=True)
        ] == expected


def test_tables_have_all_columns(client: FlaskClient) -> None:
    """A table refuses `fields`, which names members of records; filters and order are those of the list."""
    detail = "`fields` is for records; `.metrics.csv` has all columns."
    item = {"parameter": "fields", "code": "not-in-this-format", "detail": detail, "allowed": [*FORMATS]}
    assert brief(client.get("/initiatives.metrics.csv?fields=id")) == (400, "invalid-query", [item])
    rows = rows_of(client.get("/initiatives.metrics.csv?metric.kind=money&sort=-id").get_data(as_text=True))
    ids = [record["id"] for record in client.get("/initiatives?metric.kind=money&sort=-id").get_json()["data"]]
    assert list(dict.fromkeys(row["id"] for row in rows)) == ids
    assert len(ids) > 1


def test_a_row_of_one_empty_cell(client: FlaskClient) -> None:
    """A column alone has a row for each record, also for those without a value."""
    records = client.get("/cities?fields=summary").get_json()["data"]
    assert None in [record["summary"] for record in records]
    assert len(rows_of(client.get("/cities.csv?fields=summary").get_data(as_text=True))) == len(records)


@nouns
def test_ndjson_is_the_list(client: FlaskClient, resource: Resource) -> None:
    """A line of NDJSON is a record, and all of them are there in order."""
    lines = client.get(f"/{resource.name}.ndjson").get_data(as_text=True).splitlines()
    assert [json.loads(line) for line in lines] == walk(client, f"/{resource.name}?limit=500")


@nouns
def test_suffix_and_accept_say_the_same(client: FlaskClient, resource: Resource) -> None:
    """A format by suffix equals the format by `Accept`, with a file name and a separate tag; HEAD has no body."""
    tags = set()
    for media_type, row in BY_MEDIA_TYPE.items():
        path = f"/{resource.name}.{row.name}"
        suffix, accept = client.get(path), client.get(f"/{resource.name}", headers={"Accept": media_type})
        assert suffix.content_type == accept.content_type == row.content_type
        own = "Accept, Accept-Encoding" if row.name == "html" else "Accept-Encoding"
        assert (suffix.headers["Vary"], accept.headers["Vary"]) == (own, "Accept, Accept-Encoding")
        if row.write:
            assert suffix.get_data() == accept.get_data()
            assert suffix.headers["Content-Disposition"] == f'attachment; filename="{resource.name}.{row.name}"'
        # One client may hold only some of the places for streams, so each is given back before the next one.
        head = client.head(path, buffered=True)
        assert (head.status_code, head.get_data(), head.headers["ETag"]) == (200, b"", suffix.headers["ETag"])
        unchanged = client.get(path, headers={"If-None-Match": suffix.headers["ETag"]})
        assert (unchanged.status_code, unchanged.get_data()) == (304, b"")
        tags.add(suffix.headers["ETag"])
    assert len(tags) == len(FORMATS)


def odd_city(database: Database, names: list[str]) -> None:
    """Publish cities with these names."""
    with publishing(database) as session:
        rows = [{"id": f"odd-{n}", "name": name} for n, name in enumerate(names)]
        session.execute(
            text("insert into cities (id, name, state, country, summary) values (:id, :name, 'ZZ', 'ZZ', '')"), rows
        )


def test_odd_texts_survive(own_client: FlaskClient, database: Database, tmp_path: Path) -> None:
    """Formulas, quotes, separators, line ends and empty texts survive Python's csv and DuckDB; no formula can run."""
    odd_city(database, ODD)
    body = own_client.get("/cities.csv?state=ZZ&sort=id&fields=id,name,summary,state_capital").get_data(as_text=True)
    expected = {f"odd-{n}": name for n, name in enumerate(ODD)}
    assert {row["id"]: unguarded(row["name"]) for row in rows_of(body)} == expected
    file = tmp_path / "cities.csv"
    file.write_bytes(body.encode())
    rows = duckdb.read_csv(str(file), header=True, all_varchar=True, null_padding=False).fetchall()
    assert {id: unguarded(name) for id, name, _, _ in rows} == expected
    assert {unguarded(summary) for _, _, summary, _ in rows} == {""}
    assert {capital for *_, capital in rows} == {None}
    assert [row["name"] for row in rows_of(body) if re.match(r"[=+\-@\t\r\n]", row["name"])] == []


@given(value=st.text() | st.lists(st.text(min_size=1)) | st.integers() | st.booleans() | st.none())
def test_any_cell_comes_back(value: Any) -> None:
    """Every value can be read back from its cell."""
    assert restored(cell(value), value) == value


def test_cells_of_lists() -> None:
    """The texts of a list have one separator, which is escaped inside them; objects are JSON."""
    assert cell(["a", "b|c", "d\\"]) == r"a|b\|c|d\\"
    assert cell([{"b": 1, "a": None}]) == '[{"a":null,"b":1}]'
    assert cell([]) == ""
    assert SEPARATOR == "|"


def test_cells_for_spreadsheets(own_client: FlaskClient, database: Database) -> None:
    """No cell is a lone apostrophe, and a text with a separator of spreadsheets elsewhere is in quotes, so that it stays one cell."""
    cells = [cell for row in csv.reader(io.StringIO(own_client.get("/initiatives.csv").get_data(as_text=True))) for cell in row]
    assert cells.count("'") == 0
    odd_city(database, ["x;=1+1;y", "x\t=1", "plain"])
    body = own_client.get("/cities.csv?state=ZZ&sort=id&fields=id,name").get_data(as_text=True)
    assert body == 'id,name\r\nodd-0,"x;=1+1;y"\r\nodd-1,"x\t=1"\r\nodd-2,plain\r\n'


@pytest.mark.parametrize("row", STREAMED, ids=lambda row: row.name)
def test_filters_apply_to_streams(client: FlaskClient, row: Any) -> None:
    """A stream has the filters, order and fields of its list, and its limit if the request has one."""
    body = client.get(f"/cities.{row.name}?state=CA&sort=-name&fields=name,id&limit=2").get_data(as_text=True)
    expected = {
        "csv": "name,id\r\nSan Jose,san-jose-ca\r\nSan Diego,san-diego-ca\r\n",
        "ndjson": '{"id":"san-jose-ca","name":"San Jose"}\n{"id":"san-diego-ca","name":"San Diego"}\n',
    }
    assert body == expected[row.name]


@pytest.mark.parametrize("name", ["cursor=AAAA", "count=none", "include=awards", "facets=state"])
def test_streams_have_no_pages(client: FlaskClient, name: str) -> None:
    """A stream refuses parameters of pages, and says that they are for JSON."""
    parameter = name.partition("=")[0]
    detail = f"`{parameter}` is for pages; `.csv` is the whole list."
    item = {"parameter": parameter, "code": "not-in-this-format", "detail": detail, "allowed": ["json"]}
    assert brief(client.get(f"/cities.csv?{name}")) == (400, "invalid-query", [item])


@pytest.mark.parametrize(("suffix", "suggestion"), [("csb", "/cities.csv"), ("xml", None), ("CSV", "/cities.csv")])
def test_unknown_suffix(client: FlaskClient, suffix: str, suggestion: str | None) -> None:
    """An unknown format is a 404 with a list of the existing ones."""
    status, name, (item,) = brief(client.get(f"/cities.{suffix}"))
    suffixes = [*FORMATS, *(f"{name}.csv" for name in BY_NAME["cities"].tables)]
    assert (status, name, item["allowed"]) == (404, "not-found", [f"/cities.{row}" for row in suffixes])
    assert item.get("suggestion") == suggestion or suggestion is None


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is short enough to be sent at once."""
    monkeypatch.setattr("api.web.responses.WHOLE", 1)


@pytest.mark.usefixtures("long")
def test_stream_is_one_state(own_client: FlaskClient, database: Database) -> None:
    """A stream shows the state at its start, whatever is written meanwhile, and returns its connection."""
    odd_city(database, [f"City {n}" for n in range(3000)])
    response = own_client.get("/cities.ndjson?state=ZZ&sort=id", buffered=False)
    parts = response.iter_encoded()
    first = next(parts)
    with publishing(database) as session:
        session.execute(text("delete from cities where state = 'ZZ'"))
    assert len(b"".join([first, *parts]).splitlines()) == 3000
    response.close()
    assert own_client.get("/cities.ndjson?state=ZZ").get_data() == b""


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("path", ["/cities.csv", "/cities.ndjson"])
def test_abandoned_stream_gives_its_connection_back(settings: Any, path: str) -> None:
    """A client that goes away, at once or in the middle, costs no connection."""
    with serving(settings) as app:
        client, pool = app.test_client(), app.extensions["database"].engine.pool
        for method in ("GET", "HEAD"):
            for _ in range(20):
                response = client.open(path, method=method, buffered=False)
                response.close()
        assert pool.checkedout() == 0


@pytest.mark.usefixtures("long")
def test_streams_leave_a_thread_free(settings: Any) -> None:
    """When all places for streams are taken, another stream is a 503 with `Retry-After`; pages are served."""
    with serving(settings) as app:
        client, streams = app.test_client(), app.extensions["streams"]
        assert streams.total == settings.threads - 1
        # One client holds at most half of the places.
        clients = [{"REMOTE_ADDR": f"127.0.0.{number}"} for number in range(streams.total)]
        held = [client.get("/citations.csv", buffered=False, environ_overrides=row) for row in clients]
        refused = client.get("/citations.csv")
        assert brief(refused) == (503, "unavailable", [])
        assert refused.headers["Retry-After"] == str(settings.retry_after)
        assert client.get("/citations").status_code == 200
        held.pop().close()
        assert client.get("/citations.csv").status_code == 200
        for response in held:
            response.close()

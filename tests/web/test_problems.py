"""Bad input and failures: every answer without success is a problem that suggests a solution."""

import base64
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

import pytest
from alembic import command
from flask import Flask, abort, request
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from api.db.failures import NOT_OPENED
from api.errors import MAX_NAMES, MAX_QUERY_STRING, ProblemName, closest
from api.logs import LineFormatter
from api.query import language, parameters
from api.resources import BY_NAME, RESOURCES
from api.settings import ROOT, Settings
from api.web.problem_types import PROBLEMS
from tests.support.answers import Json, brief, problem
from tests.support.applications import NO_DATABASE, curating, serving
from tests.support.databases import Store, config, opened, publishing, template
from tests.support.records import nouns

pytestmark = pytest.mark.contract

PATHS = sorted(
    ["/", "/changesets", "/docs", "/enums", "/keys", "/livez", "/openapi.json", "/problems", "/readyz", "/search", "/suggest"]
    + ["/changes", "/digest", "/snapshot", "/webhooks", "/proposals", "/imports", "/reconcile"]
    + [path for row in RESOURCES for path in (f"/{row.name}", f"/{row.name}/search")]
)
BASE = "https://api.example.org"
ALL = f"{BASE}/openapi.json#/paths/~1cities"
LIMIT = {"minimum": 0, "maximum": 500}
LIMIT_DETAIL = "`limit` is a whole number from 0 to 500."
CURSOR = {"parameter": "cursor", "code": "invalid-cursor", "detail": "Take it from `links.next` or `page.cursor` of this list."}


def unknown(name: str, allowed: list[str], suggestion: str | None = None) -> dict[str, Any]:
    """Return the item for an unknown parameter; a suggestion is the first of the allowed names."""
    item: dict[str, Any] = {"parameter": name, "code": "unknown-parameter", "detail": f"`{name}` is not a parameter here."}
    if len(allowed) > MAX_NAMES:
        first = dict.fromkeys([*([suggestion] if suggestion else []), *closest(name, allowed)])
        item |= {"allowed": [*first][:MAX_NAMES], "more": len(allowed) - MAX_NAMES, "all": ALL}
    else:
        item["allowed"] = allowed
    if suggestion:
        item |= {"detail": f"`{name}` is not a parameter here; did you mean `{suggestion}`?", "suggestion": suggestion}
    return item


def invalid(name: str, detail: str, allowed: object = None) -> dict[str, Any]:
    """Return the item for a wrong value."""
    item = {"parameter": name, "code": "invalid-value", "detail": detail}
    return item if allowed is None else item | {"allowed": allowed}


OF_RECORD = [*parameters.record_parameters(BY_NAME["cities"])]
ARGUMENTS = sorted([*parameters.parameters(BY_NAME["cities"]), *language.filters(BY_NAME["cities"])])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/cities?limti=3", (400, "invalid-query", [unknown("limti", ARGUMENTS, "limit")])),
        ("/cities?LIMIT=3", (400, "invalid-query", [unknown("LIMIT", ARGUMENTS, "limit")])),
        ("/cities?zzz", (400, "invalid-query", [unknown("zzz", ARGUMENTS)])),
        ("/cities?=1", (400, "invalid-query", [unknown("", ARGUMENTS)])),
        ("/cities/boston-ma?x=1", (400, "invalid-query", [unknown("x", OF_RECORD) | {"all": f"{ALL}~1%7Bid%7D"}])),
        ("/livez?x=1", (400, "invalid-query", [unknown("x", [])])),
        (
            "/cities?limit=2&limit=3",
            (400, "invalid-query", [invalid("limit", "`limit` takes one value, but the request has 2.")]),
        ),
        (
            "/cities?limit=501&offset=2",
            (400, "invalid-query", [invalid("limit", LIMIT_DETAIL, LIMIT), unknown("offset", ARGUMENTS, "cursor")]),
        ),
        (
            "/cities?cursor=",
            (400, "invalid-query", [invalid("cursor", "`cursor` is taken from `page.cursor` or `links.next`.")]),
        ),
        ("/cities?cursor=AAAA", (400, "invalid-cursor", [CURSOR])),
        ("/cities?cursor=A", (400, "invalid-cursor", [CURSOR])),
    ],
)
def test_wrong_parameter(routing_client: FlaskClient, path: str, expected: object) -> None:
    """A wrong parameter is refused with its name, the allowed ones, and the nearest correct name."""
    assert brief(routing_client.get(path)) == expected


@pytest.mark.parametrize(
    ("query", "suggestion"),
    [
        *((f"/initiatives?{name}=2", "cursor") for name in ("page", "offset", "skip", "after")),
        *((f"/initiatives?{name}=2", "limit") for name in ("per_page", "page_size", "pageSize", "$top", "page[size]", "first")),
        *((f"/initiatives?{name}=title", "sort") for name in ("order", "order_by", "$orderby", "ordering")),
        *((f"/initiatives?{name}=x", "q") for name in ("search", "query", "keywords")),
        *((f"/initiatives?{name}=city", "include") for name in ("expand", "embed", "$expand")),
        *((f"/initiatives?{name}=title", "fields") for name in ("select", "columns", "$select")),
        *((f"/initiatives?{name}=status", "facets") for name in ("group_by", "groupBy", "aggregate")),
        ("/changes?kind=cities", "kinds"),
        ("/changes?sort=-version", "order"),
        ("/suggest?q=a&kind=cities", "kinds"),
        ("/search?q=a&type=cities", "kinds"),
        # A record's address names it; a parameter as JSON:API writes it, or with an operator in other forms.
        ("/cities?filter[state]=CA", "state"),
        ("/awards?rank[lte]=3", "rank__lte"),
        ("/awards?rank.lte=3", "rank__lte"),
        ("/awards?RANK__LTE=3", "rank__lte"),
        # Operators as other APIs write them, never the opposite.
        *((f"/initiatives?status__{name}=pilot", "status") for name in ("in", "eq", "exact", "any", "xyz")),
        *((f"/initiatives?status__{name}=pilot", "status__not") for name in ("ne", "nin", "nott")),
        *((f"/cities?name__{name}=San", "name__contains") for name in ("like", "ilike", "regex", "icontains")),
        *(
            (f"/initiatives?started_{name}=2024", f"started__{ours}")
            for name, ours in (("after", "gt"), ("before", "lt"), ("min", "gte"))
        ),
        *(
            (f"/awards?rank{sign}3", f"rank__{ours}")
            for sign, ours in (("!=", "not"), (">=", "gte"), ("<=", "lte"), ("<", "lt"))
        ),
        ("/awards?rank[ne]=3", "rank__not"),
        ("/initiatives?city.state__in=CA", "city.state"),
        # The last part of a dotted name.
        ("/awards?year=2024", "survey.year"),
        ("/cities?rank=1", "award.rank"),
        ("/initiatives?unit=USD", "metric.unit"),
        # A citation's subject has one name, in the record and as a filter.
        ("/citations?subject=boston-ma", "subject_id"),
        ("/citations?subject__not=boston-ma", "subject_id__not"),
        # What the related records are called.
        ("/initiatives?cities=x", "city"),
        ("/initiatives?organization=x", "partner"),
        ("/initiatives?organizations__not=x", "partner__not"),
        ("/initiatives?partners.organization.name=x", "partner.name"),
        ("/initiatives?include=organizations", "partners"),
        ("/initiatives?include=cities", "city"),
        ("/surveys?include=organization", "conducted_by"),
        ('/initiatives?filter={"organization":"x"}', "partner"),
        # Only a name in brackets means one in brackets.
        ("/initiatives?fields[city]=name", "fields[cities]"),
        ("/initiatives?fields[]=name", "fields"),
        ("/initiatives?fields[zzz]=name", None),
        ("/initiatives?priorities=x", "priority"),
        ("/cities?location=34,-118", "location.latitude"),
        # The direction of an order.
        *(
            (f"/initiatives?sort={key}", "-title")
            for key in ("title:desc", "title_desc", "desc(title)", "Title%20DESC", "title.desc")
        ),
        *((f"/initiatives?sort={key}", "title") for key in ("title:asc", "%2Btitle", "TITLE")),
        ("/initiatives?sort=-name", "-city.name"),
        ("/initiatives?fields=-summary", "summary"),
        ("/initiatives?modified__gte=2024-01-01T00:00:00Z", "updated_at__gte"),
        ("/changes/award", "awards"),
        ("/initiatives/search?q=wifi", "/initiatives"),
        ("/cities?zzz=1", None),
    ],
)
def test_words_of_other_apis(routing_client: FlaskClient, query: str, suggestion: str | None) -> None:
    """What other APIs call a parameter, or the last part of a dotted name, is answered with its name here."""
    status, _, items = brief(routing_client.get(query))
    assert (status in {400, 404, 405}, items[0].get("suggestion")) == (True, suggestion)


@pytest.mark.parametrize(
    "path", ["/initiatives?zzz=1", "/initiatives.csv?zzz=1", "/initiatives?sort=zzz", "/cities/zzz?fields=zzz"]
)
def test_all_names_are_there(routing_client: FlaskClient, path: str) -> None:
    """If a list of names is cut, `all` is a place in the OpenAPI document that has the parameters."""
    _, _, (item,) = brief(routing_client.get(path))
    pointer = unquote(urlsplit(item["all"]).fragment)
    place = routing_client.get("/openapi.json").get_json()
    for token in pointer.split("/")[1:]:
        place = place[token.replace("~1", "/").replace("~0", "~")]
    assert (len(item["allowed"]), item["more"] > 0, bool(place["get"]["parameters"])) == (MAX_NAMES, True, True)


@pytest.mark.parametrize("body", [{}, {"zzz": 1}, {"or": [{"not": {"zzz": 1}}]}, {"state": ["CA"]}])
def test_all_names_of_a_search(routing_client: FlaskClient, body: Json) -> None:
    """`all` of a wrong body has the names of filters, and `all` of a wrong parameter those of the list's parameters."""
    _, _, (item,) = brief(routing_client.post(f"/cities/search{'?zzz=1' if body == {'state': ['CA']} else ''}", json=body))
    document = routing_client.get("/openapi.json").get_json()

    def at(pointer: str) -> Any:
        place = document
        for token in pointer.split("/")[1:]:
            place = place[token.replace("~1", "/").replace("~0", "~")]
        return place

    place = at(unquote(urlsplit(item["all"]).fragment))
    if "parameter" in item:
        rows = [at(row["$ref"]) if "$ref" in row else row for row in place["get"]["parameters"]]
        names = {row["name"] for row in rows if row["in"] == "query"}
    else:
        schema = at(place["content"]["application/json"]["schema"]["$ref"])
        names = {*schema["propertyNames"]["enum"]}
    assert {*item["allowed"]} <= names
    assert len(names) == item["more"] + MAX_NAMES


def test_a_format_is_no_parameter(routing_client: FlaskClient) -> None:
    """A parameter for the format is answered with the way to get one."""
    _, _, (item,) = brief(routing_client.get("/cities?format=csv"))
    assert item["detail"] == (
        "`format` is not a parameter here. The format is a suffix of the path, as in `/cities.csv`, or the `Accept` header."
    )
    assert "suggestion" not in item


@pytest.mark.parametrize(
    "value", ["501", "-1", "1.0", "1e2", "1_0", "+5", " 5", "", "ten", "٣", "5;drop", "9" * 400, "%00", "%ff", "null"]
)
def test_wrong_limit(routing_client: FlaskClient, value: str) -> None:
    """A limit that is no whole number from 0 to 500 in plain digits is refused, never clamped."""
    expected = (400, "invalid-query", [invalid("limit", LIMIT_DETAIL, LIMIT)])
    assert brief(routing_client.get(f"/cities?limit={value.replace('+', '%2B').replace(' ', '%20')}")) == expected


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e300", "9007199254740992", "true", '"1"', "[]"])
def test_cursor_with_a_wrong_number(client: FlaskClient, value: str) -> None:
    """A cursor of a list sorted by a number has a number that a record can have, or null; the control has one."""
    path = "/cities?sort=location.latitude&limit=1"
    signature, _, id = json.loads(base64.urlsafe_b64decode(client.get(path).get_json()["page"]["cursor"] + "=="))
    for place, status in ((value, 400), ("-32.5", 200), ("7", 200), ("null", 200)):
        cursor = base64.urlsafe_b64encode(f'["{signature}",{place},"{id}"]'.encode()).decode().rstrip("=")
        assert client.get(f"{path}&cursor={cursor}").status_code == status, place


@nouns
def test_cursor_of_another_list(client: FlaskClient, resource: Any) -> None:
    """A cursor works with any limit in its own list, and in no other."""
    mine = "cities" if resource.name == "priorities" else "priorities"
    cursor = client.get(f"/{mine}?limit=1").get_json()["page"]["cursor"]
    assert client.get(f"/{mine}?limit=9&cursor={cursor}").status_code == 200
    assert brief(client.get(f"/{resource.name}?cursor={cursor}")) == (400, "invalid-cursor", [CURSOR])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800") | st.just("\0"),
    lambda below: st.lists(below, max_size=3),
)


@given(values=st.lists(JSON_VALUES, max_size=4), raw=st.binary(max_size=60), forged=st.booleans())
def test_forged_cursor_on_sqlite_and_postgresql(
    routing_app: Flask,
    postgresql_app: Flask,
    values: list[Any],
    raw: bytes,
    forged: bool,  # noqa: FBT001 - hypothesis passes it
) -> None:
    """Any content of a cursor gets a page or a 400, on both databases alike."""
    for app in (routing_app, postgresql_app):
        client = app.test_client()
        real = client.get("/cities?limit=1").get_json()["page"]["cursor"]
        signature = json.loads(base64.urlsafe_b64decode(real + "=" * (-len(real) % 4)))[0]
        body = json.dumps([signature, *values]).encode() if forged else raw
        response = client.get(f"/cities?cursor={base64.urlsafe_b64encode(body).decode().rstrip('=')}")
        assert response.status_code in {200, 400}
        if response.status_code == 200:
            assert [type(value) for value in values] == [str, str]
        else:
            problem(response)


@pytest.mark.parametrize("value", [10**15, -1, True, None, 1.5, "x"])
def test_forged_cursor_of_a_search(client: FlaskClient, value: Any) -> None:
    """A number too wide for a column, or no number, in the cursor of a search gets a page or a 400, never a 500."""
    cursor = client.get("/search?q=city&limit=1").get_json()["page"]["cursor"]
    signature = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))[0]
    forged = base64.urlsafe_b64encode(json.dumps([signature, value, value, value]).encode()).decode().rstrip("=")
    status = client.get(f"/search?q=city&cursor={forged}").status_code
    assert status == (200 if type(value) is int else 400)


@pytest.fixture(scope="session")
def postgresql_app(scratch: Path, postgresql: str) -> Iterator[Flask]:
    """An application on PostgreSQL, for tests that ask both databases at once."""
    store = Store("postgresql", scratch, postgresql)
    with serving(store.copy(template(store))) as app:
        yield app


@pytest.mark.parametrize(
    ("path", "suggestion"),
    [
        ("/citys", "/cities"),
        ("/city/boston-ma", "/cities/boston-ma"),
        ("/cities/", "/cities"),
        ("/cities/boston-ma/", "/cities/boston-ma"),
        ("/cities/boston-ma/awards", "/awards?city=boston-ma"),
        ("/initiatives/x/citations", "/citations?subject_kind=initiatives&subject_id=x"),
        ("/surveys/x/priorities", "/priorities?survey=x"),
        ("/cities/x/nothing", "/cities"),
        ("/Cities", "/cities"),
        ("/xyzzy", None),
        ("/%00", None),
        ("/cities/%00", None),
        ("/%ff%fe", None),
        ("/docs/nothing.js", None),
        ("/%2fkeys", "/keys"),
        ("/%2fcities/boston-ma", "/cities/boston-ma"),
        ("/api/v1/cities", "/cities"),
        ("/v2/city/boston-ma", "/cities/boston-ma"),
        ("/api/cities/boston-ma/awards", "/awards?city=boston-ma"),
        ("/api/xyzzy/1", None),
    ],
)
def test_unknown_path(routing_client: FlaskClient, path: str, suggestion: str | None) -> None:
    """An unknown path lists the nearest ones, suggests the nearest or the list with a filter, and links to all."""
    status, name, (item,) = brief(routing_client.get(path))
    assert (status, name, item["code"]) == (404, "not-found", "unknown-path")
    assert {*item["allowed"]} <= {*PATHS}
    names = f"{BASE}/openapi.json#/paths"
    assert (len(item["allowed"]), item["more"], item["all"]) == (MAX_NAMES, len(PATHS) - MAX_NAMES, names)
    assert item.get("suggestion") == suggestion or (suggestion is None and item.get("suggestion") in PATHS)


@pytest.mark.parametrize(
    ("id", "suggestion"),
    [
        ("san-diego", "san-diego-ca"),
        ("San%20Diego", "san-diego-ca"),
        ("SAN-DIEGO-CA", "san-diego-ca"),
        ("san-deigo-ca", "san-diego-ca"),
        ("sacramento_ca", "sacramento-ca"),
        ("zzz", None),
        ("%F0%9F%8F%99", None),
        ("%ed%a0%80", None),
        ("' or 1=1 --", None),
        ("a" * 5000, None),
    ],
)
def test_unknown_record(client: FlaskClient, id: str, suggestion: str | None) -> None:
    """An unknown id is a 404 that suggests the nearest existing one."""
    status, name, (item,) = brief(client.get(f"/cities/{id}"))
    assert (status, name, item["code"], item.get("suggestion")) == (404, "record-not-found", "unknown-id", suggestion)


READS = ["GET", "HEAD", "OPTIONS"]
ALLOWED = {
    "/": READS,
    "/cities": [*READS, "POST"],
    "/cities/boston-ma": ["DELETE", *READS, "PATCH", "PUT"],
    "/changesets": [*READS, "POST"],
    "/changesets/1": READS,
    "/keys/curator": ["DELETE", "OPTIONS"],
    "/openapi.json": READS,
    "/docs": READS,
    "/problems/not-found": READS,
}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ALLOWED)
def test_wrong_method(routing_client: FlaskClient, method: str, path: str) -> None:
    """A wrong method is a 405 that lists the working ones, also in `Allow`; they do work."""
    response, allowed = routing_client.open(path, method=method), ALLOWED[path]
    if method in allowed:
        assert response.status_code in {200, 401}
        return
    detail = f"Use {' or '.join(allowed)}."
    item = {"parameter": "method", "code": "method-not-allowed", "detail": detail, "allowed": allowed}
    if (method, path) == ("GET", "/keys/curator"):
        item |= {"detail": "Use DELETE or OPTIONS; did you mean `/keys`?", "suggestion": "/keys"}
    assert brief(response) == (405, "method-not-allowed", [item])
    assert response.headers["Allow"] == ", ".join(allowed)


@pytest.mark.parametrize("accept", ["image/png", "application/xml;q=0.9, text/turtle", "text/plain, application/json;q=0"])
def test_not_acceptable(routing_client: FlaskClient, accept: str) -> None:
    """A media type that we don't speak is a 406 that says which we do."""
    forms = ["application/json", "text/csv", "application/x-ndjson", "text/html"]
    for path, allowed in (("/cities", forms), ("/cities/boston-ma", forms[::3]), ("/openapi.json", forms[:1])):
        detail = f"Use {' or '.join(allowed)}, or leave the header out."
        item = {"parameter": "Accept", "code": "not-acceptable", "detail": detail, "allowed": allowed}
        assert brief(routing_client.get(path, headers={"Accept": accept})) == (406, "not-acceptable", [item])


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/*", "application/json", "text/html, */*;q=0.1", "application/json;charset=utf-8"]
)
def test_acceptable(routing_client: FlaskClient, accept: str) -> None:
    """A client whose header allows JSON gets JSON."""
    assert routing_client.get("/cities", headers={"Accept": accept}).status_code == 200


def test_long_query(routing_client: FlaskClient) -> None:
    """A query string above the limit is a 414 that names the limit, on a wrong path too."""
    for path in ("/cities", "/nowhere"):
        status, name, (item,) = brief(routing_client.get(f"{path}?limit={'1' * 102_400}"))
        assert (status, name, item["allowed"]) == (414, "uri-too-long", {"maximum": MAX_QUERY_STRING})


@pytest.mark.parametrize("host", ['ev"il<>.example', "a b", "a/b", "\u00e9", "a:b:c"])
def test_wrong_host(host: str) -> None:
    """A `Host` that is not the name of a host, and would spoil every link, is refused."""
    with serving(NO_DATABASE) as app:
        response = app.test_client().get("/cities", headers={"Host": host})
    detail = "The `Host` header is not a host name."
    assert brief(response) == (400, "bad-request", [{"parameter": "Host", "code": "invalid-value", "detail": detail}])


@pytest.mark.parametrize(("protocol", "status"), [("HTTP/1.1", 400), ("HTTP/1.0", 200)])
def test_empty_host(routing_app: Flask, protocol: str, status: int) -> None:
    """An empty `Host`, with which no link could be absolute, is refused as a missing one is; HTTP/1.0 needs none."""
    environ = {"HTTP_HOST": "", "SERVER_PROTOCOL": protocol}
    assert routing_app.test_client().get("/livez", environ_overrides=environ).status_code == status


def test_request_id(routing_client: FlaskClient) -> None:
    """A caller's request id is returned if it is a plain token; any other gets a new one."""
    assert routing_client.get("/cities", headers={"X-Request-Id": "abc-123_X"}).headers["X-Request-Id"] == "abc-123_X"
    for bad in ("", "a b", "a" * 129, "<script>", "é"):
        assert len(routing_client.get("/cities", headers={"X-Request-Id": bad}).headers["X-Request-Id"]) == 32


def test_echo_is_cut(routing_client: FlaskClient) -> None:
    """Echoed input is shortened."""
    body = problem(routing_client.get("/cities?" + "x" * 5000 + "=1"))
    assert len(body["errors"][0]["parameter"]) == 81
    assert len(json.dumps(body)) < 1000 + len(json.dumps(ARGUMENTS))


def test_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    """A bug is a 500 without details; the log has the error with its place, on one line."""
    with serving(NO_DATABASE) as app:

        def broken(path: str) -> str:
            raise RuntimeError(f"a secret: SELECT * FROM keys\nof {path}")

        app.add_url_rule("/broken/<path>", view_func=broken)
        response = app.test_client().get("/broken/a%0ab", headers={"X-Request-Id": "id-1"})
    assert brief(response) == (500, "internal-error", [])
    assert "secret" not in response.get_data(as_text=True)
    (record,) = caplog.records
    line = LineFormatter().format(record)
    start = r"request id-1 failed, GET /broken/a\nb: RuntimeError: a secret: SELECT * FROM keys\nof a\nb in "
    assert line.partition(" ERROR api.web.problems: ")[2].startswith(start)
    assert "Traceback" not in line


def test_not_migrated(store: Store) -> None:
    """Before the migration every read is a 503 that names the command to run, and /livez is up; after it, requests work."""
    settings = store.empty()
    with opened(settings, create=True) as database, serving(settings) as app:
        with database.engine.connect():
            pass
        client = app.test_client()
        for path in ("/cities", "/cities/boston-ma", "/readyz"):
            response = client.get(path)
            body = problem(response)
            assert (body["status"], body["detail"]) == (
                503,
                "The database is not migrated to this release: run the command `upgrade`.",
            )
            assert response.headers["Retry-After"] == "5"
        assert client.get("/livez").get_json() == {"status": "ok"}
        command.upgrade(config(database), "head")
        assert client.get("/readyz").get_json() == {"status": "ok", "writes": "ok"}
        assert client.get("/cities").status_code == 200


def test_missing_file(sqlite_store: Store, tmp_path: Path) -> None:
    """A missing SQLite file is a 503 and is not created; once it exists, the next request works."""
    path = tmp_path / "missing.sqlite3"
    with serving(Settings(database_url=f"sqlite:///{path}", retry_after=17)) as app:
        client = app.test_client()
        response = client.get("/cities")
        assert problem(response)["detail"] == NOT_OPENED
        assert response.headers["Retry-After"] == "17"
        assert not path.exists()
        shutil.copy(sqlite_store.copy(template(sqlite_store)).sqlalchemy_url.database or "", path)
        assert client.get("/cities").status_code == 200


def test_unreachable_server() -> None:
    """An unreachable PostgreSQL is a quick 503, for data and for /readyz."""
    away = Settings(database_url="postgresql://nobody:secret@127.0.0.1:1/none", connect_timeout=2)
    with serving(away) as app:
        client = app.test_client()
        for path in ("/cities", "/readyz"):
            assert problem(client.get(path))["detail"] == "The database cannot be reached."


def test_cut_connections(store: Store, settings: Settings) -> None:
    """After PostgreSQL has cut every connection, the next request connects again; an open SQLite file cannot be cut."""
    with serving(settings) as app, opened(settings) as database:
        client = app.test_client()
        assert client.get("/cities").status_code == 200
        others = "datname = current_database() and pid <> pg_backend_pid()"
        cut = f"select pg_terminate_backend(pid) from pg_stat_activity where {others}"
        if store.dialect == "postgresql":
            with database.engine.connect() as connection:
                assert True in connection.scalars(text(cut)).all()
        assert client.get("/cities").status_code == 200


def test_a_role_that_may_only_read(scratch: Path, postgresql: str) -> None:
    """A write by a role without the privilege is a 503 with that reason, and its reads work; the control: the owner writes."""
    store = Store("postgresql", scratch, postgresql)
    settings = store.copy(template(store))
    with serving(settings) as app:
        client = curating(app.test_client(), app.extensions["database"], "admin")
        with app.extensions["database"].writing() as session:
            session.execute(text("create role reader login"))
            session.execute(text("grant select on all tables in schema public to reader"))
        url = settings.sqlalchemy_url.set(username="reader", drivername="postgresql")
        with serving(replace(settings, database_url=url.render_as_string(hide_password=False))) as reading:
            reader = reading.test_client()
            reader.environ_base = client.environ_base
            assert reader.get("/cities?limit=1").status_code == 200
            for method, path, body in (
                ("PATCH", "/cities/boston-ma", {"summary": "S."}),
                ("POST", "/changesets", {"operations": [{"op": "delete", "kind": "cities", "id": "x", "if_match": "*"}]}),
                ("POST", "/keys", {"name": "a", "scopes": ["write"]}),
                ("POST", "/webhooks", {"url": "https://example.org/"}),
            ):
                answer = problem(reader.open(path, method=method, json=body, headers={"If-Match": "*"}))
                assert (path, answer["status"], "privilege" in answer["detail"]) == (path, 503, True)
        assert client.patch("/cities/boston-ma", json={"summary": "S."}, headers={"If-Match": "*"}).status_code == 200


def test_busy_database(store: Store, settings: Settings) -> None:
    """A reader that waits too long gets a 503 with `Retry-After`, and an answer once the lock is gone."""
    with serving(replace(settings, lock_timeout=1)) as app, opened(settings) as database:
        client = app.test_client()
        with database.engine.connect() as connection:
            if store.dialect == "postgresql":
                connection.execute(text("lock table ledger_head in access exclusive mode"))
            else:
                # Readers of a WAL file wait for nobody, but another program's file may have another mode.
                connection.connection.cursor().executescript("pragma journal_mode = delete; begin exclusive")
            assert problem(client.get("/cities"))["detail"] == "The database is locked by another writer: try again."
            connection.rollback()
        assert client.get("/cities").status_code == 200


@pytest.mark.parametrize("status", sorted({row.status for row in PROBLEMS.values()} | {417, 418, 501, 502, 504}))
def test_every_abort_is_a_problem(status: int) -> None:
    """Every abort by a library is answered with our problem, never with the library's page or JSON."""
    with serving(NO_DATABASE) as app:
        app.add_url_rule("/aborts", view_func=lambda: abort(status))
        response = app.test_client().get("/aborts")
    body = response.get_json()
    nearest = {417: 400, 418: 400, 501: 500, 502: 500, 504: 500}.get(status, status)
    assert (response.content_type, body["status"], response.status_code) == ("application/problem+json", nearest, nearest)


def test_body_too_large() -> None:
    """A body above the limit is a 413 problem, once a view reads it."""
    with serving(NO_DATABASE) as app:
        app.add_url_rule("/reads", view_func=lambda: str(len(request.get_data())), methods=["POST"])
        response = app.test_client().post("/reads", data=b"x" * 1_000_001)
    assert brief(response) == (413, "content-too-large", [])


def test_asset_is_whole(routing_client: FlaskClient) -> None:
    """An asset ignores ranges; `If-Match` refuses another tag, as in every read."""
    whole = (ROOT / "api" / "html" / "static" / "style.css").read_bytes()
    for header in ({"Range": "bytes=0-1"}, {"Range": "bytes=999999-"}, {"If-Match": "*"}):
        response = routing_client.get("/static/style.css", headers=header)
        assert (response.status_code, response.get_data()) == (200, whole)
        response.close()
    assert brief(routing_client.get("/static/style.css", headers={"If-Match": '"x"'}))[:2] == (412, "precondition-failed")


def test_replaced_file(sqlite_store: Store) -> None:
    """A SQLite file that is moved away while serving is a 503, and one that is restored in its place is served at once."""
    settings = sqlite_store.copy(template(sqlite_store))
    path = Path(settings.sqlalchemy_url.database or "")
    backup = path.with_suffix(".backup")
    with serving(settings) as app:
        client = app.test_client()
        assert client.get("/cities/boston-ma").status_code == 200
        app.extensions["database"].engine.dispose()
        shutil.copy(path, backup)
        with opened(settings) as database, publishing(database) as session:
            session.execute(text("update cities set summary = 'Newer.' where id = 'boston-ma'"))
        assert client.get("/cities/boston-ma").get_json()["data"]["summary"] == "Newer."
        path.rename(path.with_suffix(".away"))
        assert problem(client.get("/cities"))["detail"] == NOT_OPENED
        backup.rename(path)
        assert client.get("/cities/boston-ma").get_json()["data"]["summary"] is None


def test_every_name_has_a_row() -> None:
    """The names that code may raise, which mypy checks, are exactly those of the table of problem types."""
    assert list(get_args(ProblemName)) == [row.name for row in PROBLEMS.values()] == list(PROBLEMS)

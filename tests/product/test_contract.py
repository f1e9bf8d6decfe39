"""Promises to readers that hold for every noun: the registry's rows parametrize these tests."""

import json
import re
from typing import Any

import pytest
import rfc8785
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from api.resources import RESOURCES
from api.schema.fields import SLUG
from api.schema.resource import Resource
from tests.support.answers import brief, record_state, walk
from tests.support.applications import BASE
from tests.support.databases import ON_SQLITE, SQLITE_FIRST, counted, publishing
from tests.support.editions import seeded
from tests.support.lengths import late
from tests.support.records import copy_of_a_record, nouns

pytestmark = pytest.mark.contract

INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
READS = ("GET", "HEAD", "OPTIONS")


@nouns
def test_list(client: FlaskClient, resource: Resource) -> None:
    """A list is the documented envelope around its documents."""
    response = client.get(f"/{resource.name}?limit=1")
    answer = response.get_json()
    (record,) = answer["data"]
    more = answer["page"]["total"] > 1
    cursor = answer["page"]["cursor"]
    following = f"{BASE}/{resource.name}?limit=1&cursor={cursor}" if more else None
    version = answer["meta"]["version"]
    assert answer == {
        "data": [record],
        "included": {},
        "facets": {},
        "page": {"limit": 1, "cursor": cursor, "total": answer["page"]["total"], "total_relation": "eq"},
        "links": {"self": f"{BASE}/{resource.name}?limit=1", "next": following, "prev": None},
        "meta": {"version": version},
    }
    assert list(answer) == ["data", "included", "facets", "page", "links", "meta"]
    assert (cursor is not None) == more
    link = f'<{BASE}/{resource.name}?limit=1>; rel="self"' + (f', <{following}>; rel="next"' if following else "")
    expected = {
        "Content-Type": "application/json",
        "Cache-Control": "public, no-cache",
        "Link": link,
        "Access-Control-Allow-Origin": "*",
        "X-Content-Type-Options": "nosniff",
    }
    assert expected.items() <= dict(response.headers).items()
    assert re.fullmatch(rf'"[0-9a-f]{{8}}-{version}-[0-9a-f]{{8}}-0"', response.headers["ETag"])


@nouns
def test_seeded_facts(client: FlaskClient, resource: Resource) -> None:
    """The records served are exactly those of the seed files, in today's form."""
    served = {record["id"]: record for record in walk(client, f"/{resource.name}?limit=500")}
    for record in served.values():
        del record["version"], record["updated_at"]
        if resource.name != "citations":
            # The citations are seeded, and tell them.
            del record["basis"], record["attributions"]
        if resource.name == "priorities":
            # A priority's place is seeded with its survey.
            assert [place["survey"] for place in record.pop("surveys")] == ["digital-cities-2024"]
    assert served == seeded(resource.name)


@nouns
def test_pages(client: FlaskClient, resource: Resource) -> None:
    """Walking pages of any size shows the whole list, once, in its order."""
    whole = walk(client, f"/{resource.name}?limit=500")
    assert [record["id"] for record in whole] == [record["id"] for record in walk(client, f"/{resource.name}?limit=7")]
    assert len({record["id"] for record in whole}) == len(whole) == client.get(f"/{resource.name}").get_json()["page"]["total"]
    versions = [record["version"] for record in whole]
    assert len(set(versions)) == len(versions)


@nouns
def test_record(client: FlaskClient, resource: Resource) -> None:
    """A record at its own path is the one of the list, and its stored bytes are canonical JSON."""
    for listed in client.get(f"/{resource.name}?limit=3").get_json()["data"]:
        response = client.get(f"/{resource.name}/{listed['id']}")
        assert response.get_json() == {"data": listed, "included": {}, "meta": {"version": listed["version"]}}
        assert re.fullmatch(rf'"[0-9a-f]{{8}}-{record_state(resource.name, listed)}"', response.headers["ETag"])
        assert rfc8785.dumps(listed) in response.get_data()
        assert re.fullmatch(SLUG, listed["id"])
        assert re.fullmatch(INSTANT, listed["updated_at"])


@nouns
def test_references_resolve(client: FlaskClient, resource: Resource) -> None:
    """A reference is an id that its noun's path serves."""
    plural = {row.singular: row.name for row in RESOURCES} | {"publisher": "organizations", "conducted_by": "organizations"}
    for record in walk(client, f"/{resource.name}?limit=500"):
        for key, value in record.items():
            if key in plural and value is not None:
                assert client.head(f"/{plural[key]}/{value}").status_code == 200, (record["id"], key)


@nouns
def test_not_modified(client: FlaskClient, resource: Resource) -> None:
    """A request with the current tag gets a 304 with that tag, for lists and records."""
    id = client.get(f"/{resource.name}?limit=1").get_json()["data"][0]["id"]
    for path in (f"/{resource.name}", f"/{resource.name}/{id}"):
        tag = client.get(path).headers["ETag"]
        for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            response = client.get(path, headers={"If-None-Match": sent})
            assert (response.status_code, response.get_data(), response.headers["ETag"]) == (304, b"", tag)
            assert response.headers["Cache-Control"] == "public, no-cache"
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@nouns
def test_head_and_options(client: FlaskClient, resource: Resource) -> None:
    """HEAD has the headers of GET without its body, OPTIONS names the methods, and browsers may read from any origin."""
    id = client.get(f"/{resource.name}?limit=1").get_json()["data"][0]["id"]
    for path in (f"/{resource.name}", f"/{resource.name}/{id}"):
        got, head, options = client.get(path), client.head(path), client.options(path)
        changing = {"X-Request-Id"}
        assert head.get_data() == b""
        assert {k: v for k, v in head.headers if k not in changing} == {k: v for k, v in got.headers if k not in changing}
        allowed = {*READS, "POST"} if path == f"/{resource.name}" else {*READS, "PUT", "PATCH", "DELETE"}
        assert set(options.headers["Allow"].split(", ")) == allowed
        preflight = client.options(
            path,
            headers={
                "Origin": "https://app.example",
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "if-none-match, authorization",
            },
        )
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert set(preflight.headers["Access-Control-Allow-Methods"].split(", ")) == allowed
        assert preflight.headers["Access-Control-Allow-Headers"] == "authorization, if-none-match"
        exposed = {
            "ETag",
            "Link",
            "Location",
            "Allow",
            "Retry-After",
            "RateLimit",
            "RateLimit-Policy",
            "X-Request-Id",
            *("Content-Disposition", "Content-Range", "Accept-Ranges"),
            "Idempotent-Replayed",
            "Preference-Applied",
            "WWW-Authenticate",
        }
        assert exposed == set(got.headers["Access-Control-Expose-Headers"].split(", "))


@nouns
def test_same_queries_for_any_page(client: FlaskClient, resource: Resource) -> None:
    """A list takes three SELECTs for one record and for fifty, a 304 one, a record one."""
    database: Database = client.application.extensions["database"]
    id = client.get(f"/{resource.name}?limit=1").get_json()["data"][0]["id"]
    counts = {}
    for path in (f"/{resource.name}?limit=1", f"/{resource.name}?limit=50", f"/{resource.name}/{id}"):
        with counted(database) as selects:
            client.get(path)
        counts[path] = len(selects)
    assert list(counts.values()) == [3, 3, 1]
    tag = client.get(f"/{resource.name}").headers["ETag"]
    with counted(database) as selects:
        client.get(f"/{resource.name}", headers={"If-None-Match": tag})
    assert len(selects) == 1


def test_same_queries_for_any_include(client: FlaskClient) -> None:
    """Included records take the same number of SELECTs for forty records as for one that has every relation."""
    database: Database = client.application.extensions["database"]
    counts = []
    for query in ("limit=1&id=los-angeles-ca-myla311", "limit=40"):
        with counted(database) as selects:
            answer = client.get(f"/initiatives?include=city.awards,priorities,citations&{query}")
            assert answer.status_code == 200
        counts.append(len(selects))
    assert counts[0] == counts[1]


@SQLITE_FIRST
@pytest.mark.parametrize(
    "path",
    [
        "/initiatives?include=city,parent&q=data",
        "/initiatives?include=parent,city.awards&q=data&sort=-title&priority=cybersecurity",
        "/initiatives?include=city&q=data&status=in_operation",
        "/initiatives?include=city,parent&sort=-started&priority=cybersecurity&city.state=CA",
        "/awards?include=survey,city,survey.conducted_by&sort=-updated_at",
        "/organizations?include=parent,city",
        "/sources?include=publisher",
        # So many records take long.
        late("/citations?include=source.publisher"),
    ],
)
def test_included_is_what_each_record_includes(client: FlaskClient, path: str) -> None:
    """Each page includes exactly the union of its records' includes; at least one page includes something."""
    following: str | None = f"{path}&limit=3"
    pages = []
    while following:
        answer = client.get(following).get_json()
        merged: dict[str, dict[str, Any]] = {}
        for record in answer["data"]:
            address = f"{path.partition('?')[0]}/{record['id']}?{re.findall('include=[^&]*', path)[0]}"
            for noun, records in client.get(address).get_json()["included"].items():
                merged.setdefault(noun, {}).update(records)
        assert answer["included"] == merged
        pages.append(any(merged.values()))
        following = answer["links"]["next"] and answer["links"]["next"].removeprefix(BASE)
    assert any(pages)


def test_included_at_hand(client: FlaskClient) -> None:
    """Relations in the noun's own table cost no SELECT on a short page; the controls, other relations, cost one per step."""
    database: Database = client.application.extensions["database"]
    counts = []
    for query in ("", "&include=city", "&include=city,parent", "&include=city,city.awards", "&include=city.awards,priorities"):
        with counted(database) as selects:
            assert client.get(f"/initiatives?limit=5{query}").status_code == 200
        counts.append(len(selects))
    least = counts[0]
    assert counts == [least, least, least, least + 1, least + 2]
    # A long page, or an order that reads the ledger, costs one SELECT more.
    for query, more in (("limit=50", 0), ("limit=51", 1), ("limit=5&sort=-updated_at", 1)):
        numbers = []
        for include in ("", "&include=city"):
            with counted(database) as selects:
                assert client.get(f"/initiatives?{query}{include}").status_code == 200
            numbers.append(len(selects))
        assert numbers[1] - numbers[0] == more, query


def test_too_many_included(own_client: FlaskClient, database: Database) -> None:
    """At most 500 included records of a noun are served; one more is a 400 that suggests another request."""

    def add(numbers: range) -> None:
        with publishing(database) as session:
            rows = [{"id": f"boston-ma-{number}"} for number in numbers]
            session.execute(
                text(
                    "insert into initiatives (id, city_id, title, summary, status) values (:id, 'boston-ma', :id, '', 'draft')"
                ),
                rows,
            )

    paths = ("/cities/boston-ma?include=initiatives", "/cities?id=boston-ma&include=initiatives,initiatives.citations")
    add(range(500))
    assert [len(own_client.get(path).get_json()["included"]["initiatives"]) for path in paths] == [500, 500]
    add(range(500, 501))
    for path in paths:
        status, name, (item,) = brief(own_client.get(path))
        assert (status, name) == (400, "too-many-included")
        assert (item["parameter"], item["code"], item["allowed"]) == ("include", "too-many-included", {"maximum": 500})
        assert "`limit`" in item["detail"]
        assert "`/initiatives`" in item["detail"]


def test_long_links(client: FlaskClient) -> None:
    """The `Link` header stays short enough for proxies; the body has all links."""
    ids = ",".join(f"{'x' * 40}-{n}" for n in range(100)) + ",boston-ma,san-diego-ca"
    response = client.get(f"/cities?limit=1&id={ids}")
    links = response.get_json()["links"]
    assert response.headers["Link"] == f'<{links["next"]}>; rel="next"'
    assert links["self"].startswith(f"{BASE}/cities?")


@nouns
def test_deleted_record(own_client: FlaskClient, database: Database, resource: Resource) -> None:
    """A deleted record is a 410 with its time and version, and leaves its list; once restored, it is a 200."""
    path = f"/{resource.name}/zz-copy"
    assert own_client.get(path).status_code == 404
    with publishing(database) as session:
        copy_of_a_record(session, resource)
    record = own_client.get(path).get_json()["data"]
    with publishing(database) as session:
        session.execute(text(f"delete from {resource.name} where id = 'zz-copy'"))
    response = own_client.get(path)
    problem = response.get_json()
    assert problem == {
        "type": "http://localhost/problems/record-deleted",
        "title": "The record was deleted",
        "status": 410,
        "detail": f"The {resource.singular} `zz-copy` was deleted in version {record['version'] + 1}.",
        "instance": path,
        "request_id": response.headers["X-Request-Id"],
        "deleted_at": problem["deleted_at"],
        "version": record["version"] + 1,
        "errors": [],
    }
    assert re.fullmatch(INSTANT, problem["deleted_at"])
    assert problem["deleted_at"] >= record["updated_at"]
    assert "zz-copy" not in [record["id"] for record in walk(own_client, f"/{resource.name}?limit=500")]
    with publishing(database) as session:
        copy_of_a_record(session, resource)
    again = own_client.get(path).get_json()["data"]
    assert again == {**record, "version": record["version"] + 2, "updated_at": again["updated_at"]}


@pytest.mark.slow
@ON_SQLITE
def test_total_is_capped(own_client: FlaskClient, database: Database) -> None:
    """Above 10,000 records the total is 10,000 with the relation `gte`."""
    with publishing(database) as session:
        session.execute(
            text("insert into priorities (id, name, description) values (:id, :id, 'Made for this test.')"),
            [{"id": f"priority-{n}"} for n in range(10_001)],
        )
    page = own_client.get("/priorities?limit=1").get_json()["page"]
    assert (page["total"], page["total_relation"]) == (10_000, "gte")
    assert json.loads(own_client.get("/cities").get_data())["page"]["total_relation"] == "eq"

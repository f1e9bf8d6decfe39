"""The OpenAPI document is valid, complete, and tells the truth."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema_rs import Draft202012Validator, Registry
from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy import text
from werkzeug.test import TestResponse

from api.db.database import Database
from api.endpoints import DOCUMENT, described
from api.errors import MAX_QUERY_STRING
from api.ledger import publish
from api.query import language
from api.query.parameters import PARAMETERS
from api.resources import RESOURCES
from api.schema.fields import RESERVED
from api.schema.formats import BY_MEDIA_TYPE
from api.schema.resource import Resource
from api.settings import Settings
from api.web import keys
from api.web.problem_types import PROBLEMS
from api.web.problems import MEDIA_TYPE
from api.webhooks import delivery
from tests.support.answers import walk
from tests.support.applications import NO_DATABASE, serving
from tests.support.databases import ON_SQLITE, SQLITE_FIRST, publishing
from tests.support.good_requests import prepare, wrong
from tests.support.lengths import Sample
from tests.support.plans import written
from tests.support.records import copy_of_a_record, nouns

Json = dict[str, Any]
# What pages load, and what crawlers read.
FILES = {
    *("/docs/<path:name>", "/static/<string:name>", "/robots.txt", "/sitemap.xml", "/sitemap-<string:noun>-<int:part>.xml"),
    "/metrics",
}
# Headers that clients act on; the others are for browsers (CORS, policies) or part of HTTP.
SOMETIMES = {
    "Age",
    "Content-Encoding",
    "Idempotent-Replayed",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Server-Timing",
}
HEADERS = SOMETIMES | {
    *(
        "Allow",
        "Cache-Control",
        "Content-Disposition",
        "Content-Range",
        "ETag",
        "Link",
        "Location",
        "Retry-After",
        "Vary",
        "X-Request-Id",
    ),
    "WWW-Authenticate",
}
METHODS = ("get", "post", "put", "patch", "delete")
URN = "urn:document"
# Generators of clients read all of it.
MOST_CHARACTERS = 650_000


@cache
def served() -> Json:
    """Return the document as it is served, to anyone, with any database or none."""
    with serving(NO_DATABASE) as app:
        body: Json = app.test_client().get("/openapi.json").get_json()
    return body


@pytest.fixture(scope="session")
def document() -> Json:
    """The served document."""
    return served()


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    """Yield every operation with its path, which has the method in front unless it is GET."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path if method == "get" else f"{method.upper()} {path}", item[method]


def resolved(document: Json, node: Json) -> Json:
    """Follow a reference."""
    while "$ref" in node:
        pointer = node["$ref"].removeprefix("#/").split("/")
        node = document
        for key in pointer:
            node = node[key]
    return node


def responses(document: Json) -> Iterator[tuple[str, int, Json]]:
    """Yield every response of every operation, with its path and its status."""
    for path, operation in operations(document):
        for status, response in operation["responses"].items():
            yield path, int(status), resolved(document, response)


def parameters(document: Json) -> Iterator[tuple[str, Json]]:
    """Yield every parameter of every operation, with its path."""
    for path, operation in operations(document):
        shared = document["paths"][path.split()[-1]].get("parameters", [])
        for parameter in [*shared, *operation.get("parameters", [])]:
            yield path, resolved(document, parameter)


def schema_of(parameter: Json) -> Json:
    """Return the schema of a parameter's value, which is JSON where its content is described."""
    schema: Json = parameter["schema"] if "schema" in parameter else parameter["content"]["application/json"]["schema"]
    return schema


def properties(schema: Json, name: str) -> Iterator[tuple[str, Json]]:
    """Yield every property of a schema and of its nested schemas."""
    for key, value in schema.get("properties", {}).items():
        yield f"{name}.{key}", value
        yield from properties(value, f"{name}.{key}")
        yield from properties(value.get("items", {}), f"{name}.{key}[]")


def is_composite(schema: Json) -> bool:
    """Tell whether a value has another schema's type, which then has the examples."""
    return any(
        "$ref" in str(part) for part in (schema, schema.get("items"), schema.get("anyOf"), schema.get("additionalProperties"))
    )


def example(parameter: Json) -> object:
    """Return a parameter's example, if it has one."""
    if "content" in parameter:
        return parameter["content"]["application/json"]["example"]
    return parameter.get("example", parameter["schema"].get("example"))


@cache
def registry() -> Registry:
    """Return the schemas that others refer to, read once: to read them with every schema would take most of the time."""
    return Registry([(URN, {"components": {"schemas": served()["components"]["schemas"]}})])


@cache
def validator(schema: str) -> Draft202012Validator:
    """Return a validator of values against a schema of the document, given as JSON; it checks formats."""
    absolute = json.loads(schema.replace('"#/', f'"{URN}#/'))
    return Draft202012Validator(absolute, registry=registry(), validate_formats=True)


def complaints(schema: Json, value: object) -> list[str]:
    """Say where a value breaks a schema of the document."""
    return [f"{error.instance_path}: {error.message}" for error in validator(json.dumps(schema)).iter_errors(value)]


def texts(node: object, name: str) -> Iterator[str]:
    """Yield every text that is the member `name` of a part of the document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name and isinstance(value, str):
                yield value
            else:
                yield from texts(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value, name)


references = partial(texts, name="$ref")


@pytest.mark.contract
def test_valid(document: Json) -> None:
    """The document is valid OpenAPI 3.1."""
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_up_to_date() -> None:
    """The document in the release describes its routes; `make docs` writes it again."""
    assert DOCUMENT.read_bytes().splitlines() == described().splitlines()


def test_the_same_everywhere(client: FlaskClient) -> None:
    """The document is the same for both databases, every host and every client."""
    expected = DOCUMENT.read_bytes()
    for base_url in ("http://localhost", "https://elsewhere.example:8443"):
        response = client.get("/openapi.json", base_url=base_url)
        assert (response.get_data(), response.content_type) == (expected, "application/json")


def test_every_route_is_documented(app: Flask, document: Json) -> None:
    """The paths are the routes, each with exactly its methods.

    Without the desk, the files of pages, what crawlers read, and an address whose 410 is described at another one.
    """
    undocumented = ("/edit", "/digest/buckets/")
    rules = {rule.rule for rule in app.url_map.iter_rules() if not rule.rule.startswith(undocumented)}
    assert rules >= FILES
    assert set(document["paths"]) == {re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule) for rule in rules - FILES}
    of_nouns = ("POST /{}/search", "POST /{}", "PUT /{}/{{id}}", "PATCH /{}/{{id}}", "DELETE /{}/{{id}}")
    others = {
        "POST /reconcile",
        "POST /changesets",
        "POST /changesets/{version}/revert",
        "POST /keys",
        "DELETE /keys/{name}",
        "POST /keys/{name}/rotate",
    }
    others |= {"POST /imports", "POST /proposals", "POST /proposals/{id}/publish", "POST /proposals/{id}/refuse"}
    others |= {"POST /webhooks", "DELETE /webhooks/{id}"}
    others |= {f"POST /webhooks/{{id}}/{verb}" for verb in ("resume", "rotate", "test")}
    assert {path for path, _ in operations(document) if path not in document["paths"]} == others | {
        path.format(resource.name) for path in of_nouns for resource in RESOURCES
    }


def test_operations_are_described(document: Json) -> None:
    """Every operation has a unique id, a summary and a declared tag; a noun's tag is its name."""
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert list(tags) == [
        *(resource.name for resource in RESOURCES),
        "search",
        "reconcile",
        "sync",
        "changesets",
        "proposals",
        "keys",
        "webhooks",
        "front",
        "meta",
    ]
    assert all(tags.values())
    by_path = dict(operations(document))
    ids = [operation["operationId"].lower() for operation in by_path.values()]
    assert len(ids) == len(set(ids))
    messages = {name: item["post"] for name, item in document["webhooks"].items()}
    everything = by_path | messages
    bare = [path for path, row in everything.items() if not (row.get("summary") and row.get("description", "").strip())]
    assert bare == []
    described = {path: operation["tags"] for path, operation in by_path.items()}
    names = dict.fromkeys([resource.name for resource in RESOURCES]) | dict.fromkeys(
        ["search", "suggest", "reconcile", "changes", "digest", "snapshot", "changesets", "proposals", "keys", "webhooks"]
    )

    def tag(path: str) -> str:
        first = path.split("/")[1].removesuffix(".{format}")
        others = {
            "": "front",
            "imports": "proposals",
            "suggest": "search",
            "changes": "sync",
            "digest": "sync",
            "snapshot": "sync",
        }
        return others.get(first, first if first in names else "meta")

    assert described == {path: [tag(path)] for path in by_path}


def test_responses_are_described(document: Json) -> None:
    """Every response has a description that is unique in its operation."""
    for path, operation in operations(document):
        described = [resolved(document, response)["description"] for response in operation["responses"].values()]
        assert len(described) == len(set(described)), path
        assert all(described), path


def test_success_is_described_as_what_it_is(document: Json) -> None:
    """Where an answer comes as JSON and as a page, its description is true of both."""
    pages = [row for row in responses(document) if row[1] == 200 and "text/html" in row[2]["content"]]
    both = {path: response for path, _, response in pages if len(response["content"]) > 1}
    assert [sorted(response["content"]) for response in both.values()] == [["application/json", "text/html"]] * 3
    assert {path: response["description"] for path, response in both.items()} == {
        "/": "Links to everything.",
        "/problems": "Every type of problem.",
        "/problems/{name}": "The type of problem.",
    }


def test_parameters_are_described(document: Json) -> None:
    """Every parameter has a description and an example, but those that a tool must not send by itself."""
    assert [(path, parameter["name"]) for path, parameter in parameters(document) if not parameter.get("description")] == []
    bare = [(path, parameter["name"]) for path, parameter in parameters(document) if example(parameter) is None]
    # What trims included records is refused without them.
    bare = [(path, name) for path, name in bare if not name.startswith("fields[")]
    lists = [path for row in RESOURCES for path in (f"/{row.name}", f"POST /{row.name}/search")]
    once = [path for path, parameter in parameters(document) if parameter["name"] == "Idempotency-Key"]
    assert sorted(bare) == sorted(
        [
            *((path, "cursor") for path in [*lists, "/search", "/changes", "/changes/{noun}", "/changesets", "/proposals"]),
            *((path, "Idempotency-Key") for path in once),
            *((f"/{row.name}.{{format}}", "Range") for row in RESOURCES),
        ]
    )


def test_headers_are_described(document: Json) -> None:
    """Every header of a response has a description and an example."""
    bare = [
        (path, status, name, key)
        for path, status, response in responses(document)
        for name, header in response.get("headers", {}).items()
        for key in ("description", "example")
        if not resolved(document, header).get(key)
    ]
    assert bare == []


def test_properties_are_described(document: Json) -> None:
    """Every property of every schema has a description, and an example unless it is made of others."""
    rows = [row for name, schema in document["components"]["schemas"].items() for row in properties(schema, name)]
    assert [name for name, schema in rows if not (resolved(document, schema) | schema).get("description")] == []
    assert [name for name, schema in rows if "example" not in schema and not is_composite(schema)] == []


def test_examples_are_valid(document: Json) -> None:
    """Every example of a property, a parameter and a header is valid where it stands."""
    rows: list[tuple[object, Json, object]] = []
    for name, schema in document["components"]["schemas"].items():
        rows += [(path, member, member["example"]) for path, member in properties(schema, name) if "example" in member]
    for path, parameter in parameters(document):
        if example(parameter) is not None:
            rows.append(((path, parameter["name"]), schema_of(parameter), example(parameter)))
    for path, status, response in responses(document):
        for name, header in response.get("headers", {}).items():
            described = resolved(document, header)
            rows.append(((path, status, name), described["schema"], described["example"]))
    # Check a repeated example once.
    once = {json.dumps([schema, value]): (place, schema, value) for place, schema, value in rows}
    assert [(place, faults) for place, schema, value in once.values() if (faults := complaints(schema, value))] == []


def test_errors_are_problems(document: Json) -> None:
    """Every error is problem+json, with a valid example of each kind of problem of its status."""
    errors = [row for row in responses(document) if row[1] >= 400]
    validated: set[str] = set()
    for path, status, response in errors:
        assert list(response["content"]) == [MEDIA_TYPE], (path, status)
        content = response["content"][MEDIA_TYPE]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        values = {name: row["value"] for name, row in content["examples"].items()}
        assert list(values) == [row.name for row in PROBLEMS.values() if row.status == status]
        for name, value in values.items():
            if name not in validated:
                assert complaints(content["schema"], value) == []
            validated.add(name)
            assert value["type"].endswith(f"/problems/{name}")
            assert (value["status"], value["title"]) == (status, PROBLEMS[name].title)
    assert {status for _, status, _ in errors} == {
        *(400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 414, 415, 416, 422, 428, 429, 500, 503)
    }


def test_every_component_is_used(document: Json) -> None:
    """Nothing is declared that no operation refers to."""
    used: set[str] = set()
    waiting = {*references(document["paths"]), *references(document["webhooks"])}
    while waiting:
        used |= waiting
        waiting = {below for pointer in waiting for below in references(resolved(document, {"$ref": pointer}))} - used
    kinds = document["components"].keys() - {"securitySchemes"}
    declared = {f"#/components/{kind}/{name}" for kind in kinds for name in document["components"][kind]}
    assert used == declared


def test_size(document: Json) -> None:
    """The document has at most 650,000 characters, and describes no parameter in two operations."""
    assert len(DOCUMENT.read_text(encoding="utf-8")) <= MOST_CHARACTERS
    inline = [json.dumps(row) for _, operation in operations(document) for row in operation.get("parameters", [])]
    repeated = {row for row in inline if "$ref" not in row and inline.count(row) > 1}
    assert repeated == set()


def test_patterns_are_portable(document: Json) -> None:
    """No pattern has a class of characters, as backslash and s, that differs between Python and JavaScript."""
    patterns = {*texts(document, "pattern")}
    assert len(patterns) > 10
    assert [pattern for pattern in patterns if re.search(r"\\[bBdDsSwWpP]", pattern)] == []


def test_names_of_files(document: Json) -> None:
    """No schema and no operation has the name that generators of clients give to their file of everything."""
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert [name for name in [*document["components"]["schemas"], *ids] if name.lower() == "index"] == []
    assert len({name.lower() for name in document["components"]["schemas"]}) == len(document["components"]["schemas"])


@nouns
def test_records_are_as_documented(client: FlaskClient, document: Json, resource: Resource) -> None:
    """Every record, in lists and alone, matches its schema and has no undocumented property."""
    singular = resource.singular.title()
    record = document["components"]["schemas"][singular]
    assert (record["additionalProperties"], set(record["required"])) == (False, set(record["properties"]))
    lists, answer = ({"$ref": f"#/components/schemas/{singular}{kind}"} for kind in ("List", "Answer"))
    for path, schema in ((f"/{resource.name}", lists), (f"/{resource.name}/{{id}}", answer)):
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert content == {"application/json": {"schema": schema}}
    export = resolved(document, document["paths"][f"/{resource.name}.{{format}}"]["get"]["responses"]["200"])
    assert set(export["content"]) == set(BY_MEDIA_TYPE) - {"application/json", "text/html"}
    records = walk(client, f"/{resource.name}?limit=500")
    assert complaints({"type": "array", "items": {"$ref": f"#/components/schemas/{singular}"}}, records) == []
    for limit in (1, 500):
        assert complaints(lists, client.get(f"/{resource.name}?limit={limit}").get_json()) == []
    for record in records[::20]:
        body = client.get(f"/{resource.name}/{record['id']}").get_json()
        assert complaints(answer, body) == []
        assert complaints(answer, {**body, "data": {**body["data"], "mayor": "?"}}) != []


def test_problem_types_are_as_documented(client: FlaskClient, document: Json) -> None:
    """The index, the problem types and the health checks match their schemas."""
    for path in ("/", "/problems", "/problems/{name}", "/livez", "/readyz"):
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert complaints(schema, client.get(path.replace("{name}", "not-found")).get_json()) == []


@SQLITE_FIRST
def test_example_requests_work(client: FlaskClient, document: Json) -> None:
    """Every path answers 200, in full, to the request that its examples make: the one that tools offer."""
    statuses = {}
    for path, operation in ((path, row) for path, row in operations(document) if "security" not in row):
        values: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
        for parameter in [parameter for at, parameter in parameters(document) if at == path]:
            # Tools leave the filters empty: all at once, they would find nothing.
            if example(parameter) is not None and (parameter["in"] != "query" or parameter["name"] in PARAMETERS):
                values[parameter["in"]][parameter["name"]] = written(example(parameter))
        values["query"].pop("cursor", None)
        address = path.split()[-1].format(**values["path"])
        content = resolved(document, operation.get("requestBody", {})).get("content", {})
        kinds = {"json": "application/json", "data": "application/x-www-form-urlencoded"}
        body = {name: content[kind]["example"] for name, kind in kinds.items() if kind in content}
        method = "GET" if path in document["paths"] else "POST"
        answer = client.open(address, method=method, query_string=values["query"], headers=values["header"], **body)
        statuses[path] = answer.status_code
    assert statuses == dict.fromkeys(statuses, 200)


@ON_SQLITE
@nouns
def test_example_filters_work(client: FlaskClient, document: Json, sample: Sample, resource: Resource) -> None:
    """Every filter answers 200 to its example."""
    examples = {row["name"]: written(example(row)) for path, row in parameters(document) if path == f"/{resource.name}"}
    filters = {name: text for name, text in examples.items() if name in language.filters(resource)}
    assert set(filters) == set(language.filters(resource))
    answers = {
        name: client.get(f"/{resource.name}", query_string={name: text, "limit": 1})
        for name, text in sample([*filters.items()], 15)
    }
    assert {name: answer.get_json() for name, answer in answers.items() if answer.status_code != 200} == {}


@nouns
def test_example_record_is_there(client: FlaskClient, document: Json, resource: Resource) -> None:
    """The id that a noun's schema shows is the id of one of its records."""
    id = document["components"]["schemas"][resource.singular.title()]["properties"]["id"]["example"]
    assert client.get(f"/{resource.name}/{id}").status_code == 200


TOO_MANY = json.dumps({f"q{number}": {"query": "Boston"} for number in range(21)})
# Paths that take a version, each with the parameter; the test sends a version that does not exist yet.
FUTURE = {"/changes": "since", "/digest": "at", "/snapshot": "as_of"}


def ask(client: FlaskClient, path: str, deleted: str | None) -> dict[int, TestResponse]:
    """Send a request for each status that a path can answer; return the first answer of each status."""
    if path.endswith("/search") and path.startswith("POST "):
        return ask_by_post(client, path.removeprefix("POST "))
    if path == "POST /reconcile":
        return ask_by_form(client)
    # A stream holds its place until it is read.
    get = partial(client.get, buffered=True)
    known = path.replace("{version}", "1").replace("{name}", "not-found").replace("{format}", "csv")
    known = known.replace("{noun}", "cities").replace("{number}", "0").replace("{of}", "entity")
    if "{id}" in path:
        noun = path.split("/")[1]
        known = path.replace("{id}", client.get(f"/{noun}?limit=1").get_json()["data"][0]["id"])
    mark = "?q=x&" if path in {"/search", "/suggest"} else "?"
    known += mark[:-1]
    answers = [
        get(known),
        get(known, headers={"If-None-Match": "*"}),
        # A path without a tag ignores `If-Match`.
        get(known, headers={"If-Match": '"x"'}),
        get(f"{known}{mark[-1]}limti=1"),
        get(re.sub(r"\{\w+\}", "99999999" if "version" in path else "unheard-of", path) + mark[:-1]),
        get(known, headers={"Accept": "image/png"}),
        get(known, headers={"Range": "bytes=0-9"}),
        get(known, headers={"Range": f"bytes={10**9}-"}),
        get(f"{known}{mark[-1]}limit={'9' * MAX_QUERY_STRING}"),
    ]
    if deleted:
        answers += [get(deleted), get(path.replace("{id}", "zz-moved")), get(path.replace("{id}", RESERVED))]
    if path == "/reconcile":
        answers.append(get(path, query_string={"queries": TOO_MANY}))
    if path == "/changesets/{version}":
        answers.append(get(path.replace("{version}", "2")))
    if path.startswith(tuple(FUTURE)):
        parameter = next(name for start, name in FUTURE.items() if path.startswith(start))
        answers.append(get(f"{known}?{parameter}=99999999"))
    return {answer.status_code: answer for answer in reversed(answers)}


def ask_by_post(client: FlaskClient, path: str) -> dict[int, TestResponse]:
    """The same for a path that takes an expression as its body."""
    answers = [
        client.post(path, json={"version__gt": 0}),
        client.post(f"{path}?limti=1", json={"version__gt": 0}),
        client.post(path, json={"version__gt": 0}, headers={"Accept": "image/png"}),
        client.post(path, data=b" " * 1_000_001, content_type="application/json"),
        client.post(f"{path}?limit={'9' * MAX_QUERY_STRING}", json={"version__gt": 0}),
        client.post(path, data="{}"),
        client.post(path, json={"versoin__gt": 0}),
    ]
    return {answer.status_code: answer for answer in reversed(answers)}


def ask_by_form(client: FlaskClient) -> dict[int, TestResponse]:
    """The same for the queries of a reconciliation."""
    form = {"queries": '{"q0": {"query": "Boston"}}'}
    answers = [
        client.post("/reconcile", data=form),
        client.post("/reconcile?limti=1", data=form),
        client.post("/reconcile", data=form, headers={"Accept": "image/png"}),
        client.post("/reconcile", data={"queries": TOO_MANY}),
        client.post(f"/reconcile?limit={'9' * MAX_QUERY_STRING}", data=form),
        client.post("/reconcile", json={}),
        client.post("/reconcile", data={"querys": "{}"}),
    ]
    return {answer.status_code: answer for answer in reversed(answers)}


@SQLITE_FIRST
def test_documented_statuses_are_reached(own_client: FlaskClient, database: Database, document: Json) -> None:
    """Every path answers with each of its documented statuses (our own failures apart) and no other, as documented."""
    for resource in RESOURCES:
        with publishing(database) as session:
            copy_of_a_record(session, resource)
        with publishing(database) as session:
            session.execute(text(f"delete from {resource.name} where id = 'zz-copy'"))
            copy_of_a_record(session, resource, "zz-moved")
        with database.writing() as session:
            session.execute(text(f"delete from {resource.name} where id = 'zz-moved'"))
            publish.publish(session, merged={(resource.name, "zz-moved"): "zz-copy"})
    expected: dict[str, set[int]] = {}
    for path, status, _ in responses(document):
        expected.setdefault(path, set()).add(status)
    with database.writing() as session:
        admin, reader = (keys.issue(session, name, scopes) for name, scopes in (("admin", ["admin"]), ("reader", [])))
    guarded = [path for path, operation in operations(document) if "security" in operation]
    by_path = {
        path: ask(own_client, path, path.replace("{id}", "zz-copy") if "{id}" in path else None)
        for path in expected
        if path not in guarded
    }
    for path in guarded:
        good = prepare(own_client, database, path, admin)
        answers = [*wrong(own_client, good, reader), prepare(own_client, database, path, admin).send(own_client)]
        by_path[path] = {answer.status_code: answer for answer in reversed(answers)}
    # The limits' own tests reach a 429.
    assert {path: set(answers) for path, answers in by_path.items()} == {
        path: statuses - {429, 500, 503} for path, statuses in expected.items()
    }
    rows = [(by_path[path][status], response) for path, status, response in responses(document) if status in by_path[path]]
    assert [line for answer, response in rows for line in differences(document, answer, response)] == []


def differences(document: Json, answer: TestResponse, response: Json) -> list[str]:
    """Return an answer's undocumented parts, and the documented parts that it lacks."""
    if answer.status_code in {204, 303, 304, 308}:
        faults = [f"body {answer.get_data()!r}"] if answer.get_data() or "content" in response else []
    else:
        schema = response["content"][answer.mimetype]["schema"]
        faults = complaints(schema, answer.get_json() if answer.is_json else answer.get_data(as_text=True))
    sent = {name: value for name, value in answer.headers.items() if name in HEADERS}
    documented = {name: resolved(document, header)["example"] for name, header in response.get("headers", {}).items()}
    faults += [f"{name} is sent, not documented" for name in sorted(sent.keys() - documented)]
    faults += [f"{name} is documented, not sent" for name in sorted(documented.keys() - sent - SOMETIMES)]
    # Of these the value is always the same.
    for name in sorted({"Cache-Control", "Vary"} & sent.keys() & documented.keys()):
        if sent[name] != documented[name]:
            faults.append(f"{name} is `{sent[name]}`, not `{documented[name]}`")
    return [f"{answer.request.path} {answer.status_code}: {line}" for line in faults]


def test_messages_are_as_documented(document: Json) -> None:
    """The messages that webhooks get match their schemas, and the headers are those that are sent."""
    now = dt.datetime(2024, 12, 2, tzinfo=dt.UTC)
    message = delivery.Message("wh-1", "https://example.org", ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",), "msg_1", "{}")
    sent = delivery.headers(message, now)
    data: dict[str, Json] = {
        "dataset.changed": {"version": 3, "kinds": ["cities"], "epoch": 2},
        "webhook.test": {"webhook": "wh-1"},
    }
    assert set(data) == set(document["webhooks"])
    for type, item in document["webhooks"].items():
        rows = [resolved(document, row) for row in item["post"]["parameters"]]
        assert {row["name"] for row in rows} == set(sent) - {"Content-Type", "User-Agent"}
        schema = item["post"]["requestBody"]["content"]["application/json"]["schema"]
        body = {"type": type, "timestamp": "2024-12-02T00:00:00.000Z", "data": data[type]}
        assert complaints(schema, body) == []
        assert complaints(schema, {**body, "type": "other"}) != []
        assert complaints(schema, {**body, "data": {}}) != []


@nouns
def test_required_members(document: Json, resource: Resource) -> None:
    """A published record requires every member; input may omit lists and nullable members; a patch may omit all."""
    schemas = document["components"]["schemas"]
    published, sent, patch = (schemas[f"{resource.singular.title()}{kind}"] for kind in ("", "Input", "Patch"))
    assert published["required"] == sorted(published["properties"])
    optional = {
        name
        for name, schema in sent["properties"].items()
        if schema.get("type") == "array" or "null" in schema.get("type", ()) or {"type": "null"} in schema.get("anyOf", ())
    }
    assert set(sent["required"]) == {*sent["properties"]} - optional
    assert "required" not in patch


@ON_SQLITE
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_other_methods(client: FlaskClient, document: Json, method: str) -> None:
    """A method that a path does not have is a 405 that names its methods, on every path."""
    for path, item in document["paths"].items():
        methods = [name.upper() for name in METHODS if name in item]
        allowed = sorted(["OPTIONS", *methods, *(["HEAD"] if "get" in item else [])])
        if method in allowed:
            continue
        known = path.replace("{version}", "1")
        response = client.open(re.sub(r"\{\w+\}", "not-found", known), method=method)
        assert (response.status_code, response.content_type) == (405, MEDIA_TYPE)
        assert response.headers["Allow"] == ", ".join(allowed)
        if method != "HEAD":
            assert response.get_json()["errors"][0]["allowed"] == allowed
            assert complaints({"$ref": "#/components/schemas/Problem"}, response.get_json()) == []


def unconditional(client: FlaskClient, path: str) -> TestResponse:
    """Send a request whose only other statuses come from the database."""
    address = path.rsplit(maxsplit=1)[-1].replace("{format}", "json").replace("{id}", "x").replace("{name}", "not-found")
    address = address.replace("{noun}", "cities").replace("{number}", "0").replace("{of}", "entity")
    if path.endswith("/reconcile"):
        form = {"queries": "{}"}
        return client.post(address, data=form) if " " in path else client.get(address, query_string=form)
    if " " in path:
        address = address.replace("{version}", "1")
        body = {"version__gt": 0} if path.endswith("/search") else {}
        return client.open(address, method=path.split(maxsplit=1)[0], json=body, headers={"Authorization": "Bearer x"})
    return (
        client.get(address.replace("{version}", "1"), headers={"Authorization": "Bearer x"})
        if "{version}" in path or path.startswith(("/keys", "/webhooks", "/proposals"))
        else client.get(address + ("?q=x" if path in {"/search", "/suggest"} else ""))
    )


@pytest.mark.parametrize("database_url", ["sqlite:///{}/missing.sqlite3", "postgresql://nobody@127.0.0.1:1/none"])
def test_unavailable_is_as_documented(tmp_path: Path, document: Json, database_url: str) -> None:
    """With no database behind it, exactly the paths that document a 503 answer with it, as documented."""
    with serving(Settings(database_url=database_url.format(tmp_path))) as app:
        client = app.test_client()
        answers = {path: unconditional(client, path) for path, _ in operations(document)}
    documented = {path: response for path, status, response in responses(document) if status == 503}
    assert {path for path, answer in answers.items() if answer.status_code == 503} == set(documented)
    assert [line for path, response in documented.items() for line in differences(document, answers[path], response)] == []

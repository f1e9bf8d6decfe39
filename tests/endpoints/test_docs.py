"""The documentation says what the OpenAPI document says, its links lead somewhere, and its programs run."""

import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.query.parameters import PARAMETERS
from api.resources import RESOURCES
from api.web.reference import GROUPS, Operation, Reference
from api.web.snippets import snippets
from tests.support.browser import served
from tests.support.node import NODE

pytestmark = pytest.mark.contract

Json = dict[str, Any]


@pytest.fixture(scope="module")
def reference(routing_app: Flask) -> Reference:
    """The document, as the pages show it."""
    return Reference(routing_app.extensions["openapi"])


@pytest.fixture(scope="module")
def pages(routing_app: Flask, reference: Reference) -> dict[str, str]:
    """The page of each tag."""
    client = routing_app.test_client()
    return {tag: client.get(f"/docs/{tag}").get_data(as_text=True) for tag in reference.tags}


@pytest.fixture(scope="module")
def site(routing_app: Flask) -> Iterator[str]:
    """The address of a server, for programs."""
    with served(routing_app) as address:
        yield address


class Anchors(HTMLParser):
    """The ids of a page, and its links within it."""

    def __init__(self, page: str) -> None:
        """Read the page."""
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the parser's interface
        """Collect an element's id and link."""
        names = {name: value or "" for name, value in attrs}
        if "id" in names:
            self.ids.append(names["id"])
        if names.get("href", "").startswith("#"):
            self.links.add(names["href"][1:])


def operations(reference: Reference) -> list[tuple[str, Operation]]:
    """Return each operation with its tag."""
    return [(tag, one) for tag, rows in reference.operations.items() for one in rows]


def test_each_operation_has_a_place(reference: Reference, pages: dict[str, str]) -> None:
    """Each operation and each message to a webhook is on the page of its tag, with its words."""
    spec = reference.spec
    rows = [row for item in (*spec["paths"].values(), *spec["webhooks"].values()) for row in item.values() if "tags" in row]
    assert [row["operationId"] for row in rows if f'id="{row["operationId"]}"' not in pages[row["tags"][0]]] == []
    texts = {tag: html.unescape(re.sub("<[^>]+>", "", page)) for tag, page in pages.items()}
    missing = [row["operationId"] for row in rows if row["summary"].replace("`", "") not in texts[row["tags"][0]]]
    assert missing == []


def test_each_parameter_has_a_place(reference: Reference) -> None:
    """Each parameter of an operation is in one of its groups, or in the same group of an earlier operation."""
    groups = {(one.id, group.name): group for _, one in operations(reference) for group in one.groups}
    for (id, name), group in groups.items():
        assert bool(group.rows) != bool(group.same_as)
        assert not group.same_as or groups[group.same_as, name].rows, (id, name)
    shown = {
        one.id: {
            row.name + (operator if operator != "=" else "")
            for group in one.groups
            for row in groups[group.same_as or one.id, group.name].rows
            for operator in row.operators or ("",)
        }
        for _, one in operations(reference)
    }
    for path, item in (reference.spec["paths"] | reference.spec["webhooks"]).items():
        for method, row in item.items():
            if method != "parameters":
                rows = [*item.get("parameters", ()), *row.get("parameters", ())]
                names = {name_of(reference.spec, parameter) for parameter in rows}
                assert shown[row["operationId"]] == names, (method, path)


def name_of(spec: Json, row: Json) -> str:
    """Return the name of a parameter, or of a reference to it."""
    name: str = (spec["components"]["parameters"][row["$ref"].rpartition("/")[2]] if "$ref" in row else row)["name"]
    return name


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_groups(reference: Reference, resource: Any) -> None:
    """The parameters of a list are in groups: only filters are under the fields of the noun, or of related records."""
    (listing,) = (one for one in reference.operations[resource.name] if one.id == f"list_{resource.name}")
    names = [group.name for group in listing.groups if not group.is_related]
    assert names == ["Search", "Page", "Contents", f"Fields of {resource.name}", "Headers"]
    assert {name.partition("[")[0] for name in PARAMETERS} <= {name for group in GROUPS.values() for name in group}
    for group in listing.groups:
        is_of_fields = group.is_related or group.name == f"Fields of {resource.name}"
        assert [row.name for row in group.rows if bool(row.operators) != is_of_fields] == []
        assert [row.name for row in group.rows if group.is_related and not row.name.startswith(f"{group.name}.")] == []


def test_links_within_a_page(pages: dict[str, str]) -> None:
    """Each link within a page leads to something, and no two things have one name."""
    for tag, page in pages.items():
        anchors = Anchors(page)
        assert anchors.links - set(anchors.ids) == set(), tag
        assert len(anchors.ids) == len(set(anchors.ids)), tag


def test_hits_lead_somewhere(reference: Reference, pages: dict[str, str]) -> None:
    """Each hit of a search leads to its place on a page; hits with the words in their name come first."""
    ids = {tag: set(Anchors(page).ids) for tag, page in pages.items()}
    hits = reference.search("e")
    assert len(hits) > 1_000
    for hit in hits:
        tag, _, id = hit.address.removeprefix("/docs/").partition("#")
        assert id in ids[tag], hit
    assert [hit.name for hit in reference.search("LIMIT")[:1]] == ["limit"]
    assert reference.search("draft in_operation")[0].name == "status"
    assert reference.search("xyzzy") == reference.search(" ") == []


def test_search_is_text(routing_client: FlaskClient) -> None:
    """What a reader searches for is shown as text."""
    page = routing_client.get("/docs/find", query_string={"q": '"><script>'}).get_data(as_text=True)
    assert "<script" not in page
    assert 'value="&#34;&gt;&lt;script&gt;"' in page
    assert "0 found" in page


def test_examples_answer(reference: Reference, client: FlaskClient) -> None:
    """The example of each operation that anyone can read answers with data."""
    addresses = [one.address for _, one in operations(reference) if one.method == "GET" and one.scopes is None]
    statuses = {address: client.get(address, buffered=True).status_code for address in addresses}
    assert statuses == dict.fromkeys(addresses, 200)


@pytest.mark.parametrize(
    ("id", "found"), [("list_cities", "san-diego-ca"), ("search_cities", "san-diego-ca"), ("reconcile", "result")]
)
@pytest.mark.parametrize("language", ["curl", "JavaScript", "Python"])
def test_programs_run(reference: Reference, site: str, id: str, found: str, language: str) -> None:
    """The programs that read get the records, without a body, with one, and with a form."""
    (one,) = (one for _, one in operations(reference) if one.id == id)
    commands = {
        "curl": ["bash", "-c"],
        "JavaScript": [NODE, "--input-type=module", "--eval"],
        "Python": [sys.executable, "-c"],
    }
    done = subprocess.run([*commands[language], snippets(one, site)[language]], capture_output=True, text=True, check=True)
    assert found in done.stdout


def test_programs_that_write(reference: Reference) -> None:
    """The programs that write say where the key goes, and send the example of the body."""
    (one,) = (one for _, one in operations(reference) if one.id == "create_initiative")
    assert one.body
    programs = snippets(one, "https://api.example.org")
    assert programs["curl"].startswith(
        "curl -X POST https://api.example.org/initiatives \\\n  -H 'Authorization: Bearer YOUR_KEY'"
    )
    assert json.loads(programs["curl"].partition(" -d '")[2].removesuffix("'")) == one.body.example
    assert 'method: "POST"' in programs["JavaScript"]
    assert json.loads(programs["JavaScript"].partition("JSON.stringify(")[2].partition("),\n});")[0]) == one.body.example
    compile(programs["Python"], "snippet", "exec")
    assert "headers={'Authorization': 'Bearer YOUR_KEY'" in programs["Python"]
